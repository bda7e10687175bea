"""A user's own corpus: each kind of file gives the same rows, values stay what they are, and one line for bad input."""

import csv
import gzip
import json
import os
import shlex
import subprocess
import sys
import time
import unicodedata
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import small_world
import torch
from datasets import ClassLabel, Dataset, Features, Value
from small_world import complaint

import minimeta.__main__ as cli
from minimeta.options import parse
from minimeta.studies import comparisons, recipes
from minimeta.studies.world import World
from minimeta.text import corpora, encoders, finetune, own, parts
from minimeta.text.episodes import columns, sampler, target_episodes
from minimeta.text.metrics import metric_of

LANGUAGES = ("yor", "hau", "ibo", "swh")
KINDS = ("csv", "tsv", "jsonl", "parquet")


def rows_in(codes=LANGUAGES, dev=12, test=6, labels=("different", "same"), **more):
    """Rows of an invented corpus, parallel in all languages; some texts look like something else."""
    odd = ("NA", "null", "007", "1.0", 'a "quoted', "2018-11-13", " blanks ", "True")
    found = []
    for shift, code in enumerate(codes):
        for split, count in (("dev", dev), ("test", test)):
            for n in range(count):
                word = small_world.word("en", n + shift)
                row = {
                    "language": code,
                    "split": split,
                    "text": odd[n] if n < len(odd) and split == "dev" else f"{word} {n}.",
                    "text2": f"{small_world.word('en', 3 * n + shift)}, {code}",
                    "label": labels[n % len(labels)],
                    "pair": f"{n:03}",
                }
                found.append(row | more)
    return found


def write(path, rows):
    """Write rows as a table of the kind that the ending says; returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(rows[0])
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif path.suffix == ".parquet":
        Dataset.from_list(rows).to_parquet(path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if path.suffix == ".tsv" else {}
            made = csv.DictWriter(file, names, lineterminator="\n", **tabs)
            made.writeheader()
            made.writerows(rows)
    return path


def read(path, columns=(), task="nli"):
    return corpora.corpus_of(task, path, columns).rows(path, splits=("train", "dev", "test"))


def without(rows, *names):
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@pytest.fixture
def refused(tmp_path):
    """Checks that rows are refused in one line with all `parts` in it."""

    def check(rows, *said, name="own.jsonl", **given):
        return complaint(lambda: read(write(tmp_path / name, rows), **given), *said)

    return check


# The same rows from each kind of file


@pytest.fixture(scope="module")
def expected():
    rows = [
        {
            "language": row["language"],
            "genre": "",
            "split": row["split"],
            "premise": row["text"],
            "hypothesis": row["text2"],
            "label": ("different", "same").index(row["label"]),
            "pair": f"{row['split']}/{row['pair']}",
        }
        for row in rows_in()
    ]
    return sorted(rows, key=lambda row: (row["language"], row["pair"]))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_file_gives_the_same_rows(tmp_path, kind, expected):
    corpus = read(write(tmp_path / f"own.{kind}", rows_in()))
    found = corpus.to_list()
    assert without(found, "premise_id") == expected
    assert corpora.classes_of(corpus) == ("different", "same")
    groups = {(row["pair"], row["premise_id"]) for row in found}
    assert len(groups) == 18 and len(found) == 4 * 18  # translations share their premise


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_for_each_language_and_split_gives_the_same_rows(tmp_path, kind, expected):
    for code in LANGUAGES:
        for split, name in (("dev", "validation"), ("test", "test")):
            chosen = [row for row in rows_in() if (row["language"], row["split"]) == (code, split)]
            write(tmp_path / "folders" / code / f"{name}.{kind}", without(chosen, "language", "split"))
            write(tmp_path / "names" / "deep" / f"{name}-{code}.{kind}", without(chosen, "language", "split"))
    (tmp_path / "folders" / "notes.txt").write_text("not a table")
    (tmp_path / "folders" / "yor" / f"._test.{kind}").write_text("not a table")
    for folder in ("folders", "names"):
        assert without(read(tmp_path / folder).to_list(), "premise_id") == expected


def test_bom_crlf_and_blank_lines_are_no_rows(tmp_path, expected):
    for kind in ("csv", "tsv", "jsonl"):
        path = write(tmp_path / f"own.{kind}", rows_in())
        text = path.read_text("utf-8").replace("\n", "\r\n").replace("\r\n", "\r\n\r\n", 3) + "\r\n"
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert without(read(path).to_list(), "premise_id") == expected, kind


@pytest.mark.parametrize("names", [(), ("pair",), ("text2", "pair")])
def test_the_order_of_rows_and_files_changes_nothing(tmp_path, names):
    rows = without(rows_in(), *names)
    expected = read(write(tmp_path / "own.csv", rows)).to_list()
    assert len({row["pair"] for row in expected}) == (len(expected) if names else 18)
    assert read(write(tmp_path / "turned.csv", rows[::-1])).to_list() == expected
    for place, code in enumerate(LANGUAGES):
        chosen = [row for row in rows if row["language"] == code]
        write(tmp_path / "one" / f"{place}.csv", chosen)
        write(tmp_path / "other" / f"{9 - place}.csv", chosen)
    assert read(tmp_path / "one").to_list() == read(tmp_path / "other").to_list() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_may_be_as_long_as_a_book(tmp_path, kind):
    rows, limit = rows_in(), csv.field_size_limit()
    rows[0]["text"] = "word " * 100_000 + "end"
    assert rows[0]["text"] in read(write(tmp_path / f"own.{kind}", rows))["premise"][:]
    assert csv.field_size_limit() == limit


def test_columns_may_have_other_names(tmp_path, expected):
    names = {"language": "lang", "text": "sentence1", "text2": "sentence2", "label": "gold"}
    rows = [{names.get(name, name): value for name, value in row.items()} | {"text": "no"} for row in rows_in()]
    path = write(tmp_path / "own.csv", rows)
    assert without(read(path, tuple(names.items())).to_list(), "premise_id") == expected


def test_codes_are_brought_to_their_usual_form(tmp_path):
    said = {"zh_CN": "zh-CN", "YOR": "yor", "yor_latn": "yor-Latn", "en": "en", "qaa": "qaa"}
    rows = [row | {"language": code} for code in said for row in without(rows_in(("en",)), "pair")]
    corpus = corpora.corpus_of("nli", write(tmp_path / "own.csv", rows))
    assert set(corpus.languages) == set(said.values())


def test_texts_are_in_nfc(tmp_path):
    rows = [row | {"text": unicodedata.normalize("NFD", "Ẹ̀kọ́")} for row in rows_in()]
    assert set(read(write(tmp_path / "own.csv", rows))["premise"]) == {unicodedata.normalize("NFC", "Ẹ̀kọ́")}


# Classes


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_are_numbers_are_classes_in_their_order(tmp_path, kind):
    rows = [row | {"label": n % 12} for n, row in enumerate(without(rows_in(dev=24), "pair"))]
    corpus = read(write(tmp_path / f"own.{kind}", rows))
    assert corpora.classes_of(corpus) == tuple(map(str, range(12)))
    told = {(row["language"], row["text2"], row["text"].strip()): row["label"] for row in rows}
    assert all(told[row["language"], row["hypothesis"], row["premise"].strip()] == row["label"] for row in corpus)


def test_names_of_numbers_come_from_a_parquet_that_has_them(tmp_path, expected):
    names = ("same", "different")  # not by alphabet
    features = Features(dict.fromkeys(rows_in()[0], Value("string")) | {"label": ClassLabel(names=names)})
    features |= {"language": ClassLabel(names=LANGUAGES), "split": ClassLabel(names=["test", "dev"])}
    Dataset.from_list(rows_in(), features=features).to_parquet(tmp_path / "own.parquet")
    corpus = read(tmp_path / "own.parquet")
    assert corpora.classes_of(corpus) == names
    assert without(corpus.to_list(), "label", "premise_id") == without(expected, "label")
    assert [names[label] for label in corpus["label"]] == [("different", "same")[row["label"]] for row in expected]


# Splits


def split_of_premises(corpus):
    """The splits of each premise."""
    found = {}
    for row in corpus:
        found.setdefault(row["premise_id"], set()).add(row["split"])
    return found


@pytest.mark.parametrize(("there", "expected"), [("train", {"train", "dev"}), ("test", {"test", "dev"})])
def test_without_dev_rows_half_of_the_premises_become_dev(tmp_path, there, expected):
    rows = [row | {"split": there} for row in rows_in(test=0, dev=40)]
    path = write(tmp_path / "own.csv", rows)
    corpus = read(path)
    found = split_of_premises(corpus)
    assert all(len(splits) == 1 for splits in found.values())
    assert Counter(splits.pop() for splits in found.values()) == dict.fromkeys(expected, 20)
    by_language = {(row["language"], row["pair"], row["split"]) for row in corpus}
    assert len({each[1:] for each in by_language}) == 40  # the same ones in all languages
    notes = corpora.corpus_of("nli", path).notes
    assert notes[0].startswith(f"There are no dev rows: half of the premises of {there} are dev")
    assert len(notes) == (2 if there == "train" else 1)
    held = corpora.nli(path)
    assert set(held["split"]) >= {"dev", "held-out", "test"}
    assert all(len(splits) == 1 for splits in split_of_premises(held).values())
    assert corpora.nli(path, ["yor"]).to_list() == [row for row in held if row["language"] == "yor"]


def test_rows_with_one_premise_stay_together(tmp_path):
    """By the column, by the pair, and where there is neither, by the text."""
    rows = [row | {"split": "train", "text": f"said {n // 3}"} for n, row in enumerate(rows_in(("yor",), 60, 0))]
    for chosen in (without(rows, "pair"), rows, [row | {"premise_id": n // 6} for n, row in enumerate(rows)]):
        found = split_of_premises(read(write(tmp_path / "own.jsonl", chosen)))
        assert len(found) == (10 if "premise_id" in chosen[0] else 20)
        assert all(len(splits) == 1 for splits in found.values())


# Tasks


def test_without_genres_a_task_is_a_language(tmp_path):
    corpus = corpora.nli(write(tmp_path / "own.csv", rows_in(dev=40)))
    episode = sampler(corpus, LANGUAGES[:3], by="genre", shots=4, queries=4, per_language=1, target="swh")(0)
    assert episode.tasks == LANGUAGES[:3]
    labels = corpus[episode.query["row"].flatten().tolist()]["label"]
    assert Counter(labels) == {0: 6, 1: 6}
    assert [each.tasks for each in target_episodes(corpus, "swh", 3)] == [("swh",)]


def test_languages_may_have_different_genres(tmp_path):
    genres = {"yor": ("news", "talk"), "hau": ("talk",), "ibo": ("film", "news", "talk")}
    rows = [row | {"genre": genre} for code, own_ in genres.items() for genre in own_ for row in rows_in((code,), 40)]
    corpus = corpora.nli(write(tmp_path / "own.csv", without(rows, "pair")))
    draw = sampler(corpus, tuple(genres), by="genre", shots=2, queries=2)
    assert draw(0).tasks == tuple(f"{code}/{genre}" for code, own_ in genres.items() for genre in own_)
    for covering in (False, True):
        one = sampler(corpus, tuple(genres), by="genre", shots=2, queries=2, per_language=1, covering=covering)
        seen = [Counter(one(step).tasks[place] for step in range(60)) for place in range(3)]
        for found, (code, own_) in zip(seen, genres.items(), strict=True):
            assert set(found) == {f"{code}/{genre}" for genre in own_}
            assert not covering or set(found.values()) == {60 // len(own_)}
    complaint(lambda: sampler(corpus, tuple(genres), by="genre", per_language=2), "1 genres in hau", "cannot draw 2")


def test_parallel_rows_need_pairs(tmp_path):
    options = {"query": "hau", "support": "yor", "shots": 4, "queries": 4, "parallel": True}
    corpus = corpora.nli(write(tmp_path / "own.csv", rows_in(dev=40)))
    episode = sampler(corpus, **options)(0)
    given, asked = (corpus[batch["row"].flatten().tolist()]["pair"] for batch in (episode.support[0], episode.query))
    assert given == asked
    corpus = corpora.nli(write(tmp_path / "pairs" / "own.csv", without(rows_in(dev=40), "pair")))
    complaint(lambda: sampler(corpus, **options), "translate each other", "not parallel", "column pair")


def test_a_language_without_dev_rows_is_refused_when_it_is_asked_for(tmp_path):
    rows = [row for row in rows_in(dev=40) if (row["language"], row["split"]) != ("ibo", "dev")]
    path = write(tmp_path / "own.csv", rows)
    corpus = corpora.nli(path)
    assert len(target_episodes(corpus, "ibo", 0)) == 1  # zero-shot it can be tested
    complaint(lambda: sampler(corpus, ["yor", "ibo"]), "no dev rows for ibo", "hau, swh, yor")
    complaint(lambda: target_episodes(corpus, "ibo", 3), "no dev rows for ibo")
    complaint(lambda: corpora.nli(path, ["ibo"]), "dev split", "has no ibo")


def test_a_target_without_dev_rows_has_zero_shot_tests_alone(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    rows = [row for row in rows_in(dev=40) if (row["language"], row["split"]) != ("ibo", "dev")]
    data = write(tmp_path / "own.csv", rows)
    encoder = small_world.write_encoder(tmp_path / "encoder", labels=("same", "different"))
    given = ["study", "transfer", "x-maml", "--aux", "yor", "--target", "ibo", "--data", data, "--encoder", encoder]
    given += ["--set", "outer_steps=1", "--seeds", "1", "--out", tmp_path / "study"]
    assert cli.main([*map(str, given)]) == 2
    said = capfd.readouterr().err
    assert "no dev rows in ibo" in said and "--kinds zero-shot" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "study").exists()
    assert cli.main([*map(str, given), "--kinds", "zero-shot"]) == 0


# Single texts


def test_single_texts_are_read_as_one(tmp_path):
    path = write(tmp_path / "own.csv", without(rows_in(dev=40), "text2", "pair"))
    corpus = corpora.nli(path)
    assert corpora.texts_of(corpus) == ["premise"] and "hypothesis" not in corpus.column_names
    directory = small_world.write_encoder(tmp_path / "encoder", labels=("same", "different"))
    encoder = encoders.nli(directory, classes=("different", "same"))
    features = encoder.features(corpus)
    rows = [20, 3, 41]
    expected = encoder.tokenizer([corpus[row]["premise"] for row in rows])["input_ids"]
    assert features._tokens([(row, 0) for row in rows])[0] == expected
    assert all(ids.count(encoder.tokenizer.sep_token_id) == 1 for ids in expected)
    start = small_world.write_encoder(tmp_path / "start", classifier=False)
    finetune.train(start, corpus, tmp_path / "tuned", finetune.Settings(1, 1e-3))
    assert encoders.nli(tmp_path / "tuned", classes=("different", "same")).matched == "by name: different, same"


# The encoder's classes


def predictions(path, directory, classes):
    """What an encoder says of all rows, as numbers of the corpus's classes, and its accuracy on them."""
    corpus = read(path)
    assert corpora.classes_of(corpus) == tuple(classes)
    encoder = encoders.nli(directory, classes=classes)
    batch = encoder.features(corpus)[torch.arange(len(corpus))[None]]
    with torch.no_grad():
        said = encoder.learner.outputs({name: value[0] for name, value in batch.items()}).argmax(-1).tolist()
    return encoder.matched, said, metric_of("nli").score(said, corpus["label"][:], "yor")


def permuted(directory, out, order, names):
    """The same classifier with its rows in another order, and the names that go with them (or other ones)."""
    from transformers import AutoTokenizer, BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(directory)
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight[list(order)])
        model.classifier.bias.copy_(model.classifier.bias[list(order)])
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: number for number, name in enumerate(names)}
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(directory).save_pretrained(out)
    return out


ORDERS = ((0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1), (1, 2, 0), (2, 1, 0))


def test_a_permuted_head_cannot_pass(tmp_path):
    """Named, it gives the same answers in any order; without names it is refused in every order."""
    names = ("bad", "good", "mixed")
    path = write(tmp_path / "own.csv", without(rows_in(labels=names, dev=24), "pair"))
    directory = small_world.write_encoder(tmp_path / "encoder", labels=names)
    first = predictions(path, directory, names)
    assert first[0] == "by name: bad, good, mixed" and set(first[1]) == {0, 1, 2}
    for order in ORDERS:
        given = [names[number].upper() for number in order]
        assert predictions(path, permuted(directory, tmp_path / "named", order, given), names) == first, order
        other = permuted(directory, tmp_path / "unnamed", order, [f"LABEL_{n}" for n in range(3)])
        complaint(lambda other=other: encoders.nli(other, classes=names), "label_0", "expected bad, good", "id2label")
        complaint(lambda other=other: encoders.matched(str(other), names), "label_0", "expected bad, good")


def test_numbers_are_matched_by_number_where_that_is_safe(tmp_path):
    numbers = ("0", "1", "2")
    path = write(tmp_path / "own.csv", without(rows_in(labels=numbers, dev=24), "pair"))
    generic = small_world.write_encoder(tmp_path / "generic", labels=[f"LABEL_{n}" for n in range(3)])
    first = predictions(path, generic, numbers)
    assert first[0] == "by number: 0, 1, 2"
    for order in ORDERS:
        named = permuted(generic, tmp_path / "named", order, [numbers[n] for n in order])
        assert predictions(path, named, numbers) == first, order
        if order != (0, 1, 2):  # numbers that stand at other places contradict themselves
            odd = permuted(generic, tmp_path / "odd", order, [f"LABEL_{n}" for n in order])
            complaint(lambda odd=odd: encoders.nli(odd, classes=numbers), "expected 0, 1, 2", "nobody can tell")
    other = permuted(generic, tmp_path / "other", (0, 1, 2), ("bad", "good", "mixed"))
    complaint(lambda: encoders.nli(other, classes=numbers), "bad, good, mixed", "expected 0, 1, 2", "nobody can tell")
    complaint(lambda: encoders.nli(generic, classes=("1", "2", "3")), "label_0", "expected 1, 2, 3")
    complaint(lambda: encoders.nli(generic, classes=("0", "1")), "tells 3 classes apart", "needs 2", "0, 1")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"0": "no", "2": "yes"}, "no class 1 in its id2label"),
        ({"0": "no", "1": "NO"}, "calls its classes no, no"),
        (["no", "yes"], "could not be loaded"),
        ({"first": "no", "second": "yes"}, "could not be loaded"),
        ({"0": 0, "1": 1}, "calls its classes 0, 1"),
    ],
)
def test_names_that_cannot_be_matched(tmp_path, told, said):
    directory = small_world.write_encoder(tmp_path / "encoder", labels=("no", "yes"))
    assert encoders.nli(directory, classes=("yes", "no")).matched == "by name: yes, no"
    blank = small_world.write_encoder(tmp_path / "blank", labels=(" No", "yes "))
    assert encoders.nli(blank, classes=("yes", "no")).matched == "by name: yes, no"
    path = directory / "config.json"
    config = json.loads(path.read_text()) | {"id2label": told}
    path.write_text(json.dumps({name: value for name, value in config.items() if name != "label2id"}))
    complaint(lambda: encoders.nli(directory, classes=("yes", "no")), said)


def test_a_new_classifier_says_that_it_is_one(tmp_path):
    directory = small_world.write_encoder(tmp_path / "encoder", classifier=False)
    with pytest.warns(UserWarning, match="was not trained"):
        loaded = encoders.nli(directory, classes=("no", "yes"), seed=3)
    assert loaded.matched == "to a new classifier, drawn from seed 3"


# More than ten classes


def test_more_than_ten_classes_go_on_record_as_numbers(tmp_path, monkeypatch):
    names = tuple(f"topic {chr(97 + n)}" for n in range(12))
    path = write(tmp_path / "own.csv", without(rows_in(labels=names, dev=60, test=24), "pair"))
    encoder = small_world.write_encoder(tmp_path / "encoder", labels=names)
    for kind in recipes.SCALES["toy"]:
        monkeypatch.setitem(recipes.SCALES["toy"], kind, replace(recipes.SCALES["toy"][kind], outer_steps=1))
    given = ["--data", path, "--encoder", encoder, "--seeds", "1", "--out", tmp_path / "out"]
    assert cli.main([*map(str, ["study", "leave-one-out", "baseline", "--target", "yor", *given])]) == 0
    found = comparisons.load(tmp_path / "out")
    right = found.rows["yor"]["label"]
    assert right == [n % 12 for n in range(24)]
    (record,) = found.records
    for score in record["results"]["yor"].values():
        hits = sum(map(int.__eq__, score["predicted"], right))
        assert score["accuracy"] == pytest.approx(100 * hits / 24) and max(score["predicted"]) <= 11
    assert found.corpus == "own.csv"


# Questions


def questions(code, count, split="test"):
    found = [small_world.paragraph("en", n, [f"{split}{n}-0"]) for n in range(count)]
    return {"data": [{"title": code, "paragraphs": found}]}


def write_questions(folder, codes=LANGUAGES):
    for code in codes:
        for split, count in (("dev", 8), ("test", 4)):
            path = folder / code / f"{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(questions(code, count, split)))
    return folder


def test_questions_are_read_in_squads_layout(tmp_path):
    corpus = corpora.qa(write_questions(tmp_path))
    assert Counter(row["language"] for row in corpus if row["split"] == "test") == dict.fromkeys(LANGUAGES, 4)
    assert set(corpus["genre"]) == {""} and len(set(corpus["passage_id"])) == 12
    for row in corpus:
        start, text = row["answers"]["answer_start"][0], row["answers"]["text"][0]
        assert row["context"][start : start + len(text)] == text
    one = tmp_path / "yor" / "xquad.ibo.test.json"
    (tmp_path / "yor" / "test.json").rename(one)
    assert set(corpora.CORPORA["MLQA"].languages).isdisjoint(corpora.corpus_of("qa", one).languages)
    assert corpora.corpus_of("qa", one).languages == ("ibo",)


def test_a_language_that_a_files_name_says_is_told(tmp_path):
    write_questions(tmp_path, ("yor",))
    (note,) = corpora.corpus_of("qa", tmp_path).notes
    assert note == f"No column says the language; it is taken from names: yor of yor{os.sep}dev.json."
    rows = [{name: value for name, value in row.items() if name != "language"} for row in rows_in(("yor",))]
    named = write(tmp_path / "nli_test.csv", rows)
    assert "nli of " in " ".join(corpora.corpus_of("nli", named).notes)


def test_passages_of_two_files_are_different_passages(tmp_path):
    path = write_questions(tmp_path, ("yor",)) / "yor" / "test.json"
    told = json.loads(path.read_text())
    for article in told["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["context"] = "Here: " + paragraph["context"]
            for question in paragraph["qas"]:
                question["id"] += "-more"
                question["answers"][0]["answer_start"] += len("Here: ")
    (path.parent / "test-more.json").write_text(json.dumps(told))
    corpus = [row for row in corpora.qa(tmp_path) if row["split"] == "test"]
    contexts = {row["passage_id"]: set() for row in corpus}
    for row in corpus:
        contexts[row["passage_id"]].add(row["context"])
    assert all(len(texts) == 1 for texts in contexts.values())


def test_questions_that_cannot_be_used(tmp_path):
    path = write_questions(tmp_path, ("yor",)) / "yor" / "test.json"
    told = json.loads(path.read_text())
    told["data"] *= 2
    path.write_text(json.dumps(told))
    complaint(lambda: read(tmp_path, task="qa"), "test.json has the id 'test0-0' a second time in yor, test")
    path.write_text("{")
    complaint(lambda: read(tmp_path, task="qa"), "test.json", "mend it there")
    told["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 1
    path.write_text(json.dumps(told | {"data": told["data"][:1]}))
    complaint(lambda: read(tmp_path, task="qa"), "test0-0", "does not stand at 1", "mend it there")
    complaint(lambda: read(tmp_path, [("text", "context")], "qa"), "SQuAD's layout", "--columns")
    for place, said in (
        ("xquad.es.json", "says no split"),
        ("xquad.es.JSON", "says no split"),
        ("test.json", "says no language"),
        ("es/hi.json", "es or hi"),
    ):
        path = tmp_path / "other" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        assert "column" not in complaint(lambda: read(tmp_path / "other", task="qa"), place, said, "yor/test.json")
        path.unlink()


# From a card, and from the hub


def write_card(folder, kind="csv"):
    """A data set as the hub has them: a card with a configuration for each language."""
    lines = ["---", "configs:"]
    for code in LANGUAGES:
        lines += [f"- config_name: {code}", "  data_files:"]
        for split, name in (("validation", "dev"), ("test", "test")):
            chosen = [row for row in rows_in() if (row["language"], row["split"]) == (code, name)]
            write(folder / "all" / f"{code}.{split}.part.{kind}", without(chosen, "language", "split"))
            lines += [f"  - split: {split}", f"    path: all/{code}.{split}.part.{kind}"]
    (folder / "README.md").write_text("\n".join([*lines, "---", "# Invented", ""]))
    return folder


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_card_says_which_language_a_file_is_in(tmp_path, kind, expected):
    found = without(read(write_card(tmp_path, kind)).to_list(), "premise_id")
    assert found == expected


def test_a_readme_without_configurations_says_nothing(tmp_path, expected, capfd, caplog):
    for code in LANGUAGES:
        write(tmp_path / f"{code}.csv", [row for row in rows_in() if row["language"] == code])
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    for content in (b"# Rows of mine\n", b"---\nlicense: mit\n---\nRows of mine\n", b"\xff\xfe"):
        (tmp_path / "README.md").write_bytes(content)
        assert sorted(read(tmp_path)["premise"]) == sorted(row["premise"] for row in expected)
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_a_card_that_names_what_is_not_there(tmp_path):
    (write_card(tmp_path) / "all" / "yor.test.part.csv").unlink()
    complaint(lambda: read(tmp_path), "README.md", "configurations", "mend or remove it")


def test_a_name_on_the_hub_is_read_as_its_configurations_are(tmp_path, monkeypatch, expected):
    """The hub itself is played by a directory: `load_dataset` reads both in the same way."""
    import datasets
    import huggingface_hub

    folder, load, names = str(write_card(tmp_path, "parquet")), datasets.load_dataset, datasets.get_dataset_config_names
    asked = []
    cache = str(tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name, timeout: asked.append(name))
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name: names(folder))
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: load(folder, config, cache_dir=cache))
    corpus = corpora.corpus_of("nli", "someone/paraphrases")
    assert (corpus.name, asked) == ("someone/paraphrases", ["someone/paraphrases"])
    assert without(read("someone/paraphrases").to_list(), "premise_id") == expected
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name: ["large", "small"])
    complaint(lambda: corpora.corpus_of("nli", "someone/else"), "large, small", "none is a language")


def test_a_name_on_the_hub_without_a_network(tmp_path):
    """One line, soon, whether the network is not there or was told to be away."""
    code = (
        "import sys, time; from minimeta.__main__ import main; start = time.perf_counter(); "
        "status = main(['run', 'baseline', '--target', 'yor', '--data', 'nobody/nothing-here', '--encoder', "
        "*sys.argv[1:2], '--out', *sys.argv[2:]]); print(status, time.perf_counter() - start)"
    )
    encoder = small_world.write_encoder(tmp_path / "encoder")
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home")}
    for more in ({"HF_HUB_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0"}):
        done = subprocess.run(
            [sys.executable, "-c", code, encoder, tmp_path / "out"],
            env=os.environ | nowhere | more,
            capture_output=True,
            text=True,
            timeout=300,
        )
        status, seconds = done.stdout.split()[-2:]
        said = done.stderr.strip().splitlines()
        assert status == "2" and float(seconds) < 20, done.stdout
        assert len(said) == 1 and said[0].startswith("minimeta: There is no file or directory nobody/nothing-here"), (
            said
        )
        assert "hub" in said[0] and said[0].endswith("with a network.")
    assert not (tmp_path / "out").exists()


def test_files_are_read_offline_and_nothing_is_written(tmp_path, expected):
    data = write_card(tmp_path / "data", "parquet")
    code = "import sys; from minimeta.text import corpora; print(len(corpora.nli(sys.argv[1])))"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    for path in (data, data / "all" / "yor.test.part.parquet"):
        done = subprocess.run(
            [sys.executable, "-c", code, path], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    assert not [each for each in (tmp_path / "home").rglob("*.arrow")]


# Reading once


def test_a_file_is_read_again_when_it_has_changed(tmp_path):
    path = write(tmp_path / "own.csv", rows_in())
    world = World(data=str(path), encoder="x")
    first = world.corpus
    assert world.corpus is first and world.rows() is world.rows()
    time.sleep(0.01)
    write(path, rows_in(LANGUAGES[:2]))
    assert world.corpus is not first and world.corpus.languages == ("hau", "yor")
    assert set(columns(world.rows())["language"]) == {"hau", "yor"}


def test_other_names_of_columns_are_part_of_a_study(tmp_path):
    rows = [{"lang": row["language"]} | without([row], "language")[0] for row in rows_in()]
    path = write(tmp_path / "own.csv", rows)
    world = World(data=str(path), encoder="x", columns=(("language", "lang"),))
    assert world.shared["columns"] == {"language": "lang"} and world.shared["corpus"] == "own.csv"
    assert world.corpus.languages == ("hau", "ibo", "swh", "yor")
    assert "columns" not in World().shared


# All of it from the command line


@pytest.fixture
def short(monkeypatch):
    for kind in recipes.SCALES["toy"]:
        monkeypatch.setitem(recipes.SCALES["toy"], kind, replace(recipes.SCALES["toy"][kind], outer_steps=2))


def test_run_study_and_results_of_an_invented_corpus(tmp_path, short, capfd, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    names = {"language": "lang", "text": "first"}
    rows = [{names.get(name, name): value for name, value in row.items()} for row in rows_in(dev=60)]
    data = write(tmp_path / "own.csv", rows)
    encoder = small_world.write_encoder(tmp_path / "encoder", labels=("same", "different"))
    given = ["--data", data, "--encoder", encoder, "--columns", "language=lang", "text=first", "--seeds", "1"]

    def call(*arguments):
        assert cli.main([*map(str, arguments)]) == 0, capfd.readouterr().err
        return capfd.readouterr().out

    said = call(
        *("run", "baseline", "joint", "maml", "everyone", "--target", "swh", "--aux", *LANGUAGES[:3]),
        *(*given, "--out", tmp_path / "runs"),
    )
    assert "Classes matched by name: different, same" in said.splitlines()
    out = tmp_path / "study"
    call("study", "transfer", "x-maml", "xla-maml-pair", "--aux", "yor", "yor+hau", *given, "--out", out)
    said = call("results", out)
    assert "X-MAML" in said
    found = comparisons.load(out)
    assert found.shared["columns"] == names and set(found.rows) == set(LANGUAGES[1:])
    assert cli.main([*map(str, ["study", "transfer", "x-maml", "--aux", "yor", *given, "--out", out])]) == 0  # goes on


def test_an_encoder_is_made_of_ones_own_rows(tmp_path, capfd):
    start = small_world.write_encoder(tmp_path / "start", classifier=False)
    rows = [row | {"split": "train"} for row in rows_in(("en", "yor"), dev=40, test=0)]
    rows = [{"lang": row["language"]} | without([row], "language")[0] for row in rows]
    data = write(tmp_path / "own.csv", rows)
    given = ["--data", data, "--columns", "language=lang", "--encoder", start, "--epochs", "1"]
    assert cli.main([*map(str, ["finetune", "nli", *given, "--out", tmp_path / "made"])]) == 0
    assert "There are no dev rows" in capfd.readouterr().out
    assert encoders.nli(tmp_path / "made", classes=("different", "same")).matched.startswith("by name")
    write(tmp_path / "own.csv", [row for row in rows if row["lang"] == "yor"])
    assert cli.main([*map(str, ["finetune", "nli", *given, "--out", tmp_path / "other"])]) == 2
    said = capfd.readouterr().err
    assert "has no English" in said and "--languages" in said and len(said.splitlines()) == 1
    assert cli.main([*map(str, ["finetune", "nli", *given, "--out", tmp_path / "other", "--languages", "yor"])]) == 0
    assert json.loads((tmp_path / "other" / "made.json").read_text())["options"]["languages"] == ["yor"]


# Input that cannot be used


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", ["text", "label", "language", "split"])
def test_a_column_that_is_missing(refused, kind, column):
    refused(
        without(rows_in(), column), f"data.{kind} has no column {column}", f"--columns {column}=", name=f"data.{kind}"
    )


def test_columns_that_are_named_wrongly(refused, tmp_path, capfd):
    refused(rows_in(), "own.jsonl has no column lang", "language, split, text", columns=(("language", "lang"),))
    refused(rows_in(), "no column 'tongue'", "language, split", columns=(("tongue", "language"),))
    refused(rows_in(), "text was named twice", columns=(("text", "a"), ("text", "b")))
    assert cli.main(["run", "baseline", "--target", "yor", "--columns", "language"]) == 2
    assert "language=lang" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"language": "xx"}, "the language 'xx'; expected a BCP 47"),
        ({"language": None}, "the language None"),
        ({"split": "dve"}, "the split 'dve'; expected train, dev"),
        ({"text": ""}, "nothing in the column text"),
        ({"text": None}, "nothing in the column text"),
        ({"text2": " \u3000"}, "nothing in the column text2"),
        ({"text": 7}, "has 7 where a text should be"),
        ({"text": "a\ud83d"}, r"half a character, '\ud83d'"),
        ({"label": -1}, "the label -1, which stands for none: give it one (if it is a class, call it by a name)"),
        ({"label": None}, "nothing in the column label"),
        ({"pair": "000"}, "the pair '000' a second time in yor, dev"),
        ({"pair": ["a"]}, "['a'] where a text"),
        ({"pair": float("nan")}, "nothing in the column pair"),
        ({"text": float("nan")}, "nothing in the column text"),
        ({"label": float("nan")}, "nothing in the column label"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(refused, change, said):
    rows = rows_in()
    rows[2] |= change
    refused(rows, "Row 3 of ", "own.jsonl", said)


def test_rows_of_another_length_are_named(tmp_path):
    for kind, mark in (("csv", ","), ("tsv", "\t")):
        path = write(tmp_path / f"own.{kind}", without(rows_in(), "pair"))
        lines = path.read_text().splitlines()
        for changed, fields in ((lines[3].rsplit(mark, 1)[0], 4), (lines[3] + mark + "more", 6)):
            path.write_text("\n".join([*lines[:3], changed, *lines[4:]]))
            complaint(lambda path=path: read(path), f"Row 3 of {path} has {fields} fields and the header 5")
        # One field too many in all rows would shift every column, if the first were taken as names of rows.
        path.write_text("\n".join([lines[0], *(line + mark for line in lines[1:])]))
        complaint(lambda path=path: read(path), f"Row 1 of {path} has 6 fields")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("own.csv", "language,split,text,label\nyor,dev,Ọjọ́,a\n".encode("utf-16"), "not in UTF-8"),
        ("own.csv", b'language,split,text,label\nyor,dev,"a,b\n', "mind its quotes"),
        ("own.csv", b"language,text,split,text,label\n", "column 'text' twice"),
        ("own.csv", b"", "no column text"),
        ("own.csv", b"language,split,text,label\n", "has no row"),
        ("own.csv", b"language;split;text;label\nyor;dev;a;b\n", "it has language;split;text;label"),
        ("own.jsonl", b'{"language": "yor"\n', "Row 1 of"),
        ("own.jsonl", b'{"language": "yor"}\n\n[1]\n', "Row 2 of"),
        ("own.parquet", b"PAR1 and no more", "cannot be read"),
        ("own.xlsx", b"PK", "neither an archive nor a table"),
        ("own.csv", b"language,split,text,label\nyor,dev,a,b\nhau,dev,c,b\n", "have the label b"),
        ("own.csv", b"language,split,text,label\nyor,dev,a,Yes\nhau,dev,c,yes\n", "capitals alone"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    complaint(lambda: read(tmp_path / name), str(tmp_path / name), said)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("rows.csv", "no column language, and its path says none"),
        ("yor.csv", "no column split, and its path says none"),
        ("yor/test-dev.csv", "may say the split test or dev"),
        ("test-yor-hau.csv", "may say the language yor or hau"),
        ("yor/hau-test.csv", "may say the language yor or hau"),
    ],
)
def test_paths_that_do_not_say_enough(tmp_path, place, said):
    write(tmp_path / place, without(rows_in(), "language", "split"))
    message = complaint(lambda: read(tmp_path), Path(place).name, said)
    assert "yor/test.tsv" in message


def test_a_directory_that_was_not_named_says_nothing(tmp_path):
    path = write(tmp_path / "yor" / "test" / "rows.csv", without(rows_in(), "language"))
    complaint(lambda: read(path), "rows.csv has no column language, and its path says none")
    complaint(lambda: read(path.parent), "rows.csv has no column language, and its path says none")


@pytest.mark.parametrize(
    ("place", "language", "split"),
    [
        ("yor/test.tsv", "yor", "test"),
        ("dev-yo.jsonl", "yo", "dev"),
        ("xquad.es.validation.jsonl", "es", "dev"),
        ("zh_CN/valid.csv", "zh-CN", "dev"),
        ("train/yor_Latn.csv", "yor-Latn", "train"),
        ("test_zh-Hant-TW.csv", "zh-Hant-TW", "test"),
        ("YOR_2k.TEST.csv", "yor", "test"),
        ("TEST_YOR.CSV", "yor", "test"),
    ],
)
def test_what_a_path_says(tmp_path, place, language, split):
    path = write((tmp_path / place).with_suffix(".csv"), rows_in()).rename(tmp_path / place)
    assert own.there("nli", path)
    (part,) = parts.of_files(tmp_path, [path])
    assert (part.language, part.split) == ((language,), (split,))


def test_labels_that_differ_in_capitals_are_named_themselves_and_files_are_counted(tmp_path):
    for code, labels in (("yor", ("Ask", "Tell")), ("hau", ("Ask", "tell"))):
        write(tmp_path / f"{code}.csv", rows_in((code,), labels=labels))
    complaint(lambda: read(tmp_path), "The labels Tell and tell of the 2 files differ in capitals alone")


def test_the_same_rows_in_two_files(tmp_path):
    path = write(tmp_path / "a" / "yor.csv", without(rows_in(("yor",)), "pair"))
    (tmp_path / "b" / "link.csv").parent.mkdir()
    (tmp_path / "b" / "link.csv").symlink_to(path)
    complaint(lambda: read(tmp_path), "yor.csv and", "link.csv may be the same rows", "leave one out")
    (tmp_path / "b" / "link.csv").unlink()
    write(tmp_path / "a" / "yor.jsonl", rows_in(("yor",)))
    complaint(lambda: read(tmp_path), "yor.csv and", "yor.jsonl may be the same rows", "another name")


def test_files_that_do_not_go_together(tmp_path):
    write(tmp_path / "a.csv", rows_in(("yor",)))
    write(tmp_path / "b.csv", without(rows_in(("hau",)), "pair"))
    complaint(lambda: read(tmp_path), "b.csv has no column pair, which", "a.csv has", "all files or none")
    write(tmp_path / "b.csv", rows_in(("hau",), genre="news"))
    complaint(lambda: read(tmp_path), "a.csv has no column genre, which", "b.csv has")


def test_a_split_that_is_not_there(tmp_path):
    path = write(tmp_path / "own.csv", rows_in())
    complaint(lambda: corpora.corpus_of("nli", path).rows(path, splits="train"), "no train rows", "dev, test")
    complaint(lambda: corpora.nli(path, ["de"]), "own.csv has no de; it has hau, ibo, swh, yor")


def test_labels_that_the_encoder_does_not_have(tmp_path, capfd):
    path = write(tmp_path / "own.csv", rows_in(dev=40))
    encoder = small_world.write_encoder(tmp_path / "encoder", labels=("no", "yes"))
    given = ["--data", path, "--encoder", encoder, "--out", tmp_path / "out"]
    assert cli.main([*map(str, ["run", "baseline", "--target", "yor", *given])]) == 2
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1 and "calls its classes no, yes; expected different, same" in said
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_with_the_rows_is_said_before_the_encoder(tmp_path, capfd):
    encoder = small_world.write_encoder(tmp_path / "encoder", labels=("no", "yes"))
    given = ["run", "joint", "--target", "yor", "--aux", "hau", "--encoder", encoder, "--out", tmp_path / "out"]
    (tmp_path / "own.csv.gz").write_bytes(gzip.compress(b"language,split,text,label\nyor,dev,a,b\n"))
    for data, said in (("none", "There is no"), ("own.csv.gz", "own.csv.gz")):
        assert cli.main([*map(str, [*given, "--data", tmp_path / data])]) == 2
        told = capfd.readouterr().err
        assert len(told.splitlines()) == 1 and said in told and "classes" not in told


def test_what_is_no_path_and_no_name(tmp_path):
    for path in (tmp_path / "none", tmp_path / "none.csv", "a/b/c", "none.csv"):
        complaint(lambda path=path: corpora.nli(path), f"There is no {path}", "XNLI-1.0.zip")
    complaint(lambda: corpora.nli(tmp_path), "XNLI-1.0.zip", "rows of your own")


def test_the_page_on_own_corpora_is_right(tmp_path):
    page = (Path(__file__).parents[1] / "notebooks" / "own_corpora.md").read_text("utf-8")
    assert all(f"| `{name}` |" in page for name in own.COLUMNS)
    (tmp_path / "mine.csv").write_text(page.split("```csv\n")[1].split("```")[0], "utf-8")
    corpus = read(tmp_path / "mine.csv")
    assert corpora.classes_of(corpus) == ("different", "same")
    assert sorted(corpus["language"]) == ["hau"] * 2 + ["yor"] * 2
    assert all(parts.languages.usual(code) == code for code in ("all", "new"))
    for line in page.replace(" \\\n", " ").splitlines():
        if line.startswith("python -m minimeta "):
            assert parse(shlex.split(line)[3:]).data in ("mine.csv", "x-final.tar.gz")


# A real corpus, where it is at hand


def test_real_xnli_as_a_table_of_ones_own(tmp_path):
    archive = Path(__file__).parents[2] / "shared" / "real" / "XNLI-1.0.zip"
    if not archive.is_file():
        pytest.skip("the real XNLI-1.0.zip is not in shared/real beside this checkout")
    with zipfile.ZipFile(archive) as opened:
        (tmp_path / "xnli-dev.tsv").write_bytes(opened.read("XNLI-1.0/xnli.dev.tsv"))
    names = {"text": "sentence1", "text2": "sentence2", "label": "gold_label", "pair": "pairID"}
    names |= {"premise_id": "promptID"}
    mine = corpora.corpus_of("nli", tmp_path / "xnli-dev.tsv", tuple(names.items()))
    assert mine.classes == tuple(sorted(corpora.LABELS))
    found = mine.rows(tmp_path, splits="dev").to_pandas()
    official = corpora.CORPORA["XNLI"].rows(archive, splits="dev").to_pandas()
    official = official.sort_values(["language", "pair"], ignore_index=True)
    same = ["language", "genre", "split", "premise", "hypothesis", "pair"]
    assert found[same].equals(official[same])
    assert [mine.classes[label] for label in found["label"]] == [corpora.LABELS[label] for label in official["label"]]
    assert found.groupby("premise_id")["pair"].nunique().eq(3).all()
