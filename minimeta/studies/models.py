"""The models that a study keeps: one Hugging Face directory for each training, with a card that says what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import expanded, read_json
from ..inner import Learner
from ..text import saving
from ..text.features import Encoder
from ..text.languages import ordered
from ..text.metrics import METRICS
from .checkpoints import FREE
from .comparisons import cell_of
from .methods import METHODS, Cell
from .recipes import Settings

_CALLS = {
    "nli": """from transformers import pipeline

classify = pipeline("text-classification", "{name}")
classify({asked}, truncation=True)""",
    "qa": """from transformers import AutoModelForQuestionAnswering, AutoTokenizer

model = AutoModelForQuestionAnswering.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
scores = model(**tokenizer("the question", "the passage", truncation="only_second", return_tensors="pt"))""",
}


def located(folder: str | Path) -> Path:
    """Where models are kept, good in any working directory; raises InputError if it can be no directory."""
    path = Path(expanded(folder)).absolute()
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise InputError(f"No model can be kept in {folder}: {nearest} is no directory that can be written to.")
    return path


def lacking(kept: Path, made: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The names of those models that are not in `kept`; raises InputError if something else is in a place of theirs.

    `made` is by name what `made_of` says of each.
    """
    names = set()
    for name, own in made.items():
        path = kept / name
        if not path.exists():
            names.add(name)
            continue
        record, remedy = path / "made.json", f"remove {path}, and the model is made again"
        found = read_json(record, remedy) if record.is_file() else {}
        if found.get("made_of") != own:
            raise InputError(
                f"{path} is there and is not the model of this run; name another directory for the models."
            )
    return names


def made_of(cell: Cell, seed: int, settings: Settings, content: Mapping[str, Any]) -> dict[str, Any]:
    """What a model depends on, as JSON: its cell, seed and settings, and the content that it was trained on.

    `content` is what `identity.made_of` says of these languages, and maybe of others.
    """
    fixed = {name: value for name, value in asdict(settings).items() if name not in FREE}
    texts = {code: content["texts"][code] for code in sorted(cell.languages)}
    plain = asdict(cell) | {"auxiliaries": list(cell.auxiliaries)}
    return plain | {"seed": seed, "settings": fixed} | {**content, "texts": texts}


def keep(
    path: Path,
    learner: Learner,
    encoder: Encoder,
    record: Mapping[str, Any],
    shared: Mapping[str, Any],
    made: Mapping[str, Any],
    single: bool = False,
) -> None:
    """Write the learner of a run as the directory `path`, whole or not at all; `record` is that of `recipes.run`.

    `shared` is what the study's folder says of all its runs, `made` what `made_of` says of this one. `single`: a
    classifier reads single texts, not pairs.
    """
    task = shared["task"]
    scores = {
        target: {
            kind: {metric.name: score[metric.name] for metric in METRICS[task]} | {"n": score["n"]}
            for kind, score in kinds.items()
        }
        for target, kinds in record["results"].items()
    }
    told = {name: record[name] for name in ("encoder", "versions")} | {"data": shared["data"], "results": scores}
    saving.save(learner, encoder, path, card(path.name, record, shared, single), {"made_of": made} | told)


def card(name: str, record: Mapping[str, Any], shared: Mapping[str, Any], single: bool = False) -> str:
    """The model card of a run: method, languages, settings, scores, and how to load it. `name` is its directory's."""
    asked = '"the text"' if single else '{"text": "the first text", "text_pair": "the second one"}'
    cell, task = cell_of(dict(record)), shared["task"]
    method, metrics = METHODS[cell.method], METRICS[task]
    data, encoder = (Path(each).name for each in (shared["data"], record["encoder"]))
    settings = record["settings"]
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {'text-classification' if task == 'nli' else 'question-answering'}",
        "language:",
        *(f"- '{code}'" for code in ordered(cell.languages)),
        "tags: [meta-learning, minimeta]",
        "---",
        f"# {method.title}: {name}",
        "",
        f"The encoder `{encoder}`, meta-trained with minimeta on {shared['corpus']} (`{data}`) by {method.title} "
        f"({method.source}), seed {record['seed']}, {settings['scale']} scale. These are the meta-parameters ω, before "
        "any adaptation to a target language.",
        "",
        f"- Auxiliary languages: {', '.join(cell.auxiliaries)}; a task is a language"
        f"{', and a genre where rows have one' * cell.by_genre}.",
    ]
    others = [code for code in cell.languages if code not in cell.auxiliaries]
    lines += [f"- Its support rows are in {', '.join(others)}."] * bool(others)
    if settings["bf16"]:
        lines += ["- Trained and scored with products in bfloat16; in float32 single answers may differ."]
    lines += ["", "## Use", "", "```python", _CALLS[task].format(name=name, asked=asked), "```", ""]
    longer = "`truncation` cuts where that was done" if task == "nli" else "longer passages were read in windows"
    lines += [f"It was trained and scored on at most {settings['max_length']} tokens at a time; {longer}."]
    lines[-1] += (
        " Its texts were in Unicode's form NFC." if task == "nli" else " Its questions were in Unicode's form NFC."
    )
    lines += [f"To go on from it: `python -m minimeta run … --encoder {name}`.", "", "## Scores", ""]
    zero_shot = "the model as it is here"
    if method.pools and task == "nli":
        zero_shot = "a copy of the model after inner steps on training tasks, by which this method goes to a new task"
    lines += [f"On test rows, in %. Zero-shot is {zero_shot}; few-shot and fine-tuned are copies after adaptation to "]
    lines[-1] += "the target's dev rows."
    lines += ["", "| target | test | rows | " + " | ".join(metric.title for metric in metrics) + " |"]
    lines += ["|---|---|---:|" + "---:|" * len(metrics)]
    for target, kinds in record["results"].items():
        for kind, score in kinds.items():
            numbers = " | ".join(f"{score[metric.name]:.2f}" for metric in metrics)
            lines += [f"| {target} | {kind} | {score['n']} | {numbers} |"]
    lines += ["", "## Settings", "", "| setting | value |", "|---|---|"]
    lines += [f"| {key} | {'all' if value is None else value} |" for key, value in settings.items()]
    versions = ", ".join(f"{key} {value}" for key, value in record["versions"].items())
    return "\n".join([*lines, "", f"Made with {versions}; `made.json` has the record.", ""])
