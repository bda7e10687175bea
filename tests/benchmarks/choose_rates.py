"""Choose the inner and outer rate of each method, on languages that are neither auxiliary nor target.

    python tests/benchmarks/choose_rates.py                                          # toy scale
    python tests/benchmarks/choose_rates.py --scale small --data DIR --encoder DIR

Trains each method on the auxiliaries left when de, ru and th are all held back and scores ru and th on the held-out
fifth of their dev premises: methods with tasks by genre zero-shot and few-shot, X-MAML, XLA-MAML and their Joint
zero-shot. Then the rate of fine-tuning: one epoch on the other four fifths. No test row and no row of de is looked at.
Every method tries the same rates. Finished combinations are kept in `data/results/<scale>_rates.csv` and skipped when
the script is started again.
"""

import argparse
import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from minimeta.files import data_directory
from minimeta.studies import recipes
from minimeta.studies.methods import METHODS, Cell, cells
from minimeta.text import corpora, encoders
from minimeta.text.features import Features

OWN = [name for name, method in METHODS.items() if not isinstance(method.rates, str)]
CHOSEN_ON = dict.fromkeys(code for name in OWN for code in METHODS[name].chosen_on)
INNER = (0.005, 0.02, 0.08)
OUTER = {"toy": (1e-3, 3e-4), "small": (3e-4, 1e-4)}
TUNE = {"toy": (3e-3, 1e-3, 3e-4), "small": (1e-3, 3e-4, 1e-4, 3e-5)}
SEEDS = {"xla-maml": (0, 1, 2)}  # one for the others: XLA-MAML varies most from seed to seed
RESULTS = Path(__file__).parents[2] / "data" / "results"
HEADER = ("method", "episodes", "inner_rate", "outer_rate", "outer_steps", "seed", "kind", "language", "right", "rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=list(OUTER), default="toy")
    parser.add_argument("--data")
    parser.add_argument("--encoder", default=str(data_directory() / "tiny-encoder-nli"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    features = encoders.nli(options.encoder).features(corpora.nli(options.data, splits=("dev",)))
    out = RESULTS / f"{options.scale}_rates.csv"
    if not out.exists():
        out.write_text(",".join(HEADER) + "\n")
    with out.open() as file:
        done = {tuple(row[name] for name in HEADER[:6]) for row in csv.DictReader(file)}
    for cell in cells(OWN, ("de", *CHOSEN_ON)):
        if cell.method == "baseline" and not cell.by_genre:
            continue  # its fine-tuning comes below
        kinds = ("zero-shot", "few-shot") if cell.by_genre else ("zero-shot",)
        steps = recipes.settings_for(cell, options.scale).outer_steps
        for outer in OUTER[options.scale]:
            for inner in INNER:
                for seed in SEEDS.get(cell.method, (0,)):
                    numbers = {"inner_rate": inner, "outer_rate": outer}
                    key = (cell.method, "genres" if cell.by_genre else "languages", inner, outer, steps, seed)
                    if tuple(map(str, key)) not in done:
                        measure(cell, features, options.scale, numbers, key, kinds, out)
    for rate in TUNE[options.scale]:
        key = ("fine-tuning", "languages", 0, rate, 0, 0)
        if tuple(map(str, key)) not in done:
            cell = Cell("baseline", (), False)
            measure(cell, features, options.scale, {"tune_rate": rate}, key, ("fine-tuned",), out)


def measure(
    cell: Cell,
    features: Features,
    scale: str,
    numbers: dict[str, float],
    key: tuple,
    kinds: Iterable[str],
    out: Path,
) -> None:
    """Train and score one combination and append its lines."""
    settings, seed = replace(recipes.settings_for(cell, scale), **numbers), key[-1]
    learner, training = recipes.train(cell, features, settings, seed)
    list(training)
    lines = []
    for language in METHODS[cell.method].chosen_on:
        for kind in kinds:
            got = recipes.score(cell, learner, features, language, kind, settings, seed, "held-out")
            right = round(got["accuracy"] * got["n"] / 100)
            lines.append(",".join(map(str, (*key, kind, language, right, got["n"]))) + "\n")
    with out.open("a") as file:
        file.writelines(lines)
    print("".join(lines), end="", flush=True)


if __name__ == "__main__":
    main()
