"""A widget that watches a study: which runs are finished, how far the others are, what has been scored so far.

It reads the study's folder and nothing else, so it can watch a study that another process, or a cluster, works on.
What the mouse does, a test or a notebook can do as well: `monitor.refresh()`, `monitor.launch()`, `monitor.stop()`.
"""

from __future__ import annotations

import asyncio
import html
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import ipywidgets

from ..errors import InputError
from ..files import expanded
from ..studies.comparisons import records_of
from ..studies.grids import Run
from ..studies.report import number
from . import studyplots
from .recording import Explorer
from .style import Plot, blank, button, complaint, in_a_row, in_turn, table

if TYPE_CHECKING:
    import pandas as pd


class StudyMonitor(Explorer):
    """Watch the study in `folder`: a tile for each run, outer losses of those that go on, the scores so far.

    `runs` are those that were asked for (the folder alone does not say what has not begun yet), `workers` how many
    are done at a time. With a `command`, the arguments of a process that runs the study, there are buttons to start
    and to stop it: the process is one of its own, so nothing is blocked while it works. Watching means `refresh` every
    `every` seconds, until all is finished or `pause` is pressed.
    """

    def __init__(
        self,
        folder: str | Path,
        runs: Sequence[Run] = (),
        command: Sequence[str] = (),
        workers: int = 1,
        every: float = 1.0,
    ) -> None:
        self.folder, self.runs, self.command = Path(expanded(folder)), list(runs), list(command)
        self.workers, self.every = workers, every
        self.process: subprocess.Popen | None = None
        self.said: IO[bytes] | None = None  # what the process complains about
        self._task: asyncio.Task | None = None
        self.start_button = button("Start the study", "play", self.launch)
        self.stop_button = button("Stop it", "stop", self.stop)
        self.watch_button = button("Watch", "eye", self.watch)
        self.pause_button = button("Pause", "pause", self.pause)
        self.refresh_button = button("Refresh", "refresh", self.refresh)
        own = [self.start_button, self.stop_button] if self.command else []
        buttons = in_a_row(*own, self.watch_button, self.pause_button, self.refresh_button)
        self.words, self.scores = ipywidgets.HTML(), ipywidgets.HTML()
        self.tiles, self.losses = Plot(), Plot()
        super().__init__([buttons, self.words, self.tiles, self.losses, self.scores])
        self.refresh()

    @in_turn
    def refresh(self) -> None:
        """Read the folder and show what it says now."""
        try:
            self.states = studyplots.states(self.folder, self.runs)
            tables = studyplots.scores_data(self.folder)
        except InputError as error:  # study.json is damaged
            self.words.value = complaint("Cannot be read:", error)
            return
        odd = "".join(f"<br><b>Cannot be read:</b> {html.escape(each)}" for each in records_of(self.folder)[1])
        self.words.value = f"<p>{html.escape(self._words())}{odd}</p>"
        self.figure = self.tiles.show(studyplots.tiles(self.states) if self.states else blank("No run yet", height=150))
        self.second = self.losses.show(studyplots.outer_losses(self.states))
        going = any(each.state == studyplots.BEGUN for each in self.states)
        self.losses.layout.display = "" if going else "none"
        self.scores.value = "".join(_table(kind, table) for kind, table in tables.items())
        self._buttons()

    @property
    def running(self) -> bool:
        """Is the study's process, which `launch` started, at work?"""
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Start the study in a process of its own, unless it is running, and watch it. What was done is not repeated.

        Raises InputError if the monitor has no command, or one that cannot be started.
        """
        if not self.command:
            raise InputError("This monitor has no command to start; it only watches. Start the study yourself.")
        if not self.running:
            if self.said is not None:
                self.said.close()
            self.said = tempfile.TemporaryFile()
            # A session of its own: an interrupt of the kernel is not one of the study.
            try:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self.said,
                    start_new_session=True,
                )
            except OSError as error:
                said = InputError(f"{self.command[0]} cannot be started ({error.strerror}); name a program that can.")
                self.words.value = complaint("Not begun:", said)  # whoever pressed the button sees no error
                raise said from None
        self.watch()

    def stop(self) -> None:
        """Stop the study's process at once, wherever it is; its last checkpoint is what it will go on from."""
        if self.running:
            self.process.terminate()
            self.process.wait()
        self.refresh()

    def watch(self) -> None:
        """Refresh every `every` seconds, in the background; needs a running event loop, as a notebook has one."""
        self.refresh()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no notebook: whoever wants to see more calls refresh()
            return
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._watch())
        self._buttons()

    def pause(self) -> None:
        """Watch no longer; the study goes on."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._buttons()

    async def finished(self, seconds: float = 600.0) -> None:
        """Wait until the study's process has ended, or all known runs are finished, and look at the folder meanwhile.

        `await` it in a cell; raises InputError after so many seconds, and if the process failed.
        """
        self.refresh()
        try:
            await asyncio.wait_for(self._done(), seconds)
        except TimeoutError:
            raise InputError(
                f"The study was not finished after {seconds:g} s: {studyplots.words(self.states, self.workers)} "
                "It goes on if its process does; look again later."
            ) from None
        if self._failed():
            raise InputError(self._words())

    async def begun(self, step: int) -> None:
        """Wait until a training has left a checkpoint of this outer step or a later one, or the process has ended."""
        while self.running:
            self.states = studyplots.states(self.folder, self.runs)
            if any(each.state == studyplots.BEGUN and each.step >= step for each in self.states):
                return
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        await self._done()
        self._task = None
        self._buttons()

    async def _done(self) -> None:
        """Refresh until the process has ended or, without one, all runs are finished."""
        while self.running if self.process else not self._complete():
            await asyncio.sleep(self.every)
            self.refresh()

    def _complete(self) -> bool:
        return bool(self.states) and all(each.state == studyplots.FINISHED for each in self.states)

    def _failed(self) -> bool:
        """Has the process ended by itself with an error?"""
        return self.process is not None and (self.process.poll() or 0) > 0

    def _words(self) -> str:
        said = studyplots.words(self.states, self.workers)
        if self._failed() and self.said is not None:
            self.said.seek(0)
            last = self.said.read().decode(errors="replace").strip().splitlines()
            said += f" The study's process has failed: {last[-1] if last else self.process.returncode}"
        elif self.running and not self._complete():
            said += " The study is running."
        elif self.process is not None and not self._complete():
            said += " The study was stopped."
        return said

    def _buttons(self) -> None:
        watching = self._task is not None and not self._task.done()
        self.start_button.disabled, self.stop_button.disabled = self.running, not self.running
        self.watch_button.disabled, self.pause_button.disabled = watching, not watching


def _table(kind: str, scores: pd.DataFrame) -> str:
    """The scores of one kind of test as HTML."""
    said = f"<b>Scores so far, in %, {html.escape(kind)}</b> (mean over the seeds that are finished)"
    lines = ([html.escape(name), *(number(value, ".1f", "") for value in values)] for name, values in scores.iterrows())
    shown = table(["", *scores.columns], lines, "text-align:end;padding:2px 10px;border-bottom:1px solid #888888")
    return f"<p>{said}</p><div style='overflow-x:auto'>{shown}</div>"
