"""JupyterLab in a real browser: the notebook opens, runs to its end, and the sliders do what the text says."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))

from browser import browser  # noqa: E402
from playwright.sync_api import Error  # noqa: E402

TOKEN = "for-this-test-only"
HANG = 900_000  # milliseconds after which a step of the browser is given up: no limit, but for a page that hangs

# As if everything in the page took longer than an anywidget waits for its own start, as it can on a busy machine.
SLOW = """
if (sessionStorage.getItem("slow")) {
    const timeout = AbortSignal.timeout;
    AbortSignal.timeout = limit => timeout.call(AbortSignal, limit === 2000 ? 0 : limit);
}"""


@pytest.fixture(scope="module")
def page():
    with contextlib.ExitStack() as stack:
        try:
            chromium = stack.enter_context(browser())
        except FileNotFoundError as error:
            if os.environ.get("MINIMETA_BROWSER") == "required":
                raise
            pytest.skip(str(error))
        page = chromium.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(HANG)
        page.add_init_script(SLOW)
        yield page


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own, on a copy of the notebooks; gives its address."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", home / "notebooks", ignore=shutil.ignore_patterns(".*"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{kind}_DIR": str(home / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    folders |= {f"JUPYTERLAB_{kind}_DIR": str(home / kind) for kind in ("SETTINGS", "WORKSPACES")}
    settings = home / "SETTINGS" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false"}')  # else a question about news covers a corner of the page
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={home}"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.news_url=", "--LabApp.check_for_updates_class="
                "jupyterlab.handlers.announcements.NeverCheckForUpdate"]  # fmt: skip
    environment = {**os.environ, **folders, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            wait(lambda: urllib.request.urlopen(f"{address}/api/status?token={TOKEN}").status == 200)
            yield address
        finally:
            server.terminate()
            server.wait()


def wait(ready, looks=1000):
    """Look again and again until `ready()` is true; an error counts as not yet.

    The limit is on looks, not on seconds: a busy machine, which is slow to show something, is slow to look, too.
    """
    problem = None
    for _ in range(looks):
        try:
            if ready():
                return
        except (OSError, Error) as error:
            problem = error
        time.sleep(0.2)
    raise AssertionError(f"not seen at {looks} looks, last error: {problem}")


def reload(page, slow=True):
    """Load the page again, as on a machine where nothing starts in time, or as it is."""
    page.evaluate(f"() => sessionStorage.setItem('slow', '{'yes' * slow}')")
    page.reload()
    page.evaluate("() => sessionStorage.removeItem('slow')")


def opened(page, lab, name):
    """Open a notebook and wait for its kernel."""
    page.goto(f"{lab}/lab/tree/notebooks/{name}?token={TOKEN}&reset")
    ready = """() => {
        const panel = window.jupyterapp?.shell?.currentWidget;
        const kernel = panel?.sessionContext?.session?.kernel;
        const reset = location.search.includes('reset');  // then the page may still load again
        return !reset && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
    }"""
    wait(lambda: page.evaluate(ready))


def run_all(page, lab, name):
    """Open a notebook, run all its cells and wait for the last one."""
    opened(page, lab, name)
    page.evaluate("() => { window.finished = false; window.jupyterapp.commands.execute('notebook:run-all-cells')"
                  ".then(() => { window.finished = true; }); }")  # fmt: skip
    page.wait_for_function("() => window.finished")
    outputs = page.evaluate(
        """() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON().cells
            .flatMap(cell => cell.outputs ?? []).filter(output => output.output_type === 'error'))"""
    )
    assert json.loads(outputs) == []


def keep(page):
    """Save the notebook, so that nothing asks before a reload."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    wait(lambda: not page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.dirty"))


def write_scratch(lab, cells, name):
    """Write a notebook with these code cells into the lab."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    body = json.dumps({"type": "notebook", "content": book}).encode()
    put = urllib.request.Request(f"{lab}/api/contents/notebooks/{name}", body, method="PUT")
    put.add_header("Authorization", f"token {TOKEN}")
    urllib.request.urlopen(put)


def open_scratch(page, lab, cells, name="scratch.ipynb"):
    """Write a notebook with these code cells into the lab, open it and run it to its end; returns the page."""
    write_scratch(lab, cells, name)
    run_all(page, lab, name)
    return page


def test_the_lab_asks_for_its_token(lab):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{lab}/api/contents")
    assert error.value.code == 403


def test_start_here_runs_and_draws_its_figures(page, lab):
    run_all(page, lab, "00_start_here.ipynb")
    figure = page.locator(".js-plotly-plot", has_text="The phylogeny").first
    figure.scroll_into_view_if_needed()
    assert "Indo-European" in figure.text_content()
    assert "Deutsch" in figure.text_content()


def test_the_sliders_of_the_maml_notebook_adapt_the_network(page, lab):
    run_all(page, lab, "01_maml.ipynb")
    explorer = page.locator(".widget-vbox", has_text="inner steps").last
    explorer.scroll_into_view_if_needed()
    errors = lambda: re.findall(r"([\d.]+) before, ([\d.]+) after", explorer.inner_text())  # noqa: E731
    wait(lambda: len(errors()) == 2)
    (before, after), (_, joint_after) = errors()
    assert float(after) < 0.5 * float(before)
    assert float(after) < float(joint_after)
    plot = explorer.locator(".js-plotly-plot")

    def curves():
        plot.locator(".gtitle").wait_for()
        return plot.evaluate("plot => plot._fullData.map(({name, x, y}) => [name, x[0], x.length, [...y]])")

    traces = curves()
    assert [trace[0] for trace in traces][::5] == ["truth", "support (shots)"]
    assert all(x == -5 and points == 101 for _, x, points, _ in traces[:5])
    keep(page)
    reload(page)
    wait(lambda: explorer.count() == 1 and curves() == traces)
    plot.locator(".legendtoggle").last.click()
    hidden = lambda: plot.evaluate("plot => plot._fullData.at(-1).visible")  # noqa: E731
    wait(lambda: hidden() == "legendonly")
    handle = explorer.locator(".noUi-handle").nth(1)  # inner steps
    handle.focus()
    for _ in range(5):
        handle.press("ArrowLeft")
    wait(lambda: errors() and errors()[0][0] == errors()[0][1])  # no steps: before is after
    assert errors()[0][0] == before
    wait(lambda: curves()[1][3] == curves()[2][3] == traces[1][3])
    assert hidden() == "legendonly"


PLOT = """
import plotly.graph_objects as go
from minimeta.show.style import Plot
plot = Plot()
plot.show(go.Figure(layout_title_text="it is drawn"))
plot"""


def test_a_figure_is_drawn_after_its_kernel_was_lost_before_it_answered(page, lab):
    write_scratch(lab, [PLOT, "import time\ntime.sleep(100_000)"], "lost.ipynb")
    opened(page, lab, "lost.ipynb")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    wait(lambda: page.evaluate("() => 'minimetaPlotly' in window"))  # it has asked, and the kernel sleeps
    page.evaluate(
        """async () => {
            const panel = window.jupyterapp.shell.currentWidget;
            await panel.sessionContext.session.kernel.restart();
            panel.content.activeCellIndex = 0;
            await window.jupyterapp.commands.execute('notebook:run-cell');
        }"""
    )
    wait(lambda: page.locator(".js-plotly-plot .gtitle").all_text_contents() == ["it is drawn"])
