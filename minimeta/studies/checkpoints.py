"""Checkpoints: a meta-training that was stopped, however it was stopped, goes on bit for bit where it was.

A checkpoint is one safetensors file (nothing is unpickled): ω, Adam's moments, the state of the random generators,
and as text in its header the outer step, the scheduler, the outer losses so far and what the training was made of.
Episodes need no state: a sampler is a function of the outer step. Dropout and other layers that draw are covered by
the generators.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..files import expanded, whole_file
from ..outer import Report, meta_train

FREE = ("tasks_per_chunk",)
"""What a training is made of and may change when it goes on: it changes no number but by rounding."""

KEPT = 2
"""How many checkpoints are kept; the older ones are removed when a new one is whole."""


def train(
    training: meta_train,
    folder: str | Path,
    made_of: dict[str, Any],
    every: float = 60.0,
    progress: Callable[[Iterator[Report]], Iterable[Report]] = lambda reports: reports,
) -> list[float]:
    """Run a meta-training to its end with a checkpoint every `every` seconds and at the end; returns all outer losses.

    Goes on from the last whole checkpoint in `folder`, if there is one. `made_of` (settings, seed: anything JSON can
    hold) is kept with it. `progress` wraps the reports of the steps that are left (`tqdm.auto.tqdm`, say). Ctrl-C
    writes a checkpoint and goes on out. Raises InputError where `resume`, `save` and the training do; the last good
    checkpoint is then still there.
    """
    folder = Path(expanded(folder))
    losses = resume(training, folder, made_of)
    saved, at = time.monotonic(), training.step

    def reports() -> Iterator[Report]:
        nonlocal saved, at
        for report in training:
            losses.append(report.outer_loss)
            if time.monotonic() - saved >= every:
                save(training, folder, losses, made_of)
                saved, at = time.monotonic(), training.step
            yield report

    try:
        for _ in progress(reports()):
            pass
    except KeyboardInterrupt:
        if training.last is not None and training.step == len(losses) + 1:  # it came in the middle of an update
            losses.append(training.last.outer_loss)
        if training.step == len(losses) > at:
            save(training, folder, losses, made_of)
        raise
    if training.step > at:
        save(training, folder, losses, made_of)
    return losses


def save(training: meta_train, folder: str | Path, losses: list[float], made_of: dict[str, Any]) -> Path:
    """Write a checkpoint whole or not at all, and remove all but the last KEPT. Raises InputError if there is no room.

    `losses` are the outer losses of the steps so far, `made_of` what `resume` has to find again.
    """
    from safetensors.torch import save_file

    state = training.optimizer.state_dict()
    scheduler = {name: value for name, value in training.scheduler.state_dict().items() if name != "lr_lambdas"}
    tensors = {f"parameters.{i}": p.detach() for i, p in enumerate(training.parameters)}
    tensors |= {f"optimizer.{i}.{name}": value for i, own in state["state"].items() for name, value in own.items()}
    tensors |= {f"random.{name}": value for name, value in _generators().items()}
    text = {"step": training.step, "losses": losses, "scheduler": scheduler, "groups": state["param_groups"]}
    text |= {"made_of": made_of}
    path = Path(folder) / f"step-{training.step:08d}.safetensors"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            # Contiguous copies: safetensors refuses memory that tensors share.
            own = {name: value.contiguous().clone() for name, value in tensors.items()}
            save_file(own, unfinished, {"training": json.dumps(text)})
    except Exception as error:
        if not isinstance(error, OSError) and "I/O" not in str(error) and "os error" not in str(error):
            raise
        last = _found(folder)
        kept = f"the last good one is {last[-1]}" if last else "there is none yet"
        full = any(words in str(error).lower() for words in ("no space", "quota", "too large"))
        todo = "Make room" if full else f"See to it that {path.parent} is there and no other process is at work on it"
        raise InputError(
            f"The checkpoint {path} could not be written ({error}); {kept}. {todo}, then start again."
        ) from None
    for old in _found(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def resume(training: meta_train, folder: str | Path, made_of: dict[str, Any]) -> list[float]:
    """Put a training that has not begun into the state of the last whole checkpoint; returns the outer losses so far.

    Without a checkpoint nothing changes and there are none. A damaged file is left out with a warning. Raises
    InputError if the checkpoint is of another training.
    """
    for path in reversed(_found(folder)):
        try:
            tensors, text = _read(path)
        except Exception as error:  # safetensors' own error has no public base beside Exception
            warnings.warn(f"{path} cannot be read ({error}); the checkpoint before it is used.", stacklevel=2)
            continue
        now, then = json.loads(json.dumps(made_of)), text["made_of"]
        odd = sorted(name for name in now.keys() | then.keys() if name not in FREE and now.get(name) != then.get(name))
        shapes = [tuple(tensors[name].shape) for name in tensors if name.startswith("parameters.")]
        if odd or sorted(shapes) != sorted(tuple(p.shape) for p in training.parameters):
            raise InputError(
                f"{path} is a checkpoint of another training (it differs in {', '.join(odd) or 'its parameters'}); "
                "use another folder, or delete it to begin again."
            )
        _restore(training, tensors, text)
        return text["losses"]
    return []


def header(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says about itself: `step`, `losses`, `made_of` and more (see `checkpoints.save`).

    Raises InputError if it is no whole checkpoint.
    """
    from safetensors import safe_open

    if not Path(path).exists():
        raise InputError(f"There is no checkpoint {path}.")
    try:
        with safe_open(path, "pt") as file:
            return json.loads(file.metadata()["training"])
    except Exception as error:  # safetensors' own error has no public base beside Exception
        raise InputError(f"{path} is no whole checkpoint ({error}); the one before it will be used.") from None


def _restore(training: meta_train, tensors: dict[str, Tensor], text: dict[str, Any]) -> None:
    with torch.no_grad():
        for i, p in enumerate(training.parameters):
            p.copy_(tensors[f"parameters.{i}"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, part = name.split(".")
            state.setdefault(int(i), {})[part] = value
    training.optimizer.load_state_dict({"state": state, "param_groups": text["groups"]})
    training.scheduler.load_state_dict(text["scheduler"] | {"lr_lambdas": [None]})
    training.step = text["step"]
    torch.set_rng_state(tensors["random.cpu"])
    for i in range(torch.cuda.device_count()):
        if f"random.cuda.{i}" in tensors:
            torch.cuda.set_rng_state(tensors[f"random.cuda.{i}"], i)


def _generators() -> dict[str, Tensor]:
    """The states of torch's global generators."""
    cuda = {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return {"cpu": torch.get_rng_state()} | cuda


def _found(folder: str | Path) -> list[Path]:
    return sorted(Path(folder).glob("step-*.safetensors"))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, header(path)
