"""Choose the inner and outer rate of each method at small scale, on languages that are neither auxiliary nor target.

    python tests/benchmarks/choose_rates.py --data DIR --encoder DIR

Trains each method on the auxiliaries left when de, ru and th are all held back, with one seed, and scores ru and th
on the held-out fifth of their dev premises, zero-shot and few-shot. No test row and no row of de is looked at. Every
method tries the same rates. Finished combinations are kept in `data/results/small_rates.csv` and skipped when the
script is started again.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import torch

from minimeta import corpora, encoders, recipes

METHODS = ("x-maml", "xla-maml", "joint", "fixed-treemaml", "maml", "everyone", "random-tree", "baseline")
INNER = (0.005, 0.02, 0.08)
OUTER = (3e-4, 1e-4)
OUT = Path(__file__).parents[2] / "data" / "results" / "small_rates.csv"
HEADER = "method,episodes,inner_rate,outer_rate,language,shots,right,rows"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--encoder", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = corpora.nli(options.data, splits=("dev",))
    features = encoders.nli(options.encoder).features(corpus)
    if not OUT.exists():
        OUT.write_text(HEADER + "\n")
    with OUT.open() as file:
        done = {(row["method"], row["episodes"], row["inner_rate"], row["outer_rate"]) for row in csv.DictReader(file)}
    for cell in recipes.cells(METHODS, ("de", *recipes.RATES_CHOSEN_ON)):
        for outer in OUTER:
            for inner in INNER:
                key = (cell.method, "genres" if cell.by_genre else "languages", str(inner), str(outer))
                if key not in done:
                    measure(cell, features, inner, outer, key)


def measure(cell: recipes.Cell, features: encoders.Features, inner: float, outer: float, key: tuple) -> None:
    """Train and score one combination and append its lines."""
    settings = replace(recipes.settings_for(cell, "small"), inner_rate=inner, outer_rate=outer)
    learner, training = recipes.train(cell, features, settings, seed=0)
    list(training)
    lines = []
    for language in recipes.RATES_CHOSEN_ON:
        for shots in (0, settings.target_shots):
            got = recipes.score(cell, learner, features, language, shots, settings, 0, "held-out")
            right = round(got["accuracy"] * got["n"] / 100)
            lines.append(",".join(map(str, (*key, language, shots, right, got["n"]))) + "\n")
    with OUT.open("a") as file:
        file.writelines(lines)
    print("".join(lines), end="", flush=True)


if __name__ == "__main__":
    main()
