"""Headless Chromium for tests and pictures: Debian's if it is installed, else Playwright's own."""

import contextlib
import os
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, Error, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A running browser; raises FileNotFoundError with what to do if there is none."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            raise FileNotFoundError(
                "No Chromium to start; install the system's package chromium, or run 'playwright install chromium'."
            ) from error
        try:
            yield running
        finally:
            running.close()
