"""Which tree of languages? Fixed TreeMAML along several of them, beside no tree, on real XNLI at small scale.

    python tests/benchmarks/bench_which_tree.py --data XNLI-1.0.zip --encoder DIR --trees DIR --out FOLDER [--seeds 3]

Nine languages (the Indo-European ones of XNLI, which all trees have), one target left out in turn, the recipe of small
scale. `--trees` is a directory with D-PLACE's `glottolog_indo1319.trees`, `bouckaert_et_al2012.trees` and its
`bouckaert_et_al2012.taxa.csv`. Each tree is a study of its own below FOLDER, which can be stopped and started again;
`data/results/which_tree_small.csv` has a line for each tree, target and control.
"""

import argparse
from pathlib import Path

import pandas as pd

from minimeta.files import data_directory
from minimeta.studies import study
from minimeta.studies.comparisons import Results, gains, load
from minimeta.studies.grids import Run
from minimeta.studies.intervals import covers
from minimeta.studies.methods import Cell
from minimeta.studies.sources import source
from minimeta.studies.world import World
from minimeta.text.languages import PHYLOGENY, language
from minimeta.text.metrics import metric_of
from minimeta.trees import TaskTree

LANGUAGES = ("en", "fr", "es", "de", "el", "bg", "ru", "hi", "ur")
TARGETS = ("de", "hi")
CONTROLS = ("joint", "maml", "everyone")
# Glottolog's file of societies lacks four of the languages; these are their nearest nodes in it.
NAMES = "node,language\nmacr1273,fr\nwest2793,de\nsubc1234,hi\nindo1321,ur\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--data", "--encoder", "--trees", "--out"):
        parser.add_argument(name, required=True, type=Path)
    parser.add_argument("--cache")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.out / "glottolog_names.csv"
    names.write_text(NAMES, encoding="utf-8")
    world = World("small", str(options.data), str(options.encoder), cache=options.cache)
    dated = options.trees / "bouckaert_et_al2012.trees"
    taxa = options.trees / "bouckaert_et_al2012.taxa.csv"
    trees = {
        "Glottolog": (source(str(options.trees / "glottolog_indo1319.trees"), str(names)), "length"),
        "dated": (source(str(dated), str(taxa)), "length"),
        "URIEL+ syntax": (source("uriel:syntactic"), "length"),
        "URIEL+ geography": (source("uriel:geographic"), "length"),
        "gradients": (source("gradients", features=lambda: world.features("head", 128)), "length"),
    }
    worlds = {"Figure 2": world}
    worlds |= {name: world.following(found, LANGUAGES, by) for name, (found, by) in trees.items()}
    for seed in range(options.seeds):
        for target in TARGETS:
            for name, where in worlds.items():
                others = (*CONTROLS, "random-tree") if name == "Figure 2" else ()
                runs = [
                    Run(Cell(method, tuple(code for code in LANGUAGES if code != target), True), seed, (target,))
                    for method in (*others, "fixed-treemaml")
                ]
                study.run(runs, options.out / name.replace(" ", "-"), where, threads=1)
                write(options.out, worlds)


def write(folder: Path, worlds: dict[str, World]) -> None:
    """All differences between the trees and their controls that can be had so far."""
    lines = []
    found = {name: load(path) for name in worlds if (path := folder / name.replace(" ", "-")).exists()}
    base = found["Figure 2"]
    figure_2 = PHYLOGENY.keep(LANGUAGES)
    branch = {code: language(code).branch for code in LANGUAGES}
    for name, results in found.items():
        settings = [record["settings"] for record in of(results, "fixed-treemaml")]
        tree = figure_2 if name == "Figure 2" else worlds[name].tree
        shape = {"robinson_foulds": tree.robinson_foulds(figure_2), "purity": tree.purity(branch)}
        followed = PHYLOGENY if name == "Figure 2" else TaskTree.from_newick(settings[0]["tree"])
        clusters = [{code: followed.clusters(step)[code] for code in LANGUAGES} for step in (1, 2, 3, 4)]
        shape |= {"clusters": " ".join(str(len(set(each.values()))) for each in clusters)}
        own = of(results, "fixed-treemaml")
        for control in (*CONTROLS, "random-tree", *(["fixed-treemaml"] if name != "Figure 2" else [])):
            for kind in ("zero-shot", "few-shot"):
                for target, each in gains(base, own, of(base, control), kind, metric_of("nli")).items():
                    those = TARGETS if target == "all" else (target,)  # as many rows each
                    tests = [r["results"][code][kind] for r in own for code in those if code in r["results"]]
                    score = [test["accuracy"] for test in tests]
                    lines.append(
                        {"tree": name, "languages": len(LANGUAGES), **shape, "target": target, "kind": kind}
                        | {"accuracy": sum(score) / len(score), "control": control}
                        | {"gain": each.gain, "low": each.low, "high": each.high}
                        | {"covers": covers(each.seeds, "premises"), "smallest": each.smallest}
                        | {"seeds": each.seeds, "rows": each.rows, "outer_steps": settings[0]["outer_steps"]}
                    )
    table = pd.DataFrame(lines).round(3)
    table.to_csv(data_directory() / "results" / "which_tree_small.csv", index=False, lineterminator="\n")


def of(results: Results, method: str) -> list[dict]:
    """The records of a method, those of one seed as one: they differ by the target that was left out."""
    found: dict[int, dict] = {}
    for record in results.records:
        if record["method"] == method:
            whole = found.setdefault(record["seed"], record | {"results": {}})
            whole["results"] |= record["results"]
    return list(found.values())


if __name__ == "__main__":
    main()
