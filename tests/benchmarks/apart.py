"""A method in a process of its own, with this code or that of an earlier commit.

One process cannot import two minimetas, and what one method leaves in memory would change the time of the next: large
products gain or lose a third by whether the memory that they need is still there from the call before. The process
builds a case of `cases` and computes its meta-gradient when it is asked to, so that methods can take turns. An earlier
commit must have `gradient.meta_gradient(learner, episode, loop)`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from functools import cached_property
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]


def code_of(before: str, folder: Path) -> Path:
    """The folder that holds the package `minimeta` of a commit, unpacked below `folder`; a folder is taken as it is."""
    if (Path(before) / "minimeta").is_dir():
        return Path(before).resolve()
    done = subprocess.run(["git", "-C", ROOT, "archive", before, "minimeta", "data"], capture_output=True)
    if done.returncode:
        sys.exit(f"{before} is neither a folder with minimeta nor a commit: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def environment(code: Path) -> dict[str, str]:
    """The environment of a process that imports the `minimeta` in `code`."""
    path = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


class Apart:
    """A `timing.Timed` method: a case's gradient, computed by the code in the folder `code`. Close it at the end.

    `missing` is the module that it needs and does not find, if there is one; then it cannot be asked for anything.
    """

    def __init__(self, case: str, method: str, device: str, code: Path = ROOT) -> None:
        self.code = code
        self.process = subprocess.Popen(
            [sys.executable, __file__, case, method, device],
            env=environment(code),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @cached_property
    def missing(self) -> str:
        """Wait until it is ready, or is not."""
        where, _, missing = self._answer().partition(" without ")
        if Path(where).resolve().parents[1] != self.code.resolve():
            sys.exit(f"Another minimeta than that of {self.code} was imported: {where}")
        return missing

    def gradient(self) -> Tensor:
        with TemporaryDirectory() as folder:
            return torch.load(self._ask(f"gradient {folder}/gradient.pt"))

    def seconds(self, calls: int) -> float:
        return float(self._ask(f"seconds {calls}"))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

    def _ask(self, question: str) -> str:
        print(question, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> str:
        answer = self.process.stdout.readline().strip()
        if not answer:
            sys.exit("A method cannot be measured; its process has said why.")
        return answer


def main() -> None:
    """Say where minimeta is, and whether a module is missing; then answer questions, a line each."""
    from cases import OURS, load
    from peers import HEADS, WAVES
    from timing import Here

    import minimeta

    name, method, device = sys.argv[1:]
    torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
    try:
        here = Here((OURS | WAVES | HEADS)[method](load(name, device)), device)
    except ModuleNotFoundError as error:
        if method not in WAVES:  # the peers of which some may be missing
            raise
        print(f"{minimeta.__file__} without {error.name}", flush=True)
        return
    print(minimeta.__file__, flush=True)
    for line in sys.stdin:
        question, given = line.split(maxsplit=1)
        if question == "gradient":
            torch.save(here.gradient(), given.strip())
            print(given.strip(), flush=True)
        else:
            print(here.seconds(int(given)), flush=True)


if __name__ == "__main__":
    main()
