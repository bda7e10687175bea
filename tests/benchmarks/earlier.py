"""The code of an earlier commit as a peer, in a process of its own: one process cannot import two minimetas.

The process builds a case of `cases` with the earlier package and computes its meta-gradient when it is asked to, so
that it can take turns with the methods of this process. The commit must have `gradient.meta_gradient(learner, episode,
loop)`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
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
    return {**os.environ, "PYTHONPATH": str(code)}


class Earlier:
    """A `timing.Timed` method: the case's meta-gradient by the code in the folder `code`. Close it at the end."""

    def __init__(self, code: Path, case: str, device: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, case, device],
            env=environment(code),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if Path(self._ask("where")).resolve().parent.parent != code.resolve():
            sys.exit(f"Another minimeta than that of {code} was imported.")

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
        answer = self.process.stdout.readline().strip()
        if not answer:
            sys.exit("The earlier code cannot be measured; its process has said why.")
        return answer


def main() -> None:
    """Answer the questions of an `Earlier`, a line each."""
    from cases import eager, load
    from timing import Here

    import minimeta

    name, device = sys.argv[1:]
    torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
    case = load(name, device)
    method = Here(lambda: eager(case), device)
    for line in sys.stdin:
        question, _, given = line.strip().partition(" ")
        if question == "where":
            answer = minimeta.__file__
        elif question == "gradient":
            torch.save(method.gradient(), given)
            answer = given
        else:
            answer = method.seconds(int(given))
        print(answer, flush=True)


if __name__ == "__main__":
    main()
