"""Checkpoints: a meta-training that was stopped, however it was stopped, goes on bit for bit where it was.

A checkpoint is one file of `torch.save`, read with `weights_only` (no code in it is run): ω, the states of Adam, of the
scheduler, of the random generators and of a grouping's memory, the outer step, the outer losses so far and what the
training was made of.
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

from ..errors import InputError
from ..files import expanded, whole_file
from ..outer import Report, meta_train

FREE = ("tasks_per_chunk",)
"""What a training is made of and may change when it goes on: it changes no number but by rounding."""

KEPT = 2
"""How many checkpoints are kept; the older ones are removed when a new one is whole."""


_SAID = ("step", "losses", "made_of")
_STATE = ("parameters", "optimizer", "scheduler", "random", "random_cuda", "memory", "kinds")


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
    """Write a checkpoint whole or not at all, and remove all but the last KEPT. Raises InputError if there is no room
    or JSON cannot hold `made_of`.

    `losses` are the outer losses of the steps so far, `made_of` what `resume` has to find again.
    """
    state = {
        "step": training.step,
        "losses": losses,
        "made_of": _as_json(made_of),
        "parameters": [p.detach() for p in training.parameters],
        "optimizer": training.optimizer.state_dict(),
        "scheduler": training.scheduler.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all(),
        "memory": training.memory and training.memory.state_dict(),
        "kinds": training.compiled.kinds,
    }
    path = Path(folder) / f"step-{training.step:08d}.pt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        reason: BaseException | None = error
        while reason and not isinstance(reason, OSError):  # torch puts an error of its own over that of the system
            reason = reason.__context__
        if reason is None:
            raise
        last = found(folder)
        kept = f"the last good one is {last[-1]}" if last else "there is none yet"
        full = any(words in str(reason).lower() for words in ("no space", "quota", "too large"))
        todo = "Make room" if full else f"See to it that {path.parent} is there and no other process is at work on it"
        raise InputError(
            f"The checkpoint {path} could not be written ({reason}); {kept}. {todo}, then start again."
        ) from None
    for old in found(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def resume(training: meta_train, folder: str | Path, made_of: dict[str, Any]) -> list[float]:
    """Put a training that has not begun into the state of the last whole checkpoint; returns the outer losses so far.

    Without a checkpoint nothing changes and there are none. A damaged file is left out with a warning. Raises
    InputError if the checkpoint is of another training or an older version, or `made_of` is nothing that JSON can hold.
    """
    made_of = _as_json(made_of)
    if older := sorted(Path(folder).glob("step-*.safetensors")):
        raise _older(older[-1])
    for path in reversed(found(folder)):
        try:
            state = _read(path)
        except InputError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        if any(name not in state for name in _STATE):
            raise _older(path)
        then = _as_json(state["made_of"])  # an older one may hold tuples
        odd = {name for name in made_of.keys() | then.keys() if made_of.get(name) != then.get(name)} - set(FREE)
        if (state["memory"] is None) != (training.memory is None):
            odd.add("memory")
        if odd or [p.shape for p in state["parameters"]] != [p.shape for p in training.parameters]:
            raise InputError(
                f"{path} is a checkpoint of another training (it differs in "
                f"{', '.join(sorted(odd)) or 'its parameters'}); use another folder, or delete it to begin again."
            )
        with torch.no_grad():
            for p, before in zip(training.parameters, state["parameters"], strict=True):
                p.copy_(before)
        training.optimizer.load_state_dict(state["optimizer"])
        training.scheduler.load_state_dict(state["scheduler"])
        training.step = state["step"]
        if training.memory is not None:
            training.memory.load_state_dict(state["memory"])
        training.compiled.kinds = state["kinds"]
        torch.set_rng_state(state["random"])
        for i, own in enumerate(state["random_cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(own, i)
        return state["losses"]
    return []


def header(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says about itself, without reading its tensors: `step`, `losses` and `made_of` (see `save`).

    Raises InputError if it is no whole checkpoint.
    """
    if not Path(path).exists():
        raise InputError(f"There is no checkpoint {path}.")
    state = _read(path, mmap=True)
    return {name: state[name] for name in _SAID}


def found(folder: str | Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    return sorted(Path(folder).glob("step-*.pt"))


def _older(path: Path) -> InputError:
    return InputError(
        f"{path} was written by an older version, which alone can go on from it; delete it to begin again."
    )


def _as_json(made_of: dict[str, Any]) -> dict[str, Any]:
    """What JSON makes of it, the same before and after it was in a file: numbers of NumPy become plain ones."""
    plain = {}
    for name, value in made_of.items():
        try:
            plain[name] = json.loads(json.dumps(value, default=lambda number: number.item()))
        except (AttributeError, RuntimeError, TypeError, ValueError):
            raise InputError(
                f"A training was said to be made of {name}, {value!r}; give texts, numbers, lists and dicts, "
                "which JSON can hold."
            ) from None
    return plain


def _read(path: str | Path, mmap: bool = False) -> dict[str, Any]:
    """A checkpoint; with `mmap` its tensors stay in the file until they are looked at."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        if not {*_SAID} <= state.keys():
            raise TypeError("it holds something else")
        return state
    except Exception as error:  # of many kinds, by what is wrong with the file
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]
        raise InputError(f"{path} is no whole checkpoint ({reason}); the checkpoint before it is used.") from None
