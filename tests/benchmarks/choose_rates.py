"""Choose the inner and outer rate of each method at small scale, on languages that are neither auxiliary nor target.

    python tests/benchmarks/choose_rates.py --data DIR --encoder DIR

Trains each method on the auxiliaries left when de, ru and th are all held back, with one seed, and scores ru and th
on the held-out fifth of their dev premises, zero-shot and few-shot. No test row and no row of de is looked at.
Finished combinations are kept in `data/results/small_rates.csv` and skipped when the script is started again.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import torch

from minimeta import corpora, encoders, recipes

METHODS = ("x-maml", "xla-maml", "joint", "fixed-treemaml", "maml", "everyone", "random-tree")
INNER = (0.005, 0.02, 0.08)
OUTER = (3e-4, 1e-4)
VALIDATION = ("ru", "th")
OUT = Path(__file__).parents[2] / "data" / "results" / "small_rates.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--encoder", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = corpora.nli(options.data, splits=("dev",))
    features = encoders.nli(options.encoder).features(corpus)
    done = set()
    if OUT.exists():
        with OUT.open() as file:
            done = {
                (row["method"], row["episodes"], row["inner_rate"], row["outer_rate"]) for row in csv.DictReader(file)
            }
    else:
        OUT.write_text("method,episodes,inner_rate,outer_rate,language,shots,accuracy,rows\n")
    for cell in recipes.cells(METHODS, ("de", *VALIDATION)):
        episodes = "genres" if cell.by_genre else "languages"
        for outer in OUTER:
            for inner in INNER if cell.method != "joint" else INNER[1:2]:
                if (cell.method, episodes, str(inner), str(outer)) in done:
                    continue
                settings = replace(recipes.settings_for(cell, "small"), inner_rate=inner, outer_rate=outer)
                learner, training = recipes.train(cell, corpus, features, settings, seed=0)
                for _ in training:
                    pass
                lines = []
                for language in VALIDATION:
                    for shots in (0, settings.target_shots):
                        got = recipes.score(cell, learner, corpus, features, language, shots, settings, 0, "held-out")
                        lines.append(
                            f"{cell.method},{episodes},{inner},{outer},{language},{shots},{got['accuracy']:.2f},{got['n']}\n"
                        )
                with OUT.open("a") as file:
                    file.writelines(lines)
                print("".join(lines), end="", flush=True)


if __name__ == "__main__":
    main()
