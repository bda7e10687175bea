"""The figures and widgets of episodes and of transfer, without a browser: what they draw and say is what was drawn."""

import html
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import small_world
from datasets import Dataset

from minimeta.errors import InputError
from minimeta.show import episodes
from minimeta.show.episodes import (
    ROLES,
    EpisodeBrowser,
    coverage_data,
    language_pairs,
    language_roles,
    roles,
)
from minimeta.show.style import AROUND_ZERO
from minimeta.show.transfer import TransferMap, paper_rows, transfer_data, transfer_map
from minimeta.studies import comparisons, grids, report
from minimeta.studies.methods import METHODS
from minimeta.text import corpora
from minimeta.text.episodes import sampler
from minimeta.text.languages import XNLI, all_but
from minimeta.text.metrics import METRICS, Metric, metric_of, row_scores

ODD = "<b>x</b> & $y$ <script>"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """13 languages, 2 genres, 96 dev rows in each language."""
    return corpora.nli(small_world.write_xnli(tmp_path_factory.mktemp("xnli")))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Fewer outer steps than a reader has: they are drawn anew for each choice."""
    monkeypatch.setattr(episodes, "_STEPS", 20)


def made_up(auxiliaries=("hi", "de", "en", ("bg", "de")), targets=("de", "hi", "fr", "en"), seeds=2, premises=30):
    """A study that nobody trained: each method is right as often as its place in the list says."""
    methods = ["baseline", "joint", "x-maml", "xla-maml", "xla-maml-pair"]
    rng, label = np.random.default_rng(0), "012" * premises
    ids = [str(i // 3) for i in range(3 * premises)]
    records = []
    for run in grids.transfer(methods, auxiliaries, targets, range(seeds)):
        scores = {}
        for target in run.targets:
            right = rng.random(len(label)) < 0.5 + 0.07 * methods.index(run.cell.method)
            predicted = "".join(
                digit if ok else str((int(digit) + 1) % 3) for digit, ok in zip(label, right, strict=True)
            )
            scores[target] = {
                kind: {
                    "accuracy": metric_of("nli").score(list(predicted), list(label), ""),
                    "n": len(label),
                    "predicted": predicted,
                }
                for kind in run.cell.kinds
            }
        record = asdict(run.cell) | {"seed": run.seed, "train_seconds": 1.0, "results": scores}
        records.append(record | {"auxiliaries": list(run.cell.auxiliaries)})  # as JSON has it
    rows = {code: {"pair": ids, "premise_id": ids, "label": label} for code in targets}
    return comparisons.Results({"scale": "toy", "data": "made up", "encoder": "none"}, rows, records)


def questions(auxiliaries=("hi", "de"), targets=("hi", "fr", "zh"), seeds=2, passages=20):
    """A study of questions that nobody trained: answers that are right, half right or wrong, at random."""
    methods = ["baseline", "joint", "x-maml", "xla-maml"]
    rng, answers = np.random.default_rng(0), [{"text": [f"alpha{i} beta"]} for i in range(2 * passages)]
    records = []
    for run in grids.transfer(methods, auxiliaries, targets, range(seeds)):
        scores = {}
        for target in run.targets:
            said = [(told["text"][0], "beta", "gamma")[rng.integers(3)] for told in answers]
            overlap, exact = 100 * row_scores(said, answers, target).mean(1)
            scored = {"f1": overlap, "exact_match": exact, "n": len(said), "predicted": said}
            scores[target] = dict.fromkeys(run.cell.kinds, scored)
        record = asdict(run.cell) | {"seed": run.seed, "train_seconds": 1.0, "results": scores}
        records.append(record | {"auxiliaries": list(run.cell.auxiliaries)})
    passage = [str(i // 2) for i in range(len(answers))]
    rows = {code: {"pair": passage, "passage_id": passage, "answers": answers} for code in targets}
    return comparisons.Results({"task": "qa", "scale": "toy", "data": "made up", "encoder": "none"}, rows, records)


@pytest.fixture(scope="module")
def results():
    return made_up()


def plain(text):
    return html.unescape(re.sub("<[^>]*>", "", text))


def sentences(text):
    """The sentences of a browser's table in their order: the language, the sentence, and its translation or ''."""
    found = re.findall(
        r"<div dir='\w+' lang='(\w+)'>(.*?)</div>(?:<div dir='ltr' lang='en' style[^>]*><i>(.*?)</i></div>)?", text
    )
    return [(code, html.unescape(said), html.unescape(english)) for code, said, english in found]


def expected(corpus, episode):
    """The same from the rows of an episode."""
    english = {row["pair"]: row for row in corpus if row["language"] == "en"}
    found = []
    for i in range(len(episode.tasks)):
        for batch in (episode.support[0], episode.query):
            for row in (corpus[row] for row in batch["row"][i].tolist()):
                other = {} if row["language"] == "en" else english[row["pair"]]
                found += [(row["language"], row[part], other.get(part, "")) for part in ("premise", "hypothesis")]
    return found


CHOICES = {  # the arguments of the sampler for each method of the menu
    "x-maml": {"query": "hi"},
    "xla-maml": {"query": "hi", "support": "en"},
    "xla-maml-few-shot": {"query": "hi", "support": "de"},
    "xla-maml-pair": {"query": ("hi", "bg"), "support": ("bg", "hi")},
    "fixed-treemaml": {"query": all_but("de"), "by": "genre", "per_language": 1},
}


@pytest.mark.parametrize("method", CHOICES)
def test_the_table_holds_the_rows_that_the_sampler_draws(corpus, method):
    browser = EpisodeBrowser(corpus, seed=3)
    browser.method.value, browser.shots.value = method, 3
    for covering, step in ((False, 0), (True, 0), (True, 5)):
        browser.covering.value, browser.step.value = covering, step
        draw = sampler(corpus, **CHOICES[method], shots=3, queries=3, covering=covering, seed=3)
        assert sentences(browser.table.value) == expected(corpus, draw(step))
        for task in draw(step).tasks:
            assert f"Task {task}" in browser.table.value
        labels = re.findall(r"<td[^>]*>(\w+)</td></tr>", browser.table.value)
        assert len(labels) == 6 * len(draw(step).tasks) and set(labels) <= set(corpora.LABELS)
        batches = [batch for i in range(step + 1) for batch in (*draw(i).support, draw(i).query)]
        rows = {row for batch in batches for row in batch["row"].flatten().tolist()}
        asked = {row for row in rows if corpus[row]["language"] in np.atleast_1d(CHOICES[method]["query"])}
        assert f"{len(asked):,} of {96 * len(set(np.atleast_1d(CHOICES[method]['query']))):,}" in plain(
            browser.live.value
        )


def test_what_a_choice_means_is_said_in_words(corpus):
    browser, said = EpisodeBrowser(corpus), {}
    for method in CHOICES:
        browser.method.value = method
        said[method] = plain(browser.words.value)
    same, taken, judged = "Support in Hindi, query in Hindi: ", "Support in {}, query in Hindi: ", "judged in another"
    assert said["x-maml"].startswith(same) and "the same language: X-MAML" in said["x-maml"]
    assert said["xla-maml"].startswith(taken.format("English")) and f"{judged}: XLA-MAML" in said["xla-maml"]
    assert said["xla-maml-few-shot"].startswith(taken.format("German")) and judged in said["xla-maml-few-shot"]
    assert "its test rows are not" in said["xla-maml-few-shot"]
    assert said["xla-maml-pair"].startswith("Bulgarian and Hindi are each other's support")
    assert said["fixed-treemaml"].startswith("11 tasks, each a language and one of its genres")
    assert all("not seen before its test" in words for m, words in said.items() if m != "xla-maml-few-shot")
    browser.method.value, browser.covering.value = "xla-maml", True
    assert "Covering" in browser.words.value and "Parallel" not in browser.words.value
    browser.parallel.value = True
    assert "Parallel" in browser.words.value
    given, asked = (corpus[batch["row"][0].tolist()] for batch in (browser.episode.support[0], browser.episode.query))
    assert given["pair"] == asked["pair"] and given["language"] != asked["language"]


def test_a_control_that_makes_no_sense_is_off_and_says_why(corpus):
    browser = EpisodeBrowser(corpus)
    browser.parallel.value = True
    for method in CHOICES:
        browser.method.value = method
        crossing, genres = METHODS[method].crosses, method == "fixed-treemaml"
        assert browser.parallel.disabled == (not crossing) == ("Not parallel" in browser.notes.value)
        assert browser.auxiliary.disabled == genres == ("No auxiliary to choose" in browser.notes.value)
        assert (browser.partner.layout.display == "") == (method == "xla-maml-pair")
        assert crossing or not browser.parallel.value
        assert browser.episode is not None


def test_what_cannot_be_drawn_is_said_in_place_of_the_table(corpus):
    browser = EpisodeBrowser(corpus)
    before = browser.table.value
    for control, value, words in (
        (browser.target, "hi", "both a target and an auxiliary"),
        (browser.auxiliary, "en", "takes its support from en"),
        (browser.auxiliary, "sw", "no dev rows for sw"),
    ):
        kept = control.value
        control.value = value
        assert words in plain(browser.table.value) and not sentences(browser.table.value)
        assert browser.words.value == browser.live.value == ""
        assert {t.name for t in browser.figure.data if t.name in ROLES} == {"target", "not in the episode"}
        control.value = kept
        assert browser.table.value == before
    for chosen, said in ((("xx",), "Unknown language 'xx'"), (("ja", "de"), "has no ja"), (("hi", "ja"), "has no ja")):
        with pytest.raises(InputError, match=said):
            EpisodeBrowser(corpus, *chosen)


def test_sentences_are_text_in_the_direction_of_their_script(corpus):
    columns = corpus.to_pandas()
    columns[["premise", "hypothesis", "genre"]] = ODD
    browser = EpisodeBrowser(Dataset.from_pandas(columns, preserve_index=False), "ur")
    assert "<b>x" not in browser.table.value and "<script" not in browser.table.value
    assert sentences(browser.table.value) == [("en", ODD, "")] * 16 + [("ur", ODD, ODD)] * 16


def test_languages_have_their_roles_by_shape_and_by_colour(corpus):
    languages = np.array(corpus["language"][:])
    for method, own in {
        "x-maml": {"hi": "support and query", "de": "target"},
        "xla-maml": {"en": "support", "hi": "query", "de": "target"},
        "xla-maml-few-shot": {"hi": "query", "de": "target and support"},
        "xla-maml-pair": {"hi": "support and query", "bg": "support and query", "de": "target"},
        "fixed-treemaml": dict.fromkeys(all_but("de"), "support and query") | {"de": "target"},
    }.items():
        pairs = language_pairs(sampler(corpus, **CHOICES[method])(0), languages)
        assert roles(pairs, "de") == dict.fromkeys(XNLI, "not in the episode") | own
        figure = language_roles(pairs, "de")
        drawn = {t.name: t for t in figure.data if t.name in ROLES}
        assert set(drawn) == set(roles(pairs, "de").values())
        for name, trace in drawn.items():
            assert (trace.marker.symbol, trace.marker.color) == tuple(ROLES[name].values())
            assert len(trace.x) == list(roles(pairs, "de").values()).count(name)
        ticks = " ".join(map(html.unescape, figure.layout.yaxis.ticktext))
        assert all(f"({asked}) ← {given}" in ticks for given, asked in pairs) and len(XNLI) == ticks.count("(")
    for key in ("symbol", "color"):
        assert len({look[key] for look in ROLES.values()}) == len(ROLES)


def test_a_language_of_no_known_family_is_shown_as_well(results):
    assert roles([("en", "it")], "de")["it"] == "query"
    figure = language_roles([("en", "it")], "de")
    (query,) = (trace for trace in figure.data if trace.name == "query")
    assert len(query.x) == 1 and "Italian (it) ← en" in list(figure.layout.yaxis.ticktext)
    moved = [
        record | {"results": {"it" if code == "fr" else code: kinds for code, kinds in record["results"].items()}}
        for record in results.records
    ]
    rows = results.rows | {"it": results.rows["fr"]}
    shown = TransferMap(replace(results, records=moved, rows=rows))
    assert list(shown.data.columns) == ["en", "de", "hi", "it"] and "Italian" in shown.figure.layout.xaxis.ticktext
    shown.select("hi", "it")
    assert "Hindi → Italian" in plain(shown.details.value)


def test_covering_rows_are_all_seen_before_random_ones():
    corpus = corpora.nli(languages=("en", "hi"), splits=("dev",))
    rows = [i for i, row in enumerate(corpus) if (row["language"], row["split"]) == ("hi", "dev")]
    covering, drawn = (
        coverage_data(sampler(corpus, "hi", support="en", shots=8, queries=8, covering=way), rows, 146)
        for way in (True, False)
    )
    assert covering[:144].tolist() == list(range(8, 8 * 145, 8))
    assert covering[-1] == len(rows) == 1155
    assert (np.diff(drawn) >= 0).all() and 600 < drawn[-1] < 900  # 1155 (1 - exp(-146 · 8 / 1155)) = 735


def test_the_papers_tables_of_rows_are_read_over_its_baseline():
    """By hand from Tables 3 and 6: German and English; covering and parallel rows are one and the same row."""
    found = paper_rows()
    assert [round(sum(values) / 6, 1) for values in found.values()] == [2.0, 1.7, 2.0, 2.7]
    assert found["XLA-MAML, covering and parallel"][1] - found["XLA-MAML, random"][1] == pytest.approx(74.23 - 73.11)
    assert found["XLA-MAML, random"][2] == pytest.approx(81.64 - 81.32)


def test_the_map_holds_the_gains_of_the_study(results):
    table = comparisons.differences(results)
    checked = 0
    for (method, control), kind in (
        (pair, kind)
        for pair in (("xla-maml", "baseline"), ("xla-maml", "x-maml"), ("x-maml", "joint"), ("xla-maml-pair", "joint"))
        for kind in ("zero-shot", "fine-tuned")
    ):
        data = transfer_data(results, method, control, kind)
        assert list(data.index) == ["en", "de", "hi", "de+bg" if "de+bg" in data.index else "bg+de"]
        assert list(data.columns) == ["en", "fr", "de", "hi"]
        for auxiliary in data.index:
            for target in data.columns:
                own = METHODS["x-maml" if (auxiliary, method) == ("en", "xla-maml") else method].title
                line = table[(table["method"] == own) & (table["control"] == METHODS[control].title)]
                line = line[(line["auxiliaries"] == auxiliary) & (line["target"] == target) & (line["kind"] == kind)]
                assert len(line) == (not np.isnan(data.loc[auxiliary, target]))
                if len(line):
                    checked += 1
                    assert data.loc[auxiliary, target] == pytest.approx(line["gain"].item())
                assert target not in auxiliary.split("+") or not len(line)
    assert checked > 40
    assert transfer_data(results, "xla-maml", "x-maml").loc["en"].isna().all()  # the same thing
    some = replace(results, records=[r for r in results.records if (r["method"], r["seed"]) != ("xla-maml", 1)])
    seed = {(r["method"], tuple(r["auxiliaries"])): r["results"] for r in results.records if r["seed"] == 0}
    expect = [seed[name, ("hi",)]["de"]["zero-shot"]["accuracy"] for name in ("xla-maml", "x-maml")]
    assert transfer_data(some, "xla-maml", "x-maml").loc["hi", "de"] == pytest.approx(expect[0] - expect[1])
    for names in (("xla", "baseline"), ("xla-maml", "x"), ("xla-maml", "joint", "one-shot")):
        with pytest.raises(InputError, match="the tests zero-shot"):
            transfer_data(results, *names)


def test_the_colours_are_centred_at_zero_and_the_numbers_stand_in_the_cells(results):
    data = transfer_data(results, "xla-maml", "joint")
    figure = transfer_map(data, "gain", ("hi", "fr"))
    heat, places = figure.data[0], np.arange(data.size).reshape(data.shape)
    places, data = places[:-1, 1:], data.iloc[:-1, 1:]  # the map leaves out what is empty: the pair, target English
    assert heat.zmax == -heat.zmin == np.nanmax(np.abs(data.to_numpy())) and heat.colorscale == AROUND_ZERO
    for i, row in enumerate(data.to_numpy()):
        for j, value in enumerate(row):
            assert heat.text[i][j] == ("" if np.isnan(value) else f"{value:+.1f}")
            assert heat.customdata[i][j] == places[i, j]
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.y0) == (list(data.columns).index("fr") - 0.5, list(data.index).index("hi") - 0.5)
    assert list(figure.layout.yaxis.ticktext) == ["English", "German", "Hindi"]
    assert not transfer_map(data.assign(fr=np.nan), "gain", ("hi", "fr")).layout.shapes
    pair = transfer_map(transfer_data(results, "xla-maml-pair", "joint"), "gain")
    assert {"Bulgarian + German", "German + Bulgarian"} & set(pair.layout.yaxis.ticktext)
    with pytest.raises(InputError, match="no number"):
        transfer_map(data * np.nan, "gain")


def test_where_less_is_better_the_words_say_so(monkeypatch):
    """As many errors less as right answers more: the numbers change their sign, the verdicts stay."""
    before, results = comparisons.differences(made_up()), made_up()
    accuracy = metric_of("nli")
    errors = Metric("errors", "errors", lambda *given: ~accuracy.rows(*given), lower_is_better=True)
    monkeypatch.setitem(METRICS, "nli", (errors,))
    for record in results.records:
        for score in (score for kinds in record["results"].values() for score in kinds.values()):
            score["errors"] = 100 - score["accuracy"]
    now = comparisons.differences(results)
    assert np.allclose(now["gain"], -before["gain"]) and "better" in set(now["verdict"])
    assert list(now["verdict"]) == list(before["verdict"])
    said = report.study_text(results)
    for line in now[now["target"] != "all"].itertuples():
        assert f"{line.low:+5.2f}, {line.high:+5.2f}]  {line.verdict} (" in said
    assert "Orange: XLA-MAML is worse." in TransferMap(results).words.value


@pytest.mark.parametrize("make, groups", [(made_up, "premises"), (questions, "passages")])
def test_the_text_of_a_study_says_what_its_intervals_are_over(make, groups):
    said = report.study_text(make())
    assert set(re.findall(r"interval over ([\w ]+),", said)) == {f"{groups} and seeds"}
    assert "one seed: not over seeds" not in said
    one = make()
    one.records[:] = [record for record in one.records if record["seed"] == 0]
    found, said = comparisons.differences(one), report.study_text(one)
    assert set(found["covers"]) == {groups} and said.count("one seed: not over seeds)") == len(found) > 0


def test_the_text_of_a_study_has_every_seed_and_the_smallest_effect(results):
    said, found, scored = report.study_text(results), comparisons.differences(results), comparisons.scores(results)
    for line in found.itertuples():
        assert np.mean(line.by_seed) == pytest.approx(line.gain) and len(line.by_seed) == line.seeds == 2
        told = f"{line.gain:+.2f} ({' '.join(f'{value:+.1f}' for value in line.by_seed)})"
        assert re.search(rf"{re.escape(told)} +\[ *{re.escape(f'{line.low:+.2f}')}", said)
    for line in scored.itertuples():
        assert f"{line.accuracy:.2f} ± {line.sd:4.2f} ({line.by_seed[0]:.1f} {line.by_seed[1]:.1f})" in said
    blocks = found.groupby(["kind", "target"])["smallest"].median()
    assert said.count("would have been found in 4 of 5 tries") == len(blocks)
    assert all(f"a difference of {size:.2f} points or more" in said for size in blocks)


def test_many_seeds_are_told_by_their_range():
    assert report.each_seed((1.0, 2.0, -3.0, 4.0, 5.0), "+.1f") == " (+1.0 +2.0 -3.0 +4.0 +5.0)"
    assert report.each_seed((1.0, 2.0, -3.0, 4.0, 5.0, 0.0), "+.1f") == " (-3.0 to +5.0)"
    assert report.each_seed((1.0,), "+.1f") == "" and report.each_seed((), "+.1f") == ""


def test_a_click_shows_the_runs_of_a_cell_and_the_interval(results):
    shown = TransferMap(results)
    assert shown.compared.label == "XLA-MAML − Baseline" and shown.details.value == ""
    at = list(shown.data.index).index("hi") * 4 + list(shown.data.columns).index("fr")
    shown.plot.hear(None, {"node": at})
    assert shown.chosen == ("hi", "fr") and len(shown.figure.layout.shapes) == 1
    words = plain(shown.details.value)
    line = comparisons.differences(results).set_index(["method", "auxiliaries", "control", "target", "kind"])
    line = line.loc["XLA-MAML", "hi", "Baseline", "fr", "zero-shot"]
    assert f"{line['gain']:+.2f} points, 95 % interval {line['low']:+.2f} to {line['high']:+.2f}, 2 seeds" in words
    assert line["verdict"] in words and "toy scale" in words and "n = 90 rows, 30 premises" in words
    lines = re.findall(r"<tr>(.*?)</tr>", shown.details.value)
    rows = {plain(re.findall("<td.*?</td>", row)[0]): row for row in lines[1:]}
    assert list(rows) == ["Baseline", "Joint", "X-MAML", "XLA-MAML"]
    for record in results.records:
        title = METHODS[record["method"]].title
        if title in rows and record["auxiliaries"] in ([], ["hi"]):
            scores = re.findall(r">([\d.]+)<", rows[title])
            assert scores[record["seed"]] == f"{record['results']['fr']['zero-shot']['accuracy']:.1f}"


def test_the_chooser_says_what_is_subtracted_from_what(results):
    shown = TransferMap(results, "fine-tuned")
    names = list(shown.compared.options)
    pairs = ["X-MAML − Baseline", "X-MAML − Joint", "XLA-MAML − X-MAML", "XLA-MAML bi-pair − Joint"]
    assert set(pairs) < set(names) and not [name for name in names if "TreeMAML" in name or name.startswith("MAML")]
    shown.select("hi", "de")
    before = plain(shown.details.value)
    assert "fine-tuned" in before
    shown.compared.value = ("x-maml", "joint")
    assert shown.figure.layout.title.text == "X-MAML − Joint, fine-tuned, toy scale"
    assert "X-MAML − Joint: " in plain(shown.details.value) and before != plain(shown.details.value)
    shown.compared.value = ("xla-maml", "baseline")
    shown.select("en", "fr")
    assert "X-MAML − Baseline: " in plain(shown.details.value) and "XLA-MAML is X-MAML" in shown.words.value
    for auxiliary, target, words in (("de", "de", "No transfer"), ("hi", "en", "Nothing to compare")):
        shown.select(auxiliary, target)
        assert words in shown.details.value
    with pytest.raises(InputError, match="no cell 'xx', 'de'"):
        shown.select("xx", "de")
    for kind, words in (("few-shot", "with the test few-shot"), ("odd", "the tests zero-shot")):
        with pytest.raises(InputError, match=words):
            TransferMap(results, kind)


@pytest.mark.parametrize(("metric", "name"), [(None, "F1"), ("f1", "F1"), ("exact_match", "exact match")])
def test_the_map_shows_a_study_of_questions(metric, name):
    results = questions()
    shown = TransferMap(results, metric=metric)
    assert shown.figure.layout.title.text == f"XLA-MAML − Baseline, {name}, zero-shot, toy scale"
    shown.select("hi", "fr")
    words = plain(shown.details.value)
    lines = comparisons.differences(results, metric).set_index(["method", "auxiliaries", "control", "target", "kind"])
    line = lines.loc["XLA-MAML", "hi", "Baseline", "fr", "zero-shot"]
    assert shown.data.loc["hi", "fr"] == pytest.approx(line["gain"])
    assert f"{line['gain']:+.2f} points, 95 % interval {line['low']:+.2f} to {line['high']:+.2f}, 2 seeds" in words
    assert "n = 40 rows, 20 passages" in words and "the choice of passages" in words and f"{name}, %" in words
    assert not {"accuracy", "premise"} & set(words.split())
    said = {r["seed"]: r["results"]["fr"]["zero-shot"] for r in results.records if r["method"] == "baseline"}
    assert all(f"{score[metric or 'f1']:.1f}" in words for score in said.values())


def test_a_map_has_only_the_metrics_of_its_task(results):
    for found, metric, known in ((results, "f1", "are accuracy"), (questions(), "accuracy", "are f1, exact_match")):
        with pytest.raises(InputError, match=f"Unknown metric '{metric}'; the metrics of this study {known}"):
            TransferMap(found, metric=metric)
        with pytest.raises(InputError, match="Unknown metric"):
            transfer_data(found, "xla-maml", "baseline", metric=metric)


@pytest.mark.parametrize("make", [made_up, questions])
def test_a_map_of_little_or_nothing(make):
    """One auxiliary, target and seed; one method without its control; nothing at all."""
    shown = TransferMap(make(auxiliaries=("hi",), targets=("fr",), seeds=1))
    assert shown.data.shape == (1, 1)
    shown.select("hi", "fr")
    assert "1 seed:" in plain(shown.details.value)
    with pytest.raises(InputError, match="no cell 'hi', 'de'; its auxiliaries are hi, its targets fr"):
        shown.select("hi", "de")  # a language without results
    alone = make()
    alone = replace(alone, records=[record for record in alone.records if record["method"] == "xla-maml"])
    for few in (alone, replace(alone, records=[]), replace(alone, records=[], rows={})):
        with pytest.raises(InputError, match="No method and control have been run") as raised:
            TransferMap(few)
        assert len(str(raised.value).splitlines()) == 1


def test_the_browser_shows_questions():
    asked = corpora.mini_qa(("en", "ar", "de"), ("dev",), passages=2)
    browser = EpisodeBrowser(asked, "ar")
    rows = browser.episode.query["row"][0].tolist()
    pairs = [(asked[row]["question"], asked[row]["context"], asked[row]["answers"]["text"][0]) for row in rows]
    said = [text for code, text, _ in sentences(browser.table.value) if code == "ar"]
    assert said == [text for texts in pairs for text in texts]
    for head in ("question", "context", "answer"):
        assert f">{head}</th>" in browser.table.value
    english = {row["pair"]: row for row in asked if row["language"] == "en"}
    assert english[asked[rows[0]]["pair"]]["question"] in browser.table.value
    browser.method.value = "fixed-treemaml"
    assert "No episode" in browser.table.value and "Traceback" not in browser.table.value
