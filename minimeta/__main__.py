"""The command line: `python -m minimeta run METHOD ... --target de`, and what it takes to get there."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError
from .options import parse

if TYPE_CHECKING:
    from .studies.grids import Run
    from .studies.sources import Source
    from .studies.world import World


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for input that cannot be used."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # a terminal or a file that has no ± shows ? for it
    try:
        options = parse(arguments)
        COMMANDS[options.command](options)
    except InputError as error:
        print(f"minimeta: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"minimeta: {error.strerror or error}: {error.filename or 'while reading or writing'}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minimeta: stopped; what was done has been kept.", file=sys.stderr)
        return 130
    return 0


def _methods(options: argparse.Namespace) -> None:
    from .studies.methods import METHODS

    for name, method in METHODS.items():
        controls = f"  controls: {', '.join(method.controls)}" if method.controls else ""
        print(f"{name:20} {method.title:19} {method.source}{controls}")


def _run(options: argparse.Namespace) -> None:
    from .studies import grids, methods

    targets = list(dict.fromkeys(options.target))
    world, own, known = _places(options, targets)
    chosen = methods.cells(options.methods, targets, options.aux, known)
    runs = [
        grids.Run(cell, seed, (cell.target,) if cell.target else tuple(targets))
        for seed in range(_seeds(options))
        for cell in chosen
    ]
    if options.resume and not (Path(options.resume) / "study.json").exists():
        raise InputError(f"There is no run in {options.resume} to go on with; name the folder that it printed.")
    folder = Path(options.resume) if options.resume else _new_folder(Path(options.out))
    _study(options, runs, targets, folder, world, own)


def _leave_one_out(options: argparse.Namespace) -> None:
    from .studies import grids

    world, own, known = _places(options, options.target)
    runs = grids.leave_one_out(options.methods, options.target, range(_seeds(options)), options.aux, known)
    _study(options, grids.of_kinds(runs, options.kinds), options.target, Path(options.out), world, own)


def _transfer(options: argparse.Namespace) -> None:
    from .studies import grids
    from .studies.methods import METHODS, check_methods

    check_methods(options.methods)
    auxiliaries = [tuple(code.split("+")) for code in options.aux]
    world = _world(options, options.task, options.data, options.encoder)
    own = _own_tree(options, world)
    targets = options.target or world.tested()
    placed = own and own.has({*targets, *chain(*auxiliaries)})
    runs = grids.transfer(options.methods, auxiliaries, targets, range(_seeds(options)), placed)
    for name, codes in grids.left_undone(runs, options.methods, targets).items():
        print(f"{METHODS[name].title} is not scored on {', '.join(codes)}: no auxiliary or no tree goes with them")
    _study(options, grids.of_kinds(runs, options.kinds), targets, Path(options.out), world, own)


def _places(options: argparse.Namespace, targets: Sequence[str]) -> tuple[World, Source | None, tuple[str, ...]]:
    """What all runs share, their own tree, and the languages that auxiliaries are taken from where none are named."""
    from .studies.methods import METHODS, check_methods

    check_methods(options.methods)
    world = _world(options, options.task, options.data, options.encoder)
    own = _own_tree(options, world)
    if options.aux:
        return world, own, ()
    known = world.auxiliaries(options.methods, own)
    rest = [code for code in world.trained() if code not in (*known, *targets)]
    if rest and any(METHODS[name].by_genre and METHODS[name].trains for name in options.methods):
        print(f"Not trained on, without a place in the tree: {', '.join(rest)} (name auxiliary languages with --aux)")
    return world, own, known


def _own_tree(options: argparse.Namespace, world: World) -> Source | None:
    """The tree of languages that a study brings, if any."""
    if options.tree is None:
        if options.tree_names:
            raise InputError("--tree-names maps the nodes of a tree to languages; name the tree itself with --tree.")
        if options.tree_by == "length":
            raise InputError(
                "--tree-by length is for dated trees, and Figure 2 of TreeMAML is none; name one with --tree."
            )
        return None
    from .studies.sources import source

    return source(options.tree, options.tree_names, lambda: world.located.features("head", 128))


def _seeds(options: argparse.Namespace) -> int:
    if options.seeds < 1:
        raise InputError(f"--seeds is {options.seeds}; it must be 1 or more.")
    return options.seeds


def _study(
    options: argparse.Namespace,
    runs: Sequence[Run],
    targets: Sequence[str],
    folder: Path,
    world: World,
    own: Source | None,
) -> None:
    """Check everything, do the runs, print the tables."""
    from .studies import comparisons, grids, report, study

    if own is not None:
        world = world.following(own, grids.in_own_tree(runs), options.tree_by)
    _warn_of_rates(world, runs, targets)
    what = _about(world, own)
    if own is not None and own.reads_labels:
        print("This tree has read labelled dev rows of the targets too: no zero-shot score of it is one.")
    print(f"{what}, targets {', '.join(targets)}, seeds 0 to {options.seeds - 1}")
    world.tested()  # what is wrong with the rows is said before anything about the encoder
    for line in (*world.corpus.notes, *([f"Classes matched {world.matched}"] if world.matched else [])):
        print(line)

    def show(complete: bool) -> None:
        if any(folder.glob("cells/*.json")):
            print(report.study_text(comparisons.load(folder)))
            unfinished = "" if complete else "Unfinished: these are the runs that were done. "
            print(f"\n{unfinished}One file per run in {folder}")
            return
        study.remove_empty(folder)
        if any(folder.glob("unfinished/*")):
            print(f"No run was finished; what was begun goes on from its checkpoints in {folder}")

    # "study --save" keeps the models beside the records, "run --save DIR" in a place of its own.
    save = options.save if isinstance(options.save, str) else folder / "models" if options.save else None
    _do(options, {"runs": (runs, folder, world)}, show, save)


def _do(
    options: argparse.Namespace,
    studies: Mapping[str, tuple[Sequence[Run], Path, World]],
    show: Callable[[bool], None],
    save: str | Path | None = None,
) -> None:
    """Do the runs of each study and show what there is: also of one that was stopped, as far as it got."""
    from tqdm.auto import tqdm

    from .studies import devices, jobs, study

    print(
        "each Dask worker computes on its own machine"
        if options.scheduler
        else devices.words(options.device, options.workers)
    )
    failures = []
    try:
        with jobs.engine(options.scheduler):
            for words, what in studies.items():
                try:
                    progress = partial(tqdm, desc=words, disable=None)
                    study.run(*what, options.workers, options.threads, progress, save)
                except study.RunsFailed as error:  # the runs of the others are done all the same
                    failures.append(error)
        if failures:
            raise failures[0]
    except jobs.AtWork:
        raise  # what is in the folder is that process's to show
    except BaseException:
        show(False)
        raise
    show(True)


def _world(
    options: argparse.Namespace, task: str, data: str | None, encoder: str | None, kind: type[World] | None = None
) -> World:
    """What all runs of a task share, a World or one of its `kind`."""
    from .studies.own import given
    from .studies.world import World

    how = (options.first_order, options.tasks_per_chunk, options.bf16, options.cache)
    own = given(options.set, options.settings)
    return (kind or World)(
        options.scale, data, encoder, task, *how, own, options.device, columns=tuple(options.columns)
    )


def _about(world: World, own: Source | None) -> str:
    """What all runs share, in words: the scale, the data, settings and a tree of one's own."""
    from .studies.own import words

    said = f"{world.scale} scale, {world.shared['data']}" + (f", {words(world.set)}" if world.own else "")
    return said + (f", tree of {own.name}" if own is not None else "")


def _warn_of_rates(world: World, runs: Sequence[Run], targets: Sequence[str]) -> None:
    """Say so if rates were chosen on a target."""
    from .studies.methods import METHODS, small_rates

    taken = {run.cell.method for run in runs if _rates(world, run) == small_rates(run.cell.method)}
    chosen_on = {code for name in taken for code in METHODS[name].chosen_on}
    seen = [code for code in targets if code in chosen_on]
    if world.scale == "small" and world.task == "nli" and seen:
        print(f"minimeta: the rates of small scale were chosen on {', '.join(seen)}; choose others to be fair to it.")


def _rates(world: World, run: Run) -> tuple[float, float]:
    settings = world.settings(run.cell)
    return settings.inner_rate, settings.outer_rate


def _choose_rates(options: argparse.Namespace) -> None:
    """Do what is missing of a search for rates, show and write what it found."""
    from .studies import grids, rates, study
    from .text.metrics import METRICS

    targets, folder = options.target or [], Path(options.out)
    seeds = range(_seeds(options))
    world, own, known = _places(options, [*options.on, *targets])
    asked = rates.search(options.methods, options.on, options.inner, options.outer, seeds, targets, options.aux, known)
    if own is not None:
        world = world.following(own, grids.in_own_tree(asked.runs), options.tree_by)
    parts = {
        f"{pair.name} runs": (runs, folder / pair.name, rates.world_with(world, pair))
        for pair, runs in asked.studies.items()
        if runs
    }
    count, metric = sum(len(runs) for runs, *_ in parts.values()), METRICS[options.task][0].title
    where = _about(world, own)
    print(f"{where}, {count} runs with {len(parts)} pairs of rates, scored on held-out rows of {', '.join(options.on)}")

    def show(complete: bool) -> None:
        for path in (*(path for _, path, _ in parts.values()), folder):
            study.remove_empty(path)
        found = rates.compare(folder, asked)
        if not found["seeds"].any():
            return
        print(f"{metric} in %, mean ± sd over seeds 0 to {options.seeds - 1}\n\n{rates.text(found)}\n")
        about = (
            f"Chosen by {metric} on held-out rows of {', '.join(options.on)}: {where}, seeds 0 to {options.seeds - 1}."
        )
        for path in rates.write(found, folder, about):
            print(f"Written to {path}")
        if not complete:
            print("Unfinished: the same command goes on.")

    _do(options, parts, show)


def _reproduce(options: argparse.Namespace) -> None:
    """Do what is missing of a table's runs and show the table."""
    from .studies import papers, reproduce, study

    known = papers.table(options.table)
    folder = Path(options.out or f"runs/reproduce-{options.table}")
    _plotly()
    if options.no_train:
        return _show(options, folder)
    folders, worlds = reproduce.folders(options.table, folder), _worlds(options, known.tasks)
    tested = [world.tested() for world in worlds.values()]
    targets = options.targets or [code for code in known.targets if all(code in there for there in tested)]
    grid = reproduce.grid(options.table, targets, range(_seeds(options)))
    for task, runs in grid.items():
        _warn_of_rates(worlds[task], runs, targets)
    count = sum(map(len, grid.values()))
    print(f"{known.title}: {options.scale} scale, targets {', '.join(targets)}, {count} runs")

    def show(complete: bool) -> None:
        if any(any(path.glob("cells/*.json")) for path in folders.values()):
            _show(options, folder)
            print("" if complete else "Unfinished: a dash stands for what was not run.")
        for path in folders.values():
            study.remove_empty(path)

    _do(options, {f"{task} runs": (runs, folders[task], worlds[task]) for task, runs in grid.items()}, show)


def _cost(options: argparse.Namespace) -> None:
    """Time a few steps of each kind of run of a table, and say what all of it costs here."""
    import platform

    import torch
    from tqdm import tqdm

    from .studies import cost, devices, papers, reproduce, sized, study

    known, no_data = papers.table(options.table), options.scale == "full" and not (options.data or options.encoder)
    if no_data:
        worlds = {task: _world(options, task, "no data", known.encoder, sized.Sized) for task in known.tasks}
        what = f"an encoder of {known.encoder}'s size with random weights, on rows as long as they may be"
    else:
        worlds = _worlds(options, known.tasks)
        what = " and ".join(f"{Path(world.shared['encoder']).name} on {world.corpus.name}" for world in worlds.values())
    tested = [world.tested() for world in worlds.values()]
    targets = options.targets or [code for code in known.targets if all(code in there for there in tested)]
    grid = reproduce.grid(options.table, targets, range(_seeds(options)))
    device = devices.here(options.device)
    torch.set_num_threads(study.threads_of(options.threads, options.scale, options.workers))
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    found = cost.cost(grid, worlds, lambda kinds: tqdm(kinds, desc="kinds of runs", disable=None))
    print(
        f"Timed: {cost.STEPS} outer steps of each kind of run of {options.table}, with {what}, on {device} ({name}, "
        f"threads: {torch.get_num_threads()}, torch {torch.__version__})."
    )
    print(f"{known.title}; seeds 0 to {options.seeds - 1}, targets {', '.join(targets)}.")
    print(f"Hours are those of one worker, GB those of one run.\n\n{cost.text(found)}")


def _plotly() -> None:
    """Raise InputError if a page cannot be drawn, before hours of training."""
    from importlib.util import find_spec

    lacking = [name for name in ("plotly", "ipywidgets", "anywidget") if find_spec(name) is None]
    if lacking:
        raise InputError(f"The page needs {lacking[0]}, which is not installed: pip install 'minimeta[lab]'.")


def _worlds(options: argparse.Namespace, tasks: Sequence[str]) -> dict[str, World]:
    """What the runs of each task share, from one --data for all of them or one for each, and an --encoder for each."""
    from .studies import reproduce

    data = options.data or [None]
    data = data * len(tasks) if len(data) == 1 else data
    encoders = options.encoder or [None] * len(tasks)
    for name, given in (("--data", data), ("--encoder", encoders)):
        if len(given) != len(tasks):
            raise InputError(
                f"{options.table} is about {' and '.join(tasks)}: {name} takes {len(tasks)} of them in this order, not "
                f"{len(given)}."
            )
    worlds = {task: _world(options, task, *given) for task, *given in zip(tasks, data, encoders, strict=True)}
    for world in worlds.values():
        reproduce.check_world(options.table, world)
    return worlds


def _show(options: argparse.Namespace, folder: Path) -> None:
    """Print a table and write it beside its runs, as text, CSV and a page."""
    from .show import tableplots
    from .studies import report, reproduce

    found = reproduce.compare(options.table, folder, options.targets or ())
    print(report.text(found))
    print()
    for ending, write in (
        ("txt", report.write_text),
        ("csv", report.write_csv),
        ("html", tableplots.write_page),
    ):
        write(found, folder / f"{options.table}.{ending}")
        print(f"Written to {folder / options.table}.{ending}")


def _results(options: argparse.Namespace) -> None:
    from .files import to_write
    from .studies import comparisons, report

    if options.csv:
        to_write(f"{options.csv}.csv")
    found = comparisons.load(options.folder)
    print(report.study_text(found))
    if options.csv and found.records:
        name = "accuracies" if found.task == "nli" else "scores"
        for path, lines in (
            (Path(f"{options.csv}.csv"), comparisons.differences(found)),
            (Path(f"{options.csv}_{name}.csv"), comparisons.scores(found).drop(columns="seconds")),
        ):
            if lines.empty:
                print(f"Nothing is written to {path}: nothing was compared.")
                continue
            report.write_csv(lines, path)
            print(f"Written to {path}")


def _tree(options: argparse.Namespace) -> None:
    """Print, and draw, what Fixed TreeMAML pools at each step along a tree of languages."""
    from .files import to_write, whole_file
    from .studies import sources
    from .text.languages import XNLI, ordered

    page = options.out and to_write(options.out)
    if page:
        _plotly()
    found = sources.source(options.tree, options.tree_names)
    languages = ordered(options.languages) or found.has(XNLI)  # the order of a run: ties of distances depend on it
    if not languages:
        raise InputError(f"{options.tree} has none of XNLI's languages; name those that it has with --languages.")
    tree = found.of(languages)
    try:
        levels = tree.levels(options.levels, options.tree_by)
    except InputError as error:
        raise InputError(f"Cut down to {', '.join(languages)}: {error} --levels says how many.") from None
    print(f"{found.name}, {len(languages)} languages")
    if lacking := [code for code in XNLI if not options.languages and code not in languages]:
        print(f"Without a place in it: {', '.join(lacking)}")
    print()
    print(sources.drawn(tree))
    print()
    for line in sources.pooled(levels, options.levels):
        print(line)
    if page:
        from .show.treeplots import language_tree

        with whole_file(page) as unfinished:
            language_tree(levels, f"{found.name}, {options.levels} levels").write_html(unfinished)
        print(f"\nWritten to {page}")


def _new_folder(out: Path) -> Path:
    """A folder of its own for this run, named by the time in UTC; it is made when there is something to put in."""
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    names = (name, *map(f"{name}-{{}}".format, range(2, 100)))
    return next(folder for folder in map(out.joinpath, names) if not folder.exists())


def _pretrain_tiny(options: argparse.Namespace) -> None:
    from .text import making

    making.tiny_encoder(options.out, options.seed)


def _finetune(options: argparse.Namespace) -> None:
    from .text import making

    given = {name: value for name, value in vars(options).items() if name not in ("command", "out")}
    given["columns"] = list(map(list, options.columns))  # as JSON has them
    making.stage_two(options.out, given)


COMMANDS = {
    "methods": _methods,
    "run": _run,
    "leave-one-out": _leave_one_out,
    "transfer": _transfer,
    "choose-rates": _choose_rates,
    "reproduce": _reproduce,
    "cost": _cost,
    "tree": _tree,
    "results": _results,
    "pretrain-tiny": _pretrain_tiny,
    "finetune": _finetune,
}


if __name__ == "__main__":
    sys.exit(main())
