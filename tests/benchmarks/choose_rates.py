"""Choose the inner and outer rate of each method, on languages that are neither auxiliary nor target.

    python tests/benchmarks/choose_rates.py                                          # toy scale
    python tests/benchmarks/choose_rates.py --scale small --data DIR --encoder DIR

Trains each method on the auxiliaries left when de, ru and th are all held back, with one seed, and scores ru and th
on the held-out fifth of their dev premises, zero-shot and few-shot. No test row and no row of de is looked at. Every
method tries the same rates. Finished combinations are kept in `data/results/<scale>_rates.csv` and skipped when the
script is started again.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import torch

from minimeta import corpora, encoders, recipes
from minimeta.files import data_directory

METHODS = (
    "x-maml",
    "xla-maml",
    "joint",
    "fixed-treemaml",
    "learned-treemaml",
    "maml",
    "everyone",
    "random-tree",
    "baseline",
)
INNER = (0.005, 0.02, 0.08)
OUTER = {"toy": (1e-3, 3e-4), "small": (3e-4, 1e-4)}
RESULTS = Path(__file__).parents[2] / "data" / "results"
HEADER = "method,episodes,inner_rate,outer_rate,language,shots,right,rows"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=list(OUTER), default="toy")
    parser.add_argument("--data")
    parser.add_argument("--encoder", default=str(data_directory() / "tiny-encoder-nli"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = corpora.nli(options.data, splits=("dev",))
    features = encoders.nli(options.encoder).features(corpus)
    out = RESULTS / f"{options.scale}_rates.csv"
    if not out.exists():
        out.write_text(HEADER + "\n")
    with out.open() as file:
        done = {(row["method"], row["episodes"], row["inner_rate"], row["outer_rate"]) for row in csv.DictReader(file)}
    for cell in recipes.cells(METHODS, ("de", *recipes.RATES_CHOSEN_ON)):
        for outer in OUTER[options.scale]:
            for inner in INNER:
                key = (cell.method, "genres" if cell.by_genre else "languages", str(inner), str(outer))
                if key not in done:
                    measure(cell, features, options.scale, inner, outer, key, out)


def measure(
    cell: recipes.Cell, features: encoders.Features, scale: str, inner: float, outer: float, key: tuple, out: Path
) -> None:
    """Train and score one combination and append its lines."""
    settings = replace(recipes.settings_for(cell, scale), inner_rate=inner, outer_rate=outer)
    learner, training = recipes.train(cell, features, settings, seed=0)
    list(training)
    lines = []
    for language in recipes.RATES_CHOSEN_ON:
        for shots in (0, settings.target_shots):
            got = recipes.score(cell, learner, features, language, shots, settings, 0, "held-out")
            right = round(got["accuracy"] * got["n"] / 100)
            lines.append(",".join(map(str, (*key, language, shots, right, got["n"]))) + "\n")
    with out.open("a") as file:
        file.writelines(lines)
    print("".join(lines), end="", flush=True)


if __name__ == "__main__":
    main()
