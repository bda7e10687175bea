"""The tree widgets in JupyterLab, in a real browser: play, scrub, click, drag, reload, in both themes."""

import contextlib
import os
import sys
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError as TooSlow

sys.path.insert(0, str(Path(__file__).parent))

from test_lab import keep, lab, open_scratch, page, reload, run_all, wait  # noqa: F401

CELLS = (
    """
import numpy as np, torch
from minimeta.inner import Learner, squared_error
from minimeta.tasks import FourierRegression, balanced_tree, branching_curves
from minimeta.show.treewidgets import OTDReplay, TreeExplorer

rng = np.random.default_rng(0)
centres = rng.standard_normal((3, 16))
names = [f"{'abc'[i % 3]}{i}" for i in range(12)]
vectors = np.stack([centres[i % 3] + 0.5 * rng.standard_normal(16) for i in range(12)])
replay = OTDReplay({"three groups": (vectors, names)}, {"three groups": {name: name[0] for name in names}})
replay""",
    """
torch.manual_seed(0)
tree = balanced_tree((2, 2, 2))
explorer = TreeExplorer(
    Learner(FourierRegression(), squared_error), branching_curves(tree)(0),
    {"branch": {task: task[0] for task in tree.leaves}, "twig": {task: task[:3] for task in tree.leaves}},
    {task: [f"<b>sentence</b> of {task}"] for task in tree.leaves}, {"the true tree": tree}, rate=0.1,
)
explorer""",
)


@pytest.fixture(scope="module")
def asked(page):  # noqa: F811
    """The addresses that the page asks for."""
    found = []
    page.on("request", lambda request: found.append(request.url))
    page.on("websocket", lambda socket: found.append(socket.url))
    return found


def outside(asked):
    """The addresses that are not on this machine."""
    return [url for url in asked if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))]


@pytest.fixture(scope="module")
def notebook(page, lab, asked):  # noqa: F811
    return open_scratch(page, lab, CELLS)


def widget(page, words):  # noqa: F811
    """The widget in which these words stand."""
    found = page.locator(".jp-OutputArea-output .widget-vbox", has_text=words).first
    found.wait_for()
    return found


def replay(page):  # noqa: F811
    return widget(page, "arrives")


def explorer(page):  # noqa: F811
    return widget(page, "agreement of their gradients")


def picture(part, n=0):
    plot = part.locator(".js-plotly-plot").nth(n)
    plot.scroll_into_view_if_needed()
    plot.locator(".gtitle").wait_for()
    return plot


def title(part):
    return picture(part).locator(".gtitle").text_content()


def step(part):
    """After how many tasks the replay shows its tree."""
    return int(title(part).split("after ")[1].split()[0])


def words(part):
    """What stands above and below the figures, also where the page is scrolled away and nothing is painted."""
    return part.locator(".widget-html").all_text_contents()


def drawn(plot):
    """Every trace that is shown: its name and its points."""
    return plot.evaluate(
        """plot => plot._fullData.filter(trace => trace.visible === true)
            .map(trace => [trace.name, ...['x', 'y'].map(axis => [...trace[axis]].map(v => v?.toFixed(6) ?? 'gap'))])"""
    )


def look(part):
    """All that a widget shows of its first tree: words and figure."""
    return words(part), drawn(picture(part))


def settled(part):
    """What the widget shows once that has stayed the same for fifteen looks, at each of which the kernel answered."""
    kept, same = None, 0

    def still():
        nonlocal kept, same
        kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        part.page.evaluate(f"async () => {{ await {kernel}.requestKernelInfo(); }}")
        now = look(part)
        kept, same = now, same + 1 if now == kept else 0
        return same == 15

    wait(still)
    return kept


def differ(one, other):
    """Whether both the words and the figure are other ones."""
    return one[0] != other[0] and one[1] != other[1]


def painted(part, afresh=False):
    """Where marks, lines and names of a picture are painted once nothing moves, or where a new plot would have them."""
    return picture(part).evaluate(
        """async (plot, afresh) => {
            await new Promise(done => setTimeout(done, 1500));
            let shown = plot;
            if (afresh) {
                shown = document.body.appendChild(document.createElement("div"));
                const {transition, ...layout} = plot.layout;
                await (await globalThis.minimetaPlotly).newPlot(shown, plot.data, layout);
            }
            const of = (marks, what) => [...shown.querySelectorAll(`.scatterlayer ${marks}`)].map(what).sort();
            const at = name => mark => mark.getAttribute(name);
            const found = [of(".point", at("transform")), of(".js-line", at("d")),
                of(".textpoint text", text => [text.textContent, at("x")(text), at("y")(text)].join())];
            if (afresh) shown.remove();
            return found;
        }""",
        afresh,
    )


def ringed(plot):
    """The position in `tree.nodes` of the node with the black ring, and the lines of its hover."""
    return plot.evaluate(
        """plot => {
            const [ring, ...traces] = plot._fullData;
            return traces.filter(trace => trace.visible === true && trace.customdata)
                .flatMap(trace => [...trace.customdata].map((node, i) => [node, trace, i]))
                .filter(([at, {x, y}, i]) => at !== null && x[i] === ring.x[0] && y[i] === ring.y[0])
                .map(([node, trace, i]) => [node, ...trace.hovertext[i].split("<br>")])
                .at(-1);  // a first task stands where its root does, and comes after it
        }"""
    )


def agree(part):
    """Whether the words of a replay are about the task with the ring."""
    return f"{ringed(picture(part))[1]} arrives" in words(part)[1]


def until(seen, act):
    """Act, and act again, until something is seen: a page that is still settling can swallow a click."""

    def tried():
        with contextlib.suppress(TooSlow):
            act()
        with contextlib.suppress(AssertionError):
            wait(seen, 50)
        return seen()

    wait(tried, 50)


def press(button):
    """Click a button if it is there; the buttons for play and pause take turns."""
    if button.count():
        button.click(timeout=20_000)


def forward(page):  # noqa: F811
    """Press the replay's button for one task more until it has come."""
    part = replay(page)
    before = step(part)
    until(lambda: step(part) > before and agree(part), lambda: press(part.locator("button:has(.fa-step-forward)")))


def move(part, label, to, one=1):
    """Press keys on the slider with this label until it stands there; a page key is worth five steps of size `one`."""
    slider = part.locator(".widget-inline-hbox", has_text=label)

    def there():
        away = round((to - float(slider.locator(".widget-readout").text_content())) / one)
        up, down = ("PageUp", "PageDown") if abs(away) >= 5 else ("ArrowRight", "ArrowLeft")
        if away:
            slider.locator(".noUi-handle").press(up if away > 0 else down)
        return not away

    wait(there)


def click(page, plot, node):  # noqa: F811
    """Click the node at this position in `tree.nodes`, as a reader would."""
    plot.scroll_into_view_if_needed()
    x, y = plot.evaluate(
        """(plot, node) => {
            for (const trace of plot._fullData) {
                const i = [...(trace.customdata ?? [])].indexOf(node);
                if (trace.visible === true && i >= 0) {
                    const box = plot.getBoundingClientRect(), {xaxis: x, yaxis: y} = plot._fullLayout;
                    return [box.x + x._offset + x.d2p(trace.x[i]), box.y + y._offset + y.d2p(trace.y[i])];
                }
            }
        }""",
        node,
    )
    page.mouse.move(x - 30, y - 30)
    page.mouse.move(x, y, steps=5)
    plot.locator(".hoverlayer .hovertext").first.wait_for(timeout=20_000)
    page.mouse.down()
    page.mouse.up()


def choose(page, part, node):  # noqa: F811
    """Click a node of the explorer's tree until it has the ring and the words are about its tasks."""

    def seen():
        at, *hover = ringed(picture(part))
        size = next(int(line.split()[0]) for line in hover if line.endswith(("leaf", "leaves")))
        return at == node and words(part)[1].startswith(f"{size} task")

    until(seen, lambda: click(page, picture(part), node))


def shoot(page, name):  # noqa: F811
    """Keep a picture of both widgets, if a directory for pictures is given."""
    if folder := os.environ.get("MINIMETA_PICTURES"):
        page.set_viewport_size({"width": 1500, "height": 2200})
        for part, which in ((replay(page), "replay"), (explorer(page), "explorer")):
            part.screenshot(path=Path(folder) / f"{which}_{name}.png")


def test_the_replay_plays_steps_and_scrubs_back(notebook):
    part = replay(notebook)
    wait(lambda: step(part) < 12)  # it plays by itself, once it is seen
    wait(lambda: step(part) == 12 and not part.locator(".fa-pause").count())  # and it stops
    move(part, "tasks", 7)
    wait(lambda: step(part) == 7 and agree(part))
    seventh, figure = settled(part)
    assert "a6 arrives" in seventh[1] and "ξσ" in seventh[1]
    assert sum(len(x) for name, x, _ in figure if name in "abc") == 7 + 3  # and a first point of no size for each label
    assert "1.000000" in figure[0][1]  # the ring of the newcomer
    forward(notebook)
    until(lambda: step(part) > 8, lambda: press(part.locator("button:has(.fa-play)")))
    wait(lambda: step(part) == 12 and not part.locator(".fa-pause").count())
    assert painted(part) == painted(part, afresh=True)  # after all that moved
    move(part, "tasks", 7)
    wait(lambda: look(part) == (seventh, figure))


def test_a_click_and_the_slider_of_xi_change_the_explorer(notebook):
    part = explorer(notebook)
    picture(part, 1)
    wait(lambda: words(part)[1].startswith("8 tasks: "))
    assert "<b>sentence</b> of" in words(part)[1]
    choose(notebook, part, 1)
    chosen, before = settled(part)
    move(part, "ξ", 2.2, 0.05)
    wait(lambda: words(part) != chosen and drawn(picture(part)) != before)


@pytest.mark.parametrize("slow", [False, True])
def test_a_reload_keeps_what_was_shown(notebook, slow):
    keep(notebook)
    forward(notebook)
    looks = [settled(part(notebook)) for part in (replay, explorer)]
    shoot(notebook, "light")
    reload(notebook, slow)
    for part, shown in zip((replay, explorer), looks, strict=True):
        wait(lambda part=part, shown=shown: look(part(notebook)) == shown)
    forward(notebook)  # and it goes on from there


def test_the_words_are_readable_in_the_dark_theme(notebook):
    notebook.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    wait(lambda: notebook.evaluate("() => document.body.dataset.jpThemeLight") == "false")
    shoot(notebook, "dark")
    for part in (replay, explorer):
        for line in part(notebook).locator(".widget-html-content, td, th, label").all():
            red, green, blue = (
                int(v) for v in line.evaluate("e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3)")
            )
            assert min(red, green, blue) > 128


def test_the_tree_explorer_notebook_answers(page, lab, asked):  # noqa: F811
    """Notebook 05 itself: play and scrub the replay, click a node, move ξ, reload."""
    run_all(page, lab, "05_tree_explorer.ipynb")
    part = replay(page)
    wait(lambda: 3 < step(part) < 36)  # it plays by itself, once it is seen
    until(lambda: not part.locator(".fa-pause").count(), lambda: press(part.locator("button:has(.fa-pause)")))
    played = settled(part)
    assert 3 < step(part) < 36 and agree(part)
    move(part, "tasks", 2)
    wait(lambda: step(part) == 2 and agree(part))
    second = settled(part)
    assert differ(played, second)
    move(part, "tasks", 9)
    wait(lambda: step(part) == 9 and agree(part))
    assert differ(second, settled(part))
    move(part, "tasks", 2)
    wait(lambda: look(part) == second)

    part = explorer(page)
    wait(lambda: words(part)[1].startswith("36 tasks: ") and ringed(picture(part))[0] == 0)
    whole = settled(part)
    choose(page, part, 1)
    chosen = settled(part)
    assert differ(whole, chosen)
    move(part, "ξ", 2.2, 0.05)
    wait(lambda: differ(chosen, look(part)))

    keep(page)
    looks = [settled(part(page)) for part in (replay, explorer)]
    reload(page)
    for part, shown in zip((replay, explorer), looks, strict=True):
        wait(lambda part=part, shown=shown: look(part(page)) == shown)
    forward(page)  # and it goes on from there
    choose(page, explorer(page), 0)
    assert words(explorer(page))[1].startswith("36 tasks: ")
    assert len(asked) > 20 and outside(asked) == []


def test_nothing_left_the_machine(notebook, asked):
    assert len(asked) > 20 and outside(asked) == []
