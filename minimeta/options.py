"""The options of the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from .errors import InputError
from .files import expanded
from .text.corpora import STAGE_TWO, TASKS, archives
from .text.own import COLUMNS
from .text.parts import ENDINGS


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are the same one clear sentence as all others."""

    def error(self, message: str) -> NoReturn:
        if "METHOD" in message:
            message = "name the methods first, then --target: no METHOD was given"
        raise InputError(f"{message[0].upper()}{message[1:]}; see '{self.prog} --help'.")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line; `command` is its name. Raises InputError for a call that cannot be parsed."""
    parser = _Parser(prog="python -m minimeta", description="Meta-learning on task trees, taught in notebooks.")
    names = parser.add_subparsers(required=True, metavar="COMMAND")

    _command(names, "methods", "list the methods")
    run = _command(names, "run", "train methods, score them on target languages, print a table")
    run.add_argument("--out", type=_path, default="runs", help="where a folder for this run is made (default: runs)")
    run.add_argument("--resume", type=_path, metavar="FOLDER", help="go on with a run that was stopped, in its folder")
    words = "keep each trained model there, as a Hugging Face directory of the run's name"
    run.add_argument("--save", type=_path, metavar="DIR", help=words)
    _methods(run, "languages to score")
    words = "auxiliary languages (default: all others that corpus and tree share; X-MAML and XLA-MAML take one, hi, "
    words += "de or the first, the bi-pair two)"
    run.add_argument("--aux", default=[], help=words, **_LANGUAGES)
    _shared(run)

    grid = names.add_parser("study", help="a grid of runs that can be stopped and started again")
    grids = grid.add_subparsers(required=True, metavar="GRID")
    one_out = _command(grids, "leave-one-out", "each target left out in turn (TreeMAML, Table 1)")
    _kept(one_out)
    _methods(one_out, "languages to score")
    words = "auxiliary languages, but for the target that is left out (default: all that corpus and tree share)"
    one_out.add_argument("--aux", default=[], help=words, **_LANGUAGES)
    _shared(one_out)
    moved = _command(grids, "transfer", "each auxiliary, scored on every target (XLA-MAML, Figure 2)")
    _kept(moved)
    _methods(moved, "languages to score (default: all that have test rows)", required=False)
    words = "auxiliary languages, one run for each; a pair is written bg+de"
    moved.add_argument("--aux", required=True, help=words, **_LANGUAGES)
    _shared(moved)

    rates = _command(names, "choose-rates", "search inner and outer rates on held-out dev rows of other languages")
    _methods(rates, "languages that the rates are for: no row of theirs is looked at", required=False)
    words = "languages to choose on, which are neither auxiliary nor target"
    rates.add_argument("--on", required=True, help=words, **_LANGUAGES)
    rates.add_argument("--aux", default=[], help="auxiliary languages (default: as for run)", **_LANGUAGES)
    for which in ("inner", "outer"):
        words = f"{which} rates to try"
        rates.add_argument(f"--{which}", type=float, nargs="+", required=True, metavar="RATE", help=words)
    words = "where all is kept, run by run, with rates.csv and rates.toml, which --settings takes"
    rates.add_argument("--out", type=_path, required=True, metavar="FOLDER", help=words)
    _shared(rates)

    again = _command(names, "reproduce", "a table of the papers again, theirs beside ours")
    again.add_argument("table", metavar="TABLE", help="treemaml-table1, xla-table3 to xla-table7, or xla-figure2")
    words = "languages to score (default: all of the paper's that have test rows)"
    again.add_argument("--targets", help=words, **_LANGUAGES)
    words = "where all is kept, run by run (default: runs/reproduce-TABLE)"
    again.add_argument("--out", type=_path, metavar="FOLDER", help=words)
    again.add_argument("--no-train", action="store_true", help="only show what the folder has")
    _shared(again, tables=True)

    words = "what a table would cost on this machine, in hours and GB: some steps of each kind of run are timed"
    cost = _command(names, "cost", words)
    cost.add_argument("table", metavar="TABLE", help="as for reproduce; the other options are its own too")
    words = "languages to score (default: all of the paper's that have test rows)"
    cost.add_argument("--targets", help=words, **_LANGUAGES)
    _shared(cost, tables=True)

    drawn = _command(names, "tree", "what Fixed TreeMAML would pool along a tree of languages, step by step")
    words = "a file in Newick or NEXUS, or uriel:KIND (genetic, geographic, syntactic, phonological, featural, "
    words += "inventory)"
    drawn.add_argument("tree", type=_path, metavar="FILE", help=words)
    words = "cut it down to these (default: those of XNLI's that have a place in it)"
    drawn.add_argument("--languages", default=[], help=words, **_LANGUAGES)
    drawn.add_argument("--levels", type=int, default=4, metavar="K", help="inner steps (default: 4)")
    _tree(drawn)
    drawn.add_argument("--out", type=_path, metavar="FILE.html", help="also draw it on a page")

    shown = _command(names, "results", "print the tables of a study's folder")
    shown.add_argument("folder", type=_path, metavar="FOLDER")
    words = "also write NAME.csv (differences) and NAME_accuracies.csv (qa: _scores)"
    shown.add_argument("--csv", type=_path, metavar="NAME", help=words)

    tiny = _command(names, "pretrain-tiny", "pretrain the tiny encoder on the mini world's text")
    tiny.add_argument("--out", type=_path, required=True, metavar="DIR", help="a new directory for the encoder")
    tiny.add_argument("--seed", type=int, default=0)

    words = "fine-tune an encoder on labelled rows, in English unless you name others (stage two)"
    tuned = _command(names, "finetune", words)
    tuned.add_argument("task", choices=list(TASKS))
    tuned.add_argument("--out", type=_path, required=True, metavar="DIR", help="a new directory for the classifier")
    tuned.add_argument("--encoder", type=_path, help="a Hugging Face directory or name (default: the tiny encoder)")
    there = ", ".join(f"for {task} {archives(task, STAGE_TWO)}" for task in TASKS)
    words = f"the archive ({there}; default: the mini world's English), a directory that holds it, or rows of your own"
    tuned.add_argument("--data", type=_path, help=words)
    tuned.add_argument("--columns", **_COLUMNS)
    words = "of a corpus of your own, the languages to train on (default: en, where it has that)"
    tuned.add_argument("--languages", help=words, **_LANGUAGES)
    tuned.add_argument("--split", default="train", help="the rows to train on (default: train)")
    tuned.add_argument("--rows", type=int, metavar="N", help="train on N of them, drawn from the seed")
    words = "passes over the rows (default: the paper's, 3 for nli, 2 for qa; mini world: 2)"
    tuned.add_argument("--epochs", type=float, help=words)
    words = "AdamW's rate (default: the paper's, 2e-5 or 3e-5; mini world: 1e-3)"
    tuned.add_argument("--rate", type=float, help=words)
    tuned.add_argument("--freeze-embeddings", action="store_true", help="leave the word vectors as they are")
    tuned.add_argument("--bf16", action="store_true", help="compute in bfloat16 where that is safe")
    tuned.add_argument("--seed", type=int, default=0, help="of the order of rows, and of a new classifier (default: 0)")
    return parser.parse_args(arguments)


def _column(text: str) -> tuple[str, str]:
    """`language=lang` as (our name, theirs)."""
    ours, equals, theirs = text.partition("=")
    if not (ours and equals and theirs):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form language=lang (our name, then yours)")
    return ours, theirs


_COLUMNS: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "OURS=YOURS", "type": _column, "default": []}
_COLUMNS["help"] = f"what your own rows call our columns, language=lang say; ours are {', '.join(COLUMNS)}"
_LANGUAGES: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "LANGUAGE"}


def _command(names: Any, name: str, words: str) -> argparse.ArgumentParser:
    parser = names.add_parser(name, help=words)
    parser.set_defaults(command=name)
    return parser


def _methods(parser: argparse.ArgumentParser, words: str, required: bool = True) -> None:
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="see 'python -m minimeta methods'")
    parser.add_argument("--target", required=required, help=words, **_LANGUAGES)


def _kept(parser: argparse.ArgumentParser) -> None:
    words = "where the results are kept, run by run"
    parser.add_argument("--out", type=_path, required=True, metavar="FOLDER", help=words)
    words = "keep each trained model as a Hugging Face directory in models/ there"
    parser.add_argument("--save", action="store_true", help=words)
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="tests: zero-shot, few-shot, fine-tuned")


def _shared(parser: argparse.ArgumentParser, tables: bool = False) -> None:
    """The options that all runs have; the runs of `tables` know their task, or have two."""
    add, two = parser.add_argument, {"nargs": "+", "metavar": ("DIR", "DIR")} if tables else {}
    scale = os.environ.get("MINIMETA_SCALE") or "toy"
    add("--scale", default=scale, help="toy, small or full (default: toy)")
    if not tables:
        kinds = " or ".join(task.title for task in TASKS.values())
        add("--task", default="nli", choices=list(TASKS), help=f"{kinds} (default: nli)")
    there = ", ".join(f"for {task} {archives(task)}" for task in TASKS)
    words = f"the archive ({there}), the directory that it unpacks to, or one that holds either "
    words += "(default at toy: the mini world)" + "; a table with both tasks may name two" * tables
    words += f"; or rows of your own: a file that ends in {', '.join(ENDINGS['nli'])} (qa: {', '.join(ENDINGS['qa'])}, "
    words += "as SQuAD has it), a directory of them, or the name of a data set on the Hugging Face hub"
    add("--data", type=_path, help=words, **two)
    add("--columns", **_COLUMNS)
    words = "a Hugging Face directory or name of a BERT or XLM-R fine-tuned for the task (default at toy: the tiny "
    words += "encoder)" + "; a table with both tasks needs two, for NLI and for qa" * tables
    add("--encoder", type=_path, help=words, **two)
    if not tables:
        words = "a tree of languages for Fixed TreeMAML and its control, the random tree: a file in Newick or NEXUS, "
        words += "uriel:KIND (see 'python -m minimeta tree'), or gradients (default: Figure 2 of TreeMAML)"
        add("--tree", type=_path, metavar="FILE", help=words)
        _tree(parser)
    words = "settings of your own for all methods, inner_steps=8 outer_rate=3e-4 for two; their names are the fields "
    words += "of minimeta.studies.recipes.Settings; where one may be none, write all"
    add("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=words)
    words = "the same from a TOML file: lines at its top are for all methods, those below [x-maml] for that method"
    words += "; --set wins over the file"
    add("--settings", type=_path, metavar="FILE", help=words)
    add("--first-order", action="store_true", help="meta-train without the second derivatives")
    words = "compute N tasks at a time: less memory, the same numbers, more time (default: all tasks)"
    add("--tasks-per-chunk", type=int, metavar="N", help=words)
    add("--bf16", action="store_true", help="multiply matrices in bfloat16; sums stay in float32")
    words = "where to compute: cpu, mps, cuda or cuda:1 (default: a GPU, one for each worker, if there is one)"
    add("--device", metavar="NAME", help=words)
    add("--cache", type=_path, metavar="DIR", help="keep frozen layers' output there; its size is printed first")
    add("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: 3)")
    add("--workers", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    add("--scheduler", metavar="ADDRESS", help="a Dask scheduler whose workers do the runs")
    add("--threads", type=int, metavar="N", help="threads of each (default: 1, or up to 4 if alone)")


def _tree(parser: argparse.ArgumentParser) -> None:
    """The options of a tree of languages."""
    words = "a table with two columns: a node of the tree, and the code of its language"
    parser.add_argument("--tree-names", type=_path, metavar="FILE", help=words)
    words = "how it is brought to as many levels as there are inner steps: by depth, or, if it is dated, by cuts "
    words += "through time (default: depth)"
    parser.add_argument("--tree-by", choices=("depth", "length"), default="depth", help=words)


def _path(text: str) -> str:
    """A path or the name of an encoder as it was typed, but for ~, which a shell leaves as it is in `--out=~/x`."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    try:
        return expanded(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None
