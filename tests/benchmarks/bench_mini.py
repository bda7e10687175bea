"""The mini world over several pretraining seeds: what transfers, and what meta-training adds.

    python tests/benchmarks/bench_mini.py --out DIR [--seeds 0 1 2 3 4]

For each seed: the tiny encoder is pretrained and fine-tuned on English, scored on all test rows of every language,
and every method is trained once with the targets left out and scored on each of them. One file per seed in DIR;
what is there is not done again. Then a table with means over the seeds, and 95 % intervals of means and of paired
differences (Student's t over seeds). One thread; about a quarter of an hour for each seed.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from minimeta.files import write_json
from minimeta.studies import recipes
from minimeta.studies.methods import METHODS, TARGET, cells
from minimeta.text import corpora, encoders, finetune, pretrain
from minimeta.text.languages import XNLI

TARGETS = ("de", "el", "vi", "ur", "zh")  # of the phylogeny, and not those that the rates were chosen on
GAINS = {
    "zero-shot": ("joint genres", "maml genres", "joint languages", "x-maml languages", "xla-maml languages"),
    "few-shot": (
        "joint genres",
        "maml genres",
        "fixed-treemaml genres",
        "learned-treemaml genres",
        "random-tree genres",
        "everyone genres",
    ),
}
DIFFERENCES = (
    ("zero-shot", "x-maml languages", "joint languages"),
    ("zero-shot", "xla-maml languages", "joint languages"),
    ("zero-shot", "xla-maml languages", "x-maml languages"),
    ("few-shot", "maml genres", "joint genres"),
    ("few-shot", "fixed-treemaml genres", "maml genres"),
    ("few-shot", "fixed-treemaml genres", "random-tree genres"),
    ("few-shot", "fixed-treemaml genres", "everyone genres"),
    ("few-shot", "learned-treemaml genres", "fixed-treemaml genres"),
    ("few-shot", "learned-treemaml genres", "random-tree genres"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        if not (options.out / f"seed{seed}.json").exists():
            write_json(options.out / f"seed{seed}.json", measure(seed, options.out))
    report([json.loads(path.read_text()) for path in sorted(options.out.glob("seed*.json"))])


def measure(seed: int, out: Path) -> dict:
    """Everything for one seed."""
    start = time.perf_counter()
    tiny, classifier = out / f"tiny-{seed}", out / f"tiny-{seed}-nli"
    if not classifier.exists():
        pretrain.pretrain(tiny, seed)
        pretrained = time.perf_counter()
        finetune.train(tiny, corpora.mini_nli(["en"], ["train"]), classifier, finetune.TOY["nli"], seed)
        print(f"seed {seed}: {pretrained - start:.0f} s, then {time.perf_counter() - pretrained:.0f} s", flush=True)
    features = encoders.nli(classifier).features(corpora.nli())
    baseline = cells(["baseline"], ["de"])[0]
    settings = recipes.settings_for(baseline, "toy")
    scores = {
        language: recipes.score(baseline, features.encoder.learner, features, language, "zero-shot", settings, seed)[
            "accuracy"
        ]
        for language in XNLI
    }
    runs = {}
    for cell in cells([name for name, method in METHODS.items() if method.support is not TARGET], TARGETS):
        record = recipes.run(cell, TARGETS, features, recipes.settings_for(cell, "toy"), seed)
        name = f"{cell.method} {'genres' if cell.by_genre else 'languages'}"
        runs[name] = {
            "seconds": record["train_seconds"],
            **{
                kind: {target: record["results"][target][kind]["accuracy"] for target in TARGETS} for kind in cell.kinds
            },
        }
        print(seed, name, {kind: round(np.mean(list(runs[name][kind].values())), 1) for kind in cell.kinds}, flush=True)
    return {"seed": seed, "encoder": scores, "runs": runs, "seconds": time.perf_counter() - start}


def report(records: list[dict]) -> None:
    """Means, gains and differences in accuracy (%), with 95 % intervals over seeds."""

    def of(kind: str, name: str) -> np.ndarray:
        return np.array([np.mean(list(record["runs"][name][kind].values())) for record in records])

    others = np.array([[record["encoder"][code] for code in XNLI if code != "en"] for record in records])
    print(f"{len(records)} seeds, targets {', '.join(TARGETS)}; mean [95 % interval over seeds]")
    print(f"English                        {interval(np.array([record['encoder']['en'] for record in records]))}")
    print(f"the 14 others, zero-shot       {interval(others.mean(1))}")
    for code, column in zip([code for code in XNLI if code != "en"], others.T, strict=True):
        print(
            f"  {code}                           {column.mean():5.1f}  (seeds {column.min():.1f} to {column.max():.1f})"
        )
    for kind, names in GAINS.items():
        base = "baseline genres"
        print(f"\n{kind}: baseline {interval(of(kind, base))}")
        for name in names:
            print(f"  {name:24} {of(kind, name).mean():5.1f}   gain {interval(of(kind, name) - of(kind, base))}")
    print()
    for kind, name, control in DIFFERENCES:
        print(f"  {kind} {name:22} - {control:20} {interval(of(kind, name) - of(kind, control))}")


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval by Student's t."""
    if len(values) < 2:
        return f"{values.mean():5.2f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():5.2f} [{values.mean() - half:+.2f}, {values.mean() + half:+.2f}]"


if __name__ == "__main__":
    main()
