"""The options of the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from .errors import InputError
from .files import expanded


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are the same one clear sentence as all others."""

    def error(self, message: str) -> NoReturn:
        if "METHOD" in message:
            message = "name the methods first, then --target: no METHOD was given"
        raise InputError(f"{message[0].upper()}{message[1:]}; see '{self.prog} --help'.")


def parse(arguments: Sequence[str] | None, commands: Mapping[str, Callable[..., None]]) -> argparse.Namespace:
    """The options of a command line; `command` is what does it. Raises InputError for a call that cannot be parsed."""
    parser = _Parser(prog="python -m minimeta", description="Meta-learning on task trees, taught in notebooks.")
    names = parser.add_subparsers(required=True, metavar="COMMAND")
    methods = names.add_parser("methods", help="list the methods")
    methods.set_defaults(command=commands["methods"])
    run = names.add_parser("run", help="train methods, score them on target languages, print a table")
    run.set_defaults(command=commands["run"])
    run.add_argument("--out", type=_path, default="runs", help="where a folder for this run is made (default: runs)")
    run.add_argument("--resume", type=_path, metavar="FOLDER", help="go on with a run that was stopped, in its folder")
    grid = names.add_parser("study", help="a grid of runs that can be stopped and started again")
    grids = grid.add_subparsers(required=True, metavar="GRID")
    one_out = grids.add_parser("leave-one-out", help="each target left out in turn (TreeMAML, Table 1)")
    one_out.set_defaults(command=commands["leave_one_out"])
    moved = grids.add_parser("transfer", help="each auxiliary, scored on every target (XLA-MAML, Figure 2)")
    moved.set_defaults(command=commands["transfer"])
    for parser_of in (one_out, moved):
        parser_of.add_argument(
            "--out", type=_path, required=True, metavar="FOLDER", help="where the results are kept, run by run"
        )
        parser_of.add_argument("--kinds", nargs="+", metavar="KIND", help="tests: zero-shot, few-shot, fine-tuned")
    for parser_of in (run, one_out, moved):
        parser_of.add_argument("methods", nargs="+", metavar="METHOD", help="see 'python -m minimeta methods'")
        every = parser_of is moved
        parser_of.add_argument(
            "--target",
            nargs="+",
            action="extend",
            required=not every,
            metavar="LANGUAGE",
            help="languages to score" + (" (default: all that have test rows)" if every else ""),
        )
        if parser_of is not one_out:
            parser_of.add_argument(
                "--aux",
                nargs="+",
                action="extend",
                required=every,
                default=None if every else [],
                metavar="LANGUAGE",
                help="auxiliary languages" + (", one run for each; a pair is written bg+de" if every else ""),
            )
        _shared(parser_of)
    again = names.add_parser("reproduce", help="a table of the papers again, theirs beside ours")
    again.set_defaults(command=commands["reproduce"])
    again.add_argument("table", metavar="TABLE", help="treemaml-table1, xla-table3 to xla-table7, or xla-figure2")
    again.add_argument(
        "--targets",
        nargs="+",
        action="extend",
        metavar="LANGUAGE",
        help="languages to score (default: all of the paper's that have test rows)",
    )
    again.add_argument(
        "--out", type=_path, metavar="FOLDER", help="where all is kept, run by run (default: runs/reproduce-TABLE)"
    )
    again.add_argument("--no-train", action="store_true", help="only show what the folder has")
    _shared(again, tables=True)
    shown = names.add_parser("results", help="print the tables of a study's folder")
    shown.set_defaults(command=commands["results"])
    shown.add_argument("folder", type=_path, metavar="FOLDER")
    shown.add_argument(
        "--csv",
        type=_path,
        metavar="NAME",
        help="also write NAME.csv (differences) and NAME_accuracies.csv (qa: _scores)",
    )
    tiny = names.add_parser("pretrain-tiny", help="pretrain the tiny encoder on the mini world's text")
    tiny.set_defaults(command=commands["pretrain_tiny"], name="pretrain-tiny")
    tiny.add_argument("--out", type=_path, required=True, metavar="DIR", help="a new directory for the encoder")
    tiny.add_argument("--seed", type=int, default=0)
    stage_two = names.add_parser("finetune", help="fine-tune an encoder on English (stage two)")
    stage_two.set_defaults(command=commands["finetune"], name="finetune")
    stage_two.add_argument("task", choices=["nli", "qa"])
    stage_two.add_argument("--out", type=_path, required=True, metavar="DIR", help="a new directory for the classifier")
    stage_two.add_argument("--encoder", type=_path, help="a Hugging Face directory or name (default: the tiny encoder)")
    stage_two.add_argument(
        "--data",
        type=_path,
        help="a directory with multinli_1.0.zip, or squad.zip for qa (default: the mini world's English)",
    )
    stage_two.add_argument("--split", default="train", help="the rows to train on (default: train)")
    stage_two.add_argument("--rows", type=int, metavar="N", help="train on N of them, drawn from the seed")
    stage_two.add_argument("--epochs", type=float, help="passes over the rows (default: the paper's, 3 or 2)")
    stage_two.add_argument("--rate", type=float, help="AdamW's rate (default: the paper's, 2e-5 or 3e-5)")
    stage_two.add_argument("--freeze-embeddings", action="store_true", help="leave the word vectors as they are")
    stage_two.add_argument("--bf16", action="store_true", help="compute in bfloat16 where that is safe")
    stage_two.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def _shared(parser: argparse.ArgumentParser, tables: bool = False) -> None:
    """The options that all runs have; the runs of `tables` know their task, or have two."""
    two = {"nargs": "+", "metavar": ("DIR", "DIR")} if tables else {}
    parser.add_argument(
        "--scale", default=os.environ.get("MINIMETA_SCALE") or "toy", help="toy, small or full (default: toy)"
    )
    if not tables:
        parser.add_argument(
            "--task", default="nli", choices=["nli", "qa"], help="NLI or question answering (default: nli)"
        )
    parser.add_argument(
        "--data",
        type=_path,
        help="a directory with XNLI-1.0.zip (for qa: MLQA_V1.zip), the archive, or its unpacked directory (default at "
        "toy: mini-NLI and mini-QA)" + ("; a table with both tasks may name two" if tables else ""),
        **two,
    )
    parser.add_argument(
        "--encoder",
        type=_path,
        help="a Hugging Face directory or name of a BERT or XLM-R fine-tuned for the task (default at toy: the tiny "
        "encoder)" + ("; a table with both tasks needs two, for NLI and for qa" if tables else ""),
        **two,
    )
    parser.add_argument("--first-order", action="store_true", help="meta-train without the second derivatives")
    parser.add_argument(
        "--tasks-per-chunk",
        type=int,
        metavar="N",
        help="compute N tasks at a time: less memory, the same numbers, more time (default: all tasks)",
    )
    parser.add_argument("--bf16", action="store_true", help="multiply matrices in bfloat16; sums stay in float32")
    parser.add_argument(
        "--cache", type=_path, metavar="DIR", help="keep frozen layers' output there; its size is printed first"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: 3)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler whose workers do the runs")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each (default: 1, or up to 4 if alone)")


def _path(text: str) -> str:
    """A path or the name of an encoder as it was typed, but for ~, which a shell leaves as it is in `--out=~/x`."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    try:
        return expanded(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None
