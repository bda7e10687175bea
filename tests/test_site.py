"""The course as pages: built once from the stored outputs, then read as a reader without a kernel would."""

import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from axe_playwright_python.sync_playwright import Axe
from test_lab import page, wait  # noqa: F401

ROOT = Path(__file__).parent.parent
BOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run([sys.executable, ROOT / "site" / "build.py", folder], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / "html"


class Reader(HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self):
        super().__init__()
        self.links, self.anchors, self.headings = [], {""}, []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        self.links += [given[name] for name in ("href", "src") if given.get(name)]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


def read(path):
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    return reader


def test_every_notebook_and_text_has_a_page(site):
    assert {f"{stem}.html" for stem in BOOKS} <= {path.name for path in (site / "notebooks").iterdir()}
    for name in ("index", "README", "papers", "tests/benchmarks/RESULTS", "notebooks/assignments/README",
                 "api/minimeta.otd", "_modules/minimeta/otd", "search"):  # fmt: skip
        assert (site / f"{name}.html").is_file(), name
    assert "72.20" in (site / "papers.html").read_text("utf-8") or "72.2" in (site / "papers.html").read_text("utf-8")


def test_no_solution_of_a_problem_set_is_published(site):
    for path in site.rglob("*"):
        assert "source/ps" not in path.as_posix()
        if path.suffix in (".html", ".ipynb", ".js"):
            assert "BEGIN HIDDEN TESTS" not in path.read_text("utf-8"), path.name


def test_all_is_small(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 30e6
    shared = sum(path.stat().st_size for path in (site / "_static").glob("*.css"))
    for path in (site / "notebooks").glob("*.html"):
        assert path.stat().st_size + shared < 1.5e6, path.name


def test_every_internal_link_and_anchor_leads_somewhere(site):
    pages = {path: read(path) for path in site.rglob("*.html")}
    assert len(pages) > 80
    for path, found in pages.items():
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or (path.name in ("genindex.html", "search.html") and "?" in link):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.relative_to(site)} links to {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.relative_to(site)} links to {link}"


def test_headings_come_in_order(site):
    for stem in BOOKS:
        levels = read(site / "notebooks" / f"{stem}.html").headings
        assert levels[0] == 1 and levels.count(1) == 1, stem
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), (stem, levels)


def open_site(page, address):  # noqa: F811
    """Open a page with all other hosts out of reach; what it said and asked for."""
    page.set_viewport_size({"width": 1300, "height": 1000})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.context.set_offline(True)
    page.goto(address.as_uri())
    return said, asked


@pytest.mark.parametrize("stem", BOOKS)
def test_a_page_works_alone_and_its_figures_are_alive(page, site, stem):  # noqa: F811
    said, asked = open_site(page, site / "notebooks" / f"{stem}.html")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    places = page.locator(".minimeta")
    for i in range(places.count()):
        places.nth(i).scroll_into_view_if_needed()
        places.nth(i).locator(".js-plotly-plot .main-svg").first.wait_for(timeout=60_000)
    assert places.count() > 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 1300
    assert not said, said
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked
    page.set_viewport_size({"width": 400, "height": 800})
    wait(lambda: page.evaluate("document.documentElement.scrollWidth") <= 400)


def test_a_figure_that_is_folded_comes_when_it_is_opened(page, site):  # noqa: F811
    open_site(page, site / "notebooks" / "00_start_here.html")
    first = page.locator(".minimeta").first
    assert not first.is_visible()
    page.locator("details", has=first).locator("summary").first.click()
    first.locator(".js-plotly-plot .main-svg").first.wait_for()


def test_letters_follow_the_theme(page, site):  # noqa: F811
    open_site(page, site / "index.html")
    letter = page.locator(".js-plotly-plot .xtick text, .js-plotly-plot .gtitle").first
    letter.wait_for()

    def colour():
        return letter.evaluate("each => getComputedStyle(each).fill")

    page.evaluate("document.body.dataset.theme = 'light'")
    wait(lambda: sum(map(int, re.findall(r"\d+", colour())[:3])) < 250)
    page.evaluate("document.body.dataset.theme = 'dark'")
    wait(lambda: sum(map(int, re.findall(r"\d+", colour())[:3])) > 500)


@pytest.mark.parametrize("name", ["index", "notebooks/03_growing_trees", "notebooks/05_tree_explorer", "papers"])
def test_a_screen_reader_finds_its_way(page, site, name):  # noqa: F811
    open_site(page, site / f"{name}.html")
    if page.locator(".minimeta").count():
        page.locator(".minimeta").first.scroll_into_view_if_needed()
        page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=60_000)
    rules = ["image-alt", "button-name", "label", "select-name", "link-name", "document-title", "html-has-lang",
             "heading-order", "aria-allowed-attr", "aria-valid-attr-value", "role-img-alt", "svg-img-alt"]  # fmt: skip
    found = Axe().run(page, options={"runOnly": {"type": "rule", "values": rules}}).response["violations"]
    told = [(each["id"], [node["html"][:150] for node in each["nodes"][:3]]) for each in found]
    assert not told, told


def test_the_search_finds_a_word(page, site):  # noqa: F811
    open_site(page, site / "search.html")
    page.goto((site / "search.html").as_uri() + "?q=covering")
    page.get_by_role("link", name="Which rows").first.wait_for()


def test_links_to_binder_and_colab_come_with_the_repository(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "site"))
    import build

    book = ROOT / "notebooks" / "01_maml.ipynb"
    monkeypatch.setenv("GITHUB_REPOSITORY", "some/course")
    said = build.open_in(book)
    assert "https://mybinder.org/v2/gh/some/course/HEAD?labpath=notebooks/01_maml.ipynb" in said
    assert "https://colab.research.google.com/github/some/course/blob/HEAD/notebooks/01_maml.ipynb" in said
    monkeypatch.setattr(build, "github", lambda: "")
    assert "http" not in build.open_in(book)
