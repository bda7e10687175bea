"""Question answering: corpora, encoders, episodes and studies, each against a plainer way to the same numbers."""

import json
import shutil
import unicodedata
import warnings
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_world
import torch
from small_world import complaint
from torch import nn
from torch.func import functional_call

from minimeta.__main__ import main
from minimeta.clusters import task_losses
from minimeta.grouping import alone
from minimeta.inner import Learner, adapt
from minimeta.reference import adapt_with_higher
from minimeta.studies import comparisons, grids, intervals, papers, recipes, study
from minimeta.studies.grids import Run
from minimeta.studies.methods import METHODS, Cell
from minimeta.studies.world import World
from minimeta.tasks import Episode
from minimeta.text import corpora, encoders, finetune, heads, metrics, mini
from minimeta.text.episodes import sampler
from minimeta.text.spans import training_window

REAL = Path(__file__).parents[2] / "shared" / "real"
KINDS = ("bert", "xlm-roberta")
DE = "dev-context-de-question-de.json"
read_mlqa = corpora.CORPORA["MLQA"].rows


def read_squad(path, splits=("train",)):
    return corpora.STAGE_TWO["SQuAD"].rows(path, splits=splits)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return small_world.write_mlqa(tmp_path_factory.mktemp("mlqa"))


@pytest.fixture(scope="module")
def unanswered(tmp_path_factory):
    """An archive whose test questions have no answers."""
    return small_world.write_mlqa(tmp_path_factory.mktemp("unanswered"), answered=False)


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return small_world.write_squad(tmp_path_factory.mktemp("squad"))


@pytest.fixture(scope="module")
def mlqa(archive):
    return read_mlqa(archive)


@pytest.fixture(scope="module")
def corpus(archive):
    return corpora.qa(archive)


@pytest.fixture(scope="module")
def rows(corpus):
    """The corpus as a list, which is quick to go through."""
    return corpus.to_list()


def asked_in_the_test(rows, language):
    return [row for row in rows if (row["language"], row["split"]) == (language, "test")]


@pytest.fixture(scope="module")
def split_up(unanswered):
    """MLQA where half of the dev passages serve as test rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return corpora.qa(unanswered)


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    return {
        kind: small_world.write_encoder(tmp_path_factory.mktemp("encoder") / kind, kind, spans=True) for kind in KINDS
    }


@pytest.fixture(params=KINDS)
def directory(request, directories):
    return directories[request.param]


def far(left, right):
    return (left - right).abs().max().item()


def expected_rows(languages=small_world.MLQA, dev=44, test=8):
    """The rows of the small MLQA, with the number of their passage for `passage_id`."""
    for split, count in (("dev", dev), ("test", test)):
        for language in languages:
            for number in range(count):
                asked = small_world.mlqa_questions(language, split, number)
                part = small_world.paragraph(language, number + (100 if split == "test" else 0), asked)
                for question in part["qas"]:
                    yield {
                        "language": language,
                        "genre": "wikipedia",
                        "split": split,
                        "pair": f"{split}/{question['id']}",
                        "passage_id": (split, number),
                        "context": part["context"],
                        "question": question["question"],
                        "answers": {
                            name: [told[key] for told in question["answers"]]
                            for name, key in (("text", "text"), ("answer_start", "answer_start"))
                        },
                    }


def without_passage(rows):
    return [{name: value for name, value in row.items() if name != "passage_id"} for row in rows]


def groups(rows):
    """Which rows share a `passage_id`, as sets of their places."""
    found = {}
    for place, row in enumerate(rows):
        found.setdefault(row["passage_id"], set()).add(place)
    return set(map(frozenset, found.values()))


# What is read


def test_rows_are_those_of_the_archive(mlqa):
    expected = list(expected_rows())
    assert without_passage(mlqa) == without_passage(expected)
    assert mlqa.column_names == list(expected[0])
    assert groups(mlqa) == groups(expected)  # joined through English, which asks every question


def test_squad_has_the_columns_of_mlqa_and_all_its_answers(english, mlqa):
    train, both = read_squad(english), read_squad(english, splits=("train", "dev"))
    assert both.features == mlqa.features
    assert Counter(train["split"]) == {"train": 16} and Counter(both["split"]) == {"train": 16, "dev": 16}
    assert {len(row["answers"]["text"]) for row in both if row["split"] == "dev"} == {2}
    for row in both:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert text and row["context"][start : start + len(text)] == text
        assert row["language"] == "en"
    found = groups(both)
    assert len(found) == 16 and {len(group) for group in found} == {2}
    assert all(len({both[place]["context"] for place in group}) == 1 for group in found)


def test_mini_qa_has_the_columns_of_mlqa_and_parallel_rows(mlqa):
    corpus = corpora.mini_qa(["en", "th", "ar"], ["dev"])
    assert set(corpus.column_names) == set(mlqa.column_names) and corpora.task_of(corpus) == "qa"
    table = corpus.to_pandas()
    assert set(table["pair"].value_counts()) == {3} and set(table["passage_id"].value_counts()) == {2 * 3}
    assert len(table) == 3 * 2 * 10 * mini.PASSAGES["dev"]
    for row in corpus:
        ((text, start),) = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        assert text and row["context"][start : start + len(text)] == text
        assert text not in row["question"]


def test_archive_and_directories_give_the_same_rows(archive, mlqa, english, tmp_path):
    for path, folder, read in ((archive, "MLQA_V1", read_mlqa), (english, "squad", read_squad)):
        with zipfile.ZipFile(path) as opened:
            opened.extractall(tmp_path)
        expected = read(path).to_list()
        assert expected == mlqa.to_list() or folder == "squad"
        for place in (path.parent, str(path), tmp_path, tmp_path / folder):
            assert read(place).to_list() == expected, place


def test_languages_and_splits_can_be_chosen(archive, mlqa):
    chosen = read_mlqa(archive, ["hi", "de"], ["dev"])
    wanted = [row for code in ("hi", "de") for row in mlqa if (row["language"], row["split"]) == (code, "dev")]
    assert without_passage(chosen) == without_passage(wanted) and len(chosen) > 100


def test_passages_are_joined_by_their_questions_and_only_by_them(archive):
    """Without English, two languages may ask about a passage without a question in common."""
    corpus = read_mlqa(archive, ["es", "de"], ["dev"])
    rows = [(row["pair"], (row["language"], row["context"])) for row in corpus]
    whole = [{place} for place in range(len(rows))]
    for one, (pair, passage) in enumerate(rows):
        for other in range(one):
            if pair == rows[other][0] or passage == rows[other][1]:
                joined = whole[one] | whole[other]
                for place in joined:
                    whole[place] = joined
    assert groups(corpus) == set(map(frozenset, whole))
    numbers = Counter(row["pair"].split("-")[0] for row in {row["passage_id"]: row for row in corpus}.values())
    assert set(numbers.values()) == {1, 2} and len(numbers) == 44


def test_questions_without_an_answer_are_left_out_with_one_warning(archive, tmp_path):
    def change(text):
        content = json.loads(text)
        for number in (4, 7, 9):
            content["data"][number]["paragraphs"][0]["qas"][0]["answers"] = [{"text": "", "answer_start": 0}] * (
                number % 2
            )
        return json.dumps(content)

    path = small_world.changed(archive, tmp_path, DE, change)
    with pytest.warns(UserWarning, match="have no answer") as caught:
        found = read_mlqa(path, splits=["dev"])
    (message,) = (str(each.message) for each in caught)
    first = small_world.mlqa_questions("de", "dev", 4)[0]
    count = sum(len(small_world.mlqa_questions("de", "dev", number)) for number in range(44))
    assert f"3 of {count} questions of dev/{DE}" in message and message.endswith(f"{first}.")
    gone = {f"dev/{small_world.mlqa_questions('de', 'dev', number)[0]}" for number in (4, 7, 9)}
    expected = [row for row in expected_rows(test=0) if row["language"] != "de" or row["pair"] not in gone]
    assert without_passage(found) == without_passage(expected)


def test_empty_answers_beside_others_are_left_out_without_a_warning(archive, tmp_path):
    def change(text):
        content = json.loads(text)
        for number in range(3):
            content["data"][number]["paragraphs"][0]["qas"][0]["answers"].insert(0, {"text": "", "answer_start": 0})
        return json.dumps(content)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_mlqa(small_world.changed(archive, tmp_path, DE, change), splits=["dev"])
    assert without_passage(found) == without_passage(expected_rows(test=0))


@pytest.mark.parametrize("blank", [" ", " \u3000"])
def test_answers_of_blanks_are_no_answers(archive, tmp_path, blank):
    def change(text):
        content = json.loads(text)
        for number in (1, 2):
            part = content["data"][number]["paragraphs"][0]
            part["context"] += blank
            empty = {"text": blank, "answer_start": len(part["context"]) - len(blank)}
            part["qas"][0]["answers"] = [empty] if number == 1 else [empty, *part["qas"][0]["answers"]]
        return json.dumps(content)

    with pytest.warns(UserWarning, match="1 of .* have no answer"):
        found = read_mlqa(small_world.changed(archive, tmp_path, DE, change), "de", "dev").to_pandas()
    one, other = (f"dev/{small_world.mlqa_questions('de', 'dev', number)[0]}" for number in (1, 2))
    assert one not in set(found["pair"])
    ((answers),) = found["answers"][found["pair"] == other]
    assert len(answers["text"]) == 1 and answers["text"][0].strip()


def test_questions_are_in_nfc_and_answers_stay_where_they_are(archive, tmp_path):
    """The passage may be written in two ways in one file; a place in it counts the characters that are there."""
    apart = unicodedata.normalize("NFD", "Việt Nam")

    def change(text):
        content = json.loads(text)
        for article in content["data"]:
            part = article["paragraphs"][0]
            part["context"] = f"{apart} {part['context']}"
            for question in part["qas"]:
                question["question"] = f"{apart} {question['question']}"
                for told in question["answers"]:
                    told["answer_start"] += len(apart) + 1
        part["qas"][0]["answers"] = [{"text": apart[:4], "answer_start": 0}]  # of the last passage
        return json.dumps(content)

    plain = read_mlqa(archive, "de", "dev").to_list()
    found = read_mlqa(small_world.changed(archive, tmp_path, DE, change), "de", "dev").to_list()
    assert len(found) == len(plain)
    for row, before in zip(found, plain, strict=True):
        assert row["question"] == f"Việt Nam {before['question']}"
        assert row["context"] == f"{apart} {before['context']}"
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text
    moved = [
        row for row, before in zip(found, plain, strict=True) if row["answers"]["text"] == before["answers"]["text"]
    ]
    assert len(moved) == len(found) - 1


# Held-out and test rows


def by_passage(corpus):
    """The splits and the languages of each passage, and of each pair; contexts stand for passages in a language."""
    table = corpus.to_pandas()
    for name in ("pair", "passage_id"):
        assert table.groupby(name)["split"].nunique().max() == 1, name
    assert table.groupby(["language", "context"])["split"].nunique().max() == 1
    return table.groupby("passage_id")["split"].first()


def test_without_answered_test_rows_half_of_the_dev_passages_are_test_rows(split_up, unanswered):
    assert Counter(by_passage(split_up)) == {"test": 22, "held-out": 4, "dev": 18}
    for split in ("test", "held-out", "dev"):
        assert {row["language"] for row in split_up if row["split"] == split} == set(small_world.MLQA)
    assert without_passage(split_up.remove_columns("split")) == [
        {name: value for name, value in row.items() if name != "split"}
        for row in without_passage(expected_rows(test=0))
    ]
    with pytest.warns(UserWarning, match="have no answer") as caught:
        again = corpora.qa(unanswered)
    assert len(caught) == len(small_world.MLQA)
    assert again["split"][:] == split_up["split"][:]


def test_answered_test_rows_stay_what_they_are(corpus, mlqa):
    assert Counter(by_passage(corpus)) == {"test": 8, "held-out": 9, "dev": 35}
    for before, after in zip(mlqa, corpus, strict=True):
        assert (before["split"] == "test") == (after["split"] == "test")
        assert {**before, "split": ""} == {**after, "split": ""}


def test_without_the_test_split_nothing_becomes_test(archive):
    assert set(corpora.qa(archive, splits=["dev"])["split"]) == {"dev", "held-out"}


def test_held_out_rows_of_mini_qa_are_the_same_passages_in_all_languages():
    corpus = corpora.qa(languages=["en", "zh"])
    passages = 10 * mini.PASSAGES["dev"]
    assert Counter(by_passage(corpus)) == {
        "test": 10 * mini.PASSAGES["test"],
        "held-out": passages // 5,
        "dev": passages - passages // 5,
    }
    assert set(corpus.to_pandas().groupby("passage_id")["language"].nunique()) == {2}
    few = corpora.qa(languages=["zh"])
    assert few["split"][:] == [row["split"] for row in corpus if row["language"] == "zh"]


# Input that cannot be used


def refused(path, *parts, read=read_mlqa, **options):
    message = complaint(lambda: read(path, **options), *parts, str(path))
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("read", "folder", "file"), [(read_mlqa, "MLQA_V1", "MLQA_V1.zip"), (read_squad, "squad", "squad.zip")]
)
def test_archives_that_are_not_there_or_damaged(archive, english, tmp_path, read, folder, file):
    refused(tmp_path / file, file, "expected", read=read)
    refused(tmp_path, file, "name the directory", read=read)
    path = tmp_path / file
    path.write_text("<html>404 Not Found</html>")
    refused(path, "not a zip", "get it again", read=read)
    for share in (0.1, 0.6, 0.99):
        path.write_bytes((archive if folder == "MLQA_V1" else english).read_bytes())
        refused(small_world.cut(path, share), "damaged", "get it again", read=read)


def test_files_that_the_archive_lacks(archive, english, tmp_path):
    path = small_world.changed(archive, tmp_path, DE, lambda text: None)
    refused(path, f"dev/{DE}", "get the whole archive", languages=["de"], splits=["dev"])
    assert set(read_mlqa(path, splits=["dev"])["language"]) == set(small_world.MLQA) - {"de"}
    refused(archive, "dev-context-ar-question-ar.json", languages=["hi", "ar"])
    refused(archive, "no train split of MLQA", splits=["dev", "train"])
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "unpacked", [name for name in opened.namelist() if "test" not in name])
    refused(tmp_path / "unpacked", "test")
    squad = small_world.changed(english, tmp_path, "train-v1.1.json", lambda text: None)
    refused(squad, "train-v1.1.json", "get the whole archive", read=read_squad)
    assert len(read_squad(squad, ["dev"])) == 16


def test_languages_that_mlqa_has_not(archive):
    complaint(lambda: read_mlqa(archive, ["hi", "fr", "ru"]), "MLQA has no fr", "en, es, de, ar, vi, zh, hi")
    complaint(lambda: read_mlqa(archive, ["xx"]), "'xx'")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-20],
        lambda text: "",
        lambda text: "{}",
        lambda text: "[]",
        lambda text: '{"data": [{"paragraphs": [{"context": "x"}]}]}',
        lambda text: text.replace('"answer_start"', '"start"', 1),
        lambda text: text.replace('"id"', '"name"', 1),
    ],
)
def test_files_that_are_not_in_the_layout(archive, english, tmp_path, change):
    refused(small_world.changed(archive, tmp_path, DE, change), f"dev/{DE}", "cannot be read", "get the archive again")
    path = small_world.changed(english, tmp_path, "train-v1.1.json", change)
    refused(path, "train-v1.1.json", "cannot be read", read=read_squad)


@pytest.mark.parametrize("shift", [1, -1000, 10_000])
def test_an_answer_that_stands_elsewhere_is_named(archive, tmp_path, shift):
    def change(text):
        content = json.loads(text)
        content["data"][5]["paragraphs"][0]["qas"][-1]["answers"][0]["answer_start"] += shift
        return json.dumps(content)

    identity = small_world.mlqa_questions("de", "dev", 5)[-1]
    path = small_world.changed(archive, tmp_path, DE, change)
    refused(path, f"question {identity} of dev/{DE}", "does not stand at", "get the archive again")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(None, "has None where a text should be"), (7, "has 7 where"), ("a\ud83d", r"half a character, '\ud83d'")],
)
@pytest.mark.parametrize("what", ["question", "context", "text", "answer_start"])
def test_what_is_no_text_is_named(archive, tmp_path, what, wrong, said):
    identity = small_world.mlqa_questions("de", "dev", 5)[0]

    def change(text):
        content = json.loads(text)
        part = content["data"][5]["paragraphs"][0]
        holder = {"question": part["qas"][0], "context": part}.get(what, part["qas"][0]["answers"][0])
        if what == "context" and isinstance(wrong, str):  # the answers still stand where they stood
            holder[what] += wrong
        else:
            holder[what] = wrong
        return json.dumps(content)

    path = small_world.changed(archive, tmp_path, DE, change)
    if what == "answer_start":
        refused(path, f"question {identity} of dev/{DE}", "does not stand at", "get the archive again")
    else:
        refused(path, f"Question '{identity}' of dev/{DE}", said, "get the archive again")


# Real corpora, where they are at hand


@pytest.fixture(scope="module")
def real_mlqa():
    if not (REAL / "MLQA_V1.zip").is_file():
        pytest.skip("the real MLQA_V1.zip is not in shared/real beside this checkout")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*have no answer")
        return corpora.qa(REAL)


def test_real_mlqa_has_its_official_counts(real_mlqa):
    counts = Counter(row for row in real_mlqa["language"])
    assert counts == {"ar": 517, "de": 512, "en": 1148, "es": 500, "hi": 507, "vi": 511, "zh": 504}


def test_the_real_mlqa_is_in_nfc_and_its_answers_are_where_they_were(real_mlqa):
    """In the archive 14 Hindi and 20 Vietnamese questions of the dev split are not; all contexts and answers are."""
    with zipfile.ZipFile(REAL / "MLQA_V1.zip") as opened:
        told = json.loads(opened.read("MLQA_V1/dev/dev-context-vi-question-vi.json"))
    given = {q["id"]: q for article in told["data"] for part in article["paragraphs"] for q in part["qas"]}
    normal = {name: unicodedata.is_normalized("NFC", question["question"]) for name, question in given.items()}
    assert Counter(normal.values()) == {True: 491, False: 20}
    for row in real_mlqa:
        assert all(unicodedata.is_normalized("NFC", row[name]) for name in ("question", "context"))
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text
        if row["language"] == "vi":
            question = given[row["pair"].split("/")[1]]
            assert row["question"] == unicodedata.normalize("NFC", question["question"])
            assert row["answers"]["answer_start"] == [each["answer_start"] for each in question["answers"]]


def test_no_passage_or_question_of_the_real_mlqa_is_in_two_splits(real_mlqa):
    passages = Counter(by_passage(real_mlqa))
    whole = sum(passages.values())
    assert passages["test"] == round(whole / 2)
    assert passages["held-out"] == round(0.2 * (whole - passages["test"]))
    table = real_mlqa.to_pandas()
    assert set(table.groupby("language")["split"].nunique()) == {3}
    assert table.groupby("pair")["language"].nunique().max() > 3  # translations were there to be told apart


def test_real_squad_has_its_official_count():
    if not (REAL / "squad.zip").is_file():
        pytest.skip("the real squad.zip is not in shared/real beside this checkout")
    assert len(read_squad(REAL, ["dev"])) == 10_570


# Encoders


def huggingface(directory, rows, max_length=64):
    """Scores of all windows of the rows as Hugging Face computes them, the mask, and whose window each is."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model = AutoModelForQuestionAnswering.from_pretrained(directory, attn_implementation="eager").eval()
    tokens = AutoTokenizer.from_pretrained(directory)(
        [row["question"] for row in rows],
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=max_length,
        stride=max_length // 3,
        return_overflowing_tokens=True,
        padding=True,
        return_tensors="pt",
    )
    owner = tokens.pop("overflow_to_sample_mapping").tolist()
    with torch.no_grad():
        found = model(**tokens)
    return torch.stack([found.start_logits, found.end_logits], -1), tokens["attention_mask"], owner


def keys_of(features, rows):
    return [(row, number) for row, found in features.windows(rows).items() for number in range(len(found))]


def our_scores(features, keys):
    with torch.no_grad():
        return features.encoder.learner.outputs(features.batch(keys))


@pytest.mark.parametrize("what", ["head", "all"])
def test_scores_are_those_of_hugging_face(directory, mlqa, what):
    rows = list(range(0, len(mlqa), 9))
    features = encoders.qa(directory, adapt=what).features(mlqa)
    expected, mask, owner = huggingface(directory, mlqa.select(rows))
    keys = keys_of(features, rows)
    assert [row for row, _ in keys] == [rows[i] for i in owner] and len(keys) > len(rows)
    found = our_scores(features, keys)
    there = mask == 1
    assert found.shape == expected.shape and not there.all()
    assert far(found[there], expected[there]) < 1e-5
    assert (found[~there] == -1e4).all()
    assert expected[there].std() > 0.1  # tokens differ, so equality says something


def test_padding_changes_nothing(directory, mlqa):
    features = encoders.qa(directory).features(mlqa)
    keys = sorted(keys_of(features, range(40)), key=lambda key: len(features.windows([key[0]])[key[0]][0].input_ids))
    short, long = keys[0], keys[-1]
    both, single = our_scores(features, [short, long]), our_scores(features, [short])
    size = single.shape[1]
    assert both.shape[1] > size
    assert far(both[0, :size], single[0]) < 1e-5
    y = torch.tensor([[3, 4], [5, 6]])
    assert far(heads.span_loss(both, y)[:1], heads.span_loss(single, y[:1])) < 1e-5


def test_the_loss_is_the_sum_of_which_hugging_face_takes_the_mean(directory, mlqa):
    from transformers import AutoModelForQuestionAnswering

    encoder = encoders.qa(directory, adapt="all")
    features, model = encoder.features(mlqa), AutoModelForQuestionAnswering.from_pretrained(directory).eval()
    for row in (0, 4, 300):
        batch = {name: value[0] for name, value in features[torch.tensor([[row]])].items()}
        types = {} if directory.name != "bert" else {"token_type_ids": batch["token_type_ids"]}
        theirs = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["mask"],
            start_positions=batch["y"][:, 0],
            end_positions=batch["y"][:, 1],
            **types,
        ).loss
        ours = encoder.learner(batch)
        assert ours.shape == (1,) and ours.item() == pytest.approx(2 * theirs.item(), rel=1e-5)


def test_what_is_adapted(directory):
    head, whole = encoders.qa(directory), encoders.qa(directory, adapt="all")
    assert {name.split(".")[1] for name, _ in head.learner.named_parameters()} == {"layer", "vectors"}
    assert all(p.requires_grad for p in head.learner.parameters())
    assert not any(p.requires_grad for p in head.trunk.parameters()) and whole.trunk is None
    assert all(p.requires_grad for p in whole.learner.parameters())
    assert (head.classes, head.max_length) == ((), 64)


def test_a_trained_span_model_gives_no_warning(directory):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoders.qa(directory)


@pytest.mark.parametrize("classifier", [False, True])
def test_a_checkpoint_without_span_vectors_gets_them_from_the_seed_with_a_warning(tmp_path, mlqa, classifier):
    for kind in KINDS:
        directory = small_world.write_encoder(tmp_path / kind, kind, classifier=classifier)
        scores = []
        for seed in (0, 0, 1):
            with pytest.warns(UserWarning, match="was not trained for question answering") as caught:
                encoder = encoders.qa(directory, seed=seed)
            assert str(directory) in str(caught[0].message) and f"seed {seed}" in str(caught[0].message)
            scores.append(scored(encoder, mlqa))
        assert torch.equal(scores[0], scores[1]) and far(scores[0], scores[2]) > 1e-3
        if classifier:  # the encoder itself is that of the checkpoint
            theirs = dict(encoders.nli(directory).trunk.named_parameters())
            assert all(torch.equal(p, theirs[name]) for name, p in encoder.trunk.named_parameters())


def scored(encoder, corpus):
    features = encoder.features(corpus)
    return our_scores(features, keys_of(features, [0, 1]))


def test_a_span_model_is_no_nli_classifier(directory):
    with pytest.warns(UserWarning, match="was not trained for NLI"):
        assert encoders.nli(directory).classes == corpora.LABELS


def test_span_vectors_of_another_number(directories, tmp_path):
    shutil.copytree(directories["bert"], tmp_path / "e")
    config = json.loads((tmp_path / "e" / "config.json").read_text())
    labels = {str(n): f"LABEL_{n}" for n in range(3)}
    (tmp_path / "e" / "config.json").write_text(json.dumps(config | {"id2label": labels}))
    complaint(lambda: encoders.qa(tmp_path / "e"), "3 classes", "question answering needs 2")


# Adapting it


def pair_episode(features, fresh=1):
    """Two tasks with 3 support and 2 query questions each, of different lengths."""
    rows = torch.arange(2 * (3 * fresh + 2)).reshape(2, -1) * 5
    support = tuple(features[rows[:, 3 * i : 3 * i + 3]] for i in range(fresh))
    return Episode(("en", "es"), support, features[rows[:, -2:]])


def single(episode, task):
    def cut(batch):
        return {name: value[task : task + 1] for name, value in batch.items()}

    return Episode((episode.tasks[task],), tuple(map(cut, episode.support)), cut(episode.query))


def meta_gradient(learner, episode, first_order=False):
    adapted = adapt(learner, episode, alone(), 2, 0.05, first_order)
    loss = task_losses(learner, adapted.parameters, adapted.labels, episode.query).mean()
    gradients = torch.autograd.grad(loss, list(learner.parameters()), materialize_grads=True)
    return adapted, torch.cat([g.flatten() for g in gradients])


@pytest.mark.parametrize("what", ["head", "all"])
def test_the_meta_gradient_is_that_of_higher(directory, mlqa, what):
    encoder = encoders.qa(directory, adapt=what)
    episode = pair_episode(encoder.features(mlqa))
    _, gradient = meta_gradient(encoder.learner, episode)
    copies = adapt_with_higher(encoder.learner, episode, alone(), 2, 0.05)
    losses = [copy({n: v[task] for n, v in episode.query.items()}).mean() for task, copy in enumerate(copies)]
    expected = torch.autograd.grad(
        torch.stack(losses).mean(), list(encoder.learner.parameters()), materialize_grads=True
    )
    expected = torch.cat([g.flatten() for g in expected])
    assert gradient.isfinite().all() and gradient.abs().max() > 1e-3
    assert far(gradient, expected) < 1e-4 * gradient.abs().max()


@pytest.mark.parametrize("what", ["head", "all"])
def test_first_order_is_the_query_gradient_at_the_adapted_parameters(directory, mlqa, what):
    encoder = encoders.qa(directory, adapt=what)
    episode = single(pair_episode(encoder.features(mlqa)), 0)
    adapted, gradient = meta_gradient(encoder.learner, episode, first_order=True)
    theta = {name: value.detach().requires_grad_() for name, value in adapted.of(0).items()}
    query = {name: value[0] for name, value in episode.query.items()}
    loss = functional_call(encoder.learner, theta, (query,)).mean()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(theta.values()), materialize_grads=True)])
    assert far(gradient, expected) < 1e-5 * expected.abs().max()
    _, second = meta_gradient(encoder.learner, episode)
    assert far(gradient, second) > 1e-3 * second.abs().max()


@pytest.mark.parametrize("what", ["head", "all"])
def test_two_clusters_at_once_are_two_clusters_one_by_one(directory, mlqa, what):
    encoder = encoders.qa(directory, adapt=what)
    episode = pair_episode(encoder.features(mlqa), fresh=2)
    both, gradient = meta_gradient(encoder.learner, episode)
    apart = [meta_gradient(encoder.learner, single(episode, task)) for task in range(2)]
    for task, (adapted, _) in enumerate(apart):
        for name, value in both.of(task).items():
            assert far(value, adapted.of(0)[name]) < 1e-5, name
    assert far(gradient, (apart[0][1] + apart[1][1]) / 2) < 1e-4 * gradient.abs().max()


# Features


def test_a_batch_has_the_shape_of_its_rows(directories, mlqa):
    rows = torch.tensor([[0, 40, 81], [7, 7, 1]])
    features = encoders.qa(directories["bert"]).features(mlqa)
    head, whole = features[rows], encoders.qa(directories["bert"], adapt="all").features(mlqa)[rows]
    assert list(head) == ["hidden", "mask", "y"]
    assert list(whole) == ["input_ids", "mask", "token_type_ids", "y"]
    assert head["hidden"].shape == (*head["mask"].shape, 16) and head["y"].shape == (2, 3, 2)
    assert torch.equal(head["mask"], whole["mask"]) and torch.equal(head["y"], whole["y"])
    assert head["mask"].sum(-1).max() == head["mask"].shape[-1]
    assert set(whole["token_type_ids"].flatten().tolist()) == {0, 1}
    tokenizer = features.encoder.tokenizer
    for row, ids, (start, end) in zip(
        rows.flatten().tolist(), whole["input_ids"].flatten(0, 1), whole["y"].flatten(0, 1).tolist(), strict=True
    ):
        answer = tokenizer(mlqa[row]["answers"]["text"][0], add_special_tokens=False)["input_ids"]
        assert ids[start : end + 1].tolist() == answer


def test_a_row_is_learned_from_in_its_best_window(directories, mlqa):
    features = encoders.qa(directories["bert"], adapt="all").features(mlqa)
    later = 0
    for row, found in features.windows(range(len(mlqa))).items():
        number = training_window(found)
        batch = features[torch.tensor([[row]])]
        assert batch["input_ids"][0, 0].tolist() == found[number].input_ids
        assert batch["y"][0, 0].tolist() == [found[number].start, found[number].end]
        later += number > 0
        if row > 100:
            break
    assert later > 3


def test_the_trunk_sees_every_window_once(directory, mlqa):
    encoder, seen = encoders.qa(directory), []
    encoder.trunk.register_forward_hook(lambda module, given, result: seen.append(given[0]))
    features = encoder.features(mlqa)
    rows = list(range(12))
    features[torch.tensor([rows, rows])]
    assert len(small_world.different_rows(seen, encoder)) == 12
    features.predict(encoder.learner, rows)
    batches = len(seen)
    features.predict(encoder.learner, rows[::-1])
    assert len(seen) == batches
    assert len(small_world.different_rows(seen, encoder)) == len(keys_of(features, rows)) > 12


def read_off(scores, window, context, longest=30):
    """The best span of one window's scores, found by looking at each pair of tokens."""
    of = [token for token, place in enumerate(window.places) if place is not None]
    value, i, j = max((scores[i][0] + scores[j][1], i, j) for i in of for j in of if i <= j < i + longest)
    return value, context[window.places[i][0] : window.places[j][1]]


@pytest.mark.parametrize("what", ["head", "all"])
def test_answers_are_those_of_a_plain_loop_over_windows(directory, mlqa, what):
    rows = list(range(3, 60, 2))
    features = encoders.qa(directory, adapt=what).features(mlqa)
    expected, several = [], 0
    scores, _, owner = huggingface(directory, mlqa.select(rows))
    for number, (row, found) in enumerate(features.windows(rows).items()):
        own = scores[[i for i, of in enumerate(owner) if of == number]].tolist()
        read = [read_off(s, window, mlqa[row]["context"]) for s, window in zip(own, found, strict=True)]
        expected.append(max(read)[1])
        several += max(read) != read[0]
    assert features.predict(features.encoder.learner, rows) == expected
    assert several > 0 and len(set(expected)) > 10
    assert features.predict(features.encoder.learner, rows[::-1]) == expected[::-1]


class Finder(nn.Module):
    """Start and end scores of 1 where two given tokens stand, else 0; or `elsewhere`."""

    def __init__(self, first, last, elsewhere=0.0):
        super().__init__()
        self.first, self.last, self.elsewhere = first, last, nn.Parameter(torch.tensor(elsewhere))

    def forward(self, input_ids, mask, token_type_ids):
        return torch.stack([(input_ids == self.first), (input_ids == self.last)], -1) + self.elsewhere


def test_an_answer_in_a_later_window_is_found(directory, mlqa):
    encoder = encoders.qa(directory, adapt="all")
    later = 0
    for row in range(len(mlqa)):
        context = mlqa[row]["context"]
        if len(context.split()) < 80:
            continue
        features = encoder.features(mlqa)
        last = encoder.tokenizer(context, add_special_tokens=False)["input_ids"][-2:]  # the passage's number, a stop
        learner = Learner(Finder(*last), heads.span_loss)
        assert features.predict(learner, [row]) == [context.split()[-1]]
        ((*before, _),) = features.windows([row]).values()
        later += bool(before) and all(part.places[-2][1] < len(context) for part in before)
        if later == 3:
            break
    assert later == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite(directories, mlqa, value):
    features = encoders.qa(directories["bert"], adapt="all").features(mlqa)
    learner = Learner(Finder(5, 6, value), heads.span_loss)
    complaint(lambda: features.predict(learner, [0, 1]), "not finite", "lower the inner or the outer rate")


# Episodes


def drawn(corpus, rows, column):
    return [corpus[row][column] for row in rows.flatten().tolist()]


@pytest.mark.parametrize(
    ("query", "support", "given"),
    [
        ("hi", None, ["hi"]),
        (("hi", "zh"), None, ["hi", "zh"]),
        ("hi", "en", ["en"]),
        (("hi", "zh"), "en", ["en", "en"]),
        (("hi", "es"), ("es", "hi"), ["es", "hi"]),
        ("hi", "de", ["de"]),
    ],
)
def test_episodes_of_questions(split_up, query, support, given):
    target = ["vi"] if "de" not in given else ["de"]
    draw = sampler(split_up, query, support=support, shots=4, queries=4, target=target)
    asked = [query] if isinstance(query, str) else list(query)
    for step in range(4):
        episode = draw(step)
        assert episode.tasks == tuple(asked)
        (batch,) = episode.support
        for rows, languages in ((batch["row"], given), (episode.query["row"], asked)):
            assert rows.shape == (len(asked), 4)
            assert drawn(split_up, rows, "language") == [code for code in languages for _ in range(4)]
            assert set(drawn(split_up, rows, "split")) == {"dev"}
        for task in range(len(asked)):
            rows = torch.cat([batch["row"][task], episode.query["row"][task]]).tolist()
            assert len(set(rows)) == 8
    again = sampler(split_up, query, support=support, shots=4, queries=4, target=target)(0)
    assert torch.equal(again.query["row"], draw(0).query["row"])


@pytest.mark.parametrize("support", [None, "en"])
def test_covering_gives_every_question_once_in_a_pass(corpus, rows, support):
    draw = sampler(corpus, "hi", support=support, shots=3, queries=4, covering=True)
    steps = [draw(step) for step in range(60)]
    queries = [step.query["row"].flatten().tolist() for step in steps]
    supports = [step.support[0]["row"].flatten().tolist() for step in steps]
    streams = {"hi": queries, "en": supports}
    if support is None:
        streams = {"hi": [given + asked for given, asked in zip(supports, queries, strict=True)]}
    for language, parts in streams.items():
        own = [n for n, row in enumerate(rows) if (row["language"], row["split"]) == (language, "dev")]
        stream = [row for part in parts for row in part]
        assert len(stream) > 2 * len(own)
        for start in range(0, len(stream) - len(own) + 1, len(own)):
            assert sorted(stream[start : start + len(own)]) == own


@pytest.mark.parametrize("covering", [False, True])
def test_parallel_questions_are_translations(corpus, covering):
    draw = sampler(corpus, ("hi", "es"), support="en", shots=5, queries=5, parallel=True, covering=covering)
    for step in range(5):
        episode = draw(step)
        given, asked = episode.support[0]["row"], episode.query["row"]
        assert drawn(corpus, given, "pair") == drawn(corpus, asked, "pair")
        assert set(drawn(corpus, given, "language")) == {"en"}
        assert drawn(corpus, asked, "language") == ["hi"] * 5 + ["es"] * 5


def test_no_test_question_and_no_target_is_drawn(corpus):
    complaint(lambda: sampler(corpus, "hi", split="test"), "Test rows")
    complaint(lambda: sampler(corpus, ("hi", "de"), target=["de"]), "de is a target language")
    complaint(lambda: sampler(corpus, "hi", shots=40, queries=40), "hi has too few dev rows", "need 80 rows")
    complaint(lambda: sampler(corpus, "fr"), "no dev rows for fr")


# Stage two


@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_writes_a_span_model_the_same_for_the_same_seed(tmp_path, mlqa, kind):
    start = small_world.write_encoder(tmp_path / "start", kind)
    numbers = finetune.Settings(epochs=1, rate=1e-2, batch_size=8, max_length=64)
    few = mlqa.select(range(16))
    made = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1))[: 3 if kind == "bert" else 2]:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            finetune.train(start, few, tmp_path / name, numbers, seed)
            encoder = encoders.qa(tmp_path / name)
        made.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert made[0] == made[1] and "model.safetensors" in made[0]
    assert all(other["model.safetensors"] != made[0]["model.safetensors"] for other in made[2:])
    before = dict(encoders.nli(start).trunk.named_parameters())
    moved = [not torch.equal(p, before[name]) for name, p in encoder.trunk.named_parameters()]
    assert sum(moved) > len(moved) / 2


def test_fine_tuning_learns_from_all_windows(directory, mlqa, tmp_path, monkeypatch):
    given = []

    class Stopped(Exception):
        pass

    def trainer(*_, train_dataset, **__):
        given.extend(train_dataset)
        raise Stopped

    monkeypatch.setattr("transformers.Trainer", trainer)
    some = mlqa.select(range(20))
    with pytest.raises(Stopped):
        finetune.train(directory, some, tmp_path, finetune.Settings(1, 1e-3, max_length=64))
    features = encoders.qa(directory).features(some)
    expected = [window for found in features.windows(range(20)).values() for window in found]
    assert [(row["input_ids"], row["start_positions"], row["end_positions"]) for row in given] == [
        (window.input_ids, window.start, window.end) for window in expected
    ]
    assert [row["token_type_ids"] for row in given] == [window.token_types for window in expected]
    assert any(row["end_positions"] == 0 for row in given) and len(given) > 20


# Studies


METHODS_HERE = ["baseline", "joint", "x-maml", "xla-maml", "xla-maml-few-shot"]
RUNS = grids.transfer(METHODS_HERE, ["hi"], ["es", "de"], [0, 1])


@pytest.fixture(autouse=True)
def two_outer_steps(monkeypatch):
    shortened(monkeypatch)


def shortened(patch):
    numbers = recipes.SCALES["toy"]["questions"]
    patch.setitem(recipes.SCALES["toy"], "questions", replace(numbers, outer_steps=2, outer_rate=0.01))


@pytest.fixture(scope="module")
def world(archive, directories):
    return World("toy", str(archive), str(directories["xlm-roberta"]), "qa")


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "here"
    with pytest.MonkeyPatch.context() as patch:
        shortened(patch)
        study.run(RUNS, folder, world)
    return folder


def test_settings_of_questions_are_those_of_the_paper():
    for method in METHODS_HERE:
        cell = Cell(method, ("hi",), False)
        full = recipes.settings_for(cell, "full", "qa")
        assert (full.outer_steps, full.max_length, full.tune_rate, full.tune_batch) == (100, 384, 3e-5, 12)
        assert (full.shots, full.queries, full.adapt) == (8, 8, "all")
        for scale in recipes.SCALES:
            assert recipes.settings_for(cell, scale, "qa") == recipes.SCALES[scale]["questions"]
    assert (finetune.PAPER["qa"].rate, finetune.PAPER["qa"].epochs, finetune.PAPER["qa"].batch_size) == (3e-5, 2, 12)


def test_records_have_the_scores_of_every_test_question(finished, rows):
    records = comparisons.load(finished).records
    assert len(records) == len(RUNS) == 2 * (4 + 2)
    seen = Counter()
    for record in records:
        assert record["settings"]["outer_steps"] == 2
        assert len(record["outer_losses"]) == (2 if METHODS[record["method"]].trains else 0)
        for target, tests in record["results"].items():
            own = asked_in_the_test(rows, target)
            for kind, found in tests.items():
                seen[record["method"], kind] += 1
                told = [row["answers"]["text"] for row in own]
                assert found["n"] == len(own) == len(found["predicted"])
                assert all(said in row["context"] for said, row in zip(found["predicted"], own, strict=True))
                for name, score in (("f1", metrics.f1), ("exact_match", metrics.exact_match)):
                    values = [score(said, right, target) for said, right in zip(found["predicted"], told, strict=True)]
                    assert found[name] == pytest.approx(100 * sum(values) / len(own))
    few = {("xla-maml-few-shot", "fine-tuned"): 4}
    assert seen == {(name, kind): 4 for name in METHODS_HERE[:4] for kind in ("zero-shot", "fine-tuned")} | few
    assert max(test["f1"] for r in records for tests in r["results"].values() for test in tests.values()) > 0


def test_the_baseline_is_the_encoder_itself(finished, corpus, rows, world):
    features = encoders.qa(world.encoder).features(corpus)
    numbers = [n for n, row in enumerate(rows) if (row["language"], row["split"]) == ("de", "test")]
    (record, _) = (r for r in comparisons.load(finished).records if r["method"] == "baseline")
    assert record["results"]["de"]["zero-shot"]["predicted"] == features.predict(features.encoder.learner, numbers)
    assert record["results"]["de"]["fine-tuned"]["predicted"] != record["results"]["de"]["zero-shot"]["predicted"]


def test_rows_of_a_study_are_its_test_questions(finished, rows):
    for target, kept in comparisons.load(finished).rows.items():
        for name in ("pair", "passage_id", "answers"):
            assert kept[name] == [row[name] for row in asked_in_the_test(rows, target)]


def test_the_same_seed_gives_the_same_record(finished, world, tmp_path):
    some = [run for run in RUNS if run.seed == 1 and run.cell.method in ("x-maml", "xla-maml-few-shot")]
    study.run(some, tmp_path, world)
    theirs = {(comparisons.cell_of(r), r["seed"]): r["results"] for r in comparisons.load(finished).records}
    again = comparisons.load(tmp_path).records
    assert len(again) == 3
    for record in again:
        assert theirs[comparisons.cell_of(record), record["seed"]] == record["results"]


def doctored(finished, folder):
    """A copy of the study in which X-MAML, and Joint a little, know answers."""
    shutil.copytree(finished, folder)
    rows = comparisons.load(folder).rows
    for path in (folder / "cells").glob("*.json"):
        record = json.loads(path.read_text("utf-8"))
        every = {"x-maml": 2, "joint": 5}.get(record["method"])
        for target, tests in record["results"].items():
            for found in tests.values():
                for n, told in enumerate(rows[target]["answers"]):
                    if every and (n + record["seed"]) % every == 0:
                        found["predicted"][n] = told["text"][0]
        path.write_text(json.dumps(record), "utf-8")
    return comparisons.load(folder)


@pytest.mark.parametrize("metric", [None, "exact_match"])
def test_differences_are_paired_by_seed_and_question(finished, rows, tmp_path, metric):
    results = doctored(finished, tmp_path / "copy")
    found = comparisons.differences(results, metric)
    score = {"exact_match": metrics.exact_match}.get(metric, metrics.f1)

    def scores_of(method, target, kind):
        own = asked_in_the_test(rows, target)
        records = [r for r in results.records if r["method"] == method and target in r["results"]]
        said = [r["results"][target][kind]["predicted"] for r in sorted(records, key=lambda r: r["seed"])]
        values = [[score(a, row["answers"]["text"], target) for a, row in zip(s, own, strict=True)] for s in said]
        return np.array(values), [row["passage_id"] for row in own]

    for method, control in (("x-maml", "joint"), ("x-maml", "baseline"), ("xla-maml", "x-maml")):
        for kind in ("zero-shot", "fine-tuned"):
            titles = METHODS[method].title, METHODS[control].title
            part = found[(found["method"] == titles[0]) & (found["control"] == titles[1]) & (found["kind"] == kind)]
            assert list(part["target"]) == ["es", "de", "all"] and set(part["seeds"]) == {2}
            both = {
                target: (*scores_of(method, target, kind), *scores_of(control, target, kind)) for target in ("es", "de")
            }
            both["all"] = tuple(
                np.concatenate([each[i] for each in both.values()], axis=1 if i in (0, 2) else 0) for i in range(4)
            )
            for row in part.itertuples():
                ours, passages, theirs, _ = both[row.target]
                expected = intervals.paired_difference(ours, theirs, list(passages))
                assert (row.gain, row.low, row.high) == pytest.approx(expected)
                assert row.gain != 0 and row.rows == len(passages) > len(set(passages))
    assert (found[found["method"] == "XLA-MAML few-shot"]["kind"] == "fine-tuned").all()


def test_an_unknown_metric(finished):
    complaint(lambda: comparisons.differences(comparisons.load(finished), "accuracy"), "'accuracy'", "f1, exact_match")


def test_scores_are_means_over_the_records(finished):
    results = comparisons.load(finished)
    found = comparisons.scores(results)
    assert len(found) == 4 * 2 * 2 + 2
    for row in found.itertuples():
        tests = [
            record["results"][row.target][row.kind]
            for record in results.records
            if METHODS[record["method"]].title == row.method and row.target in record["results"]
        ]
        assert len(tests) == row.seeds == 2 and row.rows == tests[0]["n"]
        assert row.f1 == pytest.approx(np.mean([test["f1"] for test in tests]))
        assert row.sd == pytest.approx(np.std([test["f1"] for test in tests], ddof=1))
        assert row.exact_match == pytest.approx(np.mean([test["exact_match"] for test in tests]))
    assert found["paper"].isna().all()  # toy scale
    found = comparisons.scores(replace(results, shared=results.shared | {"scale": "small"}))
    paper = {(row.method, row.target, row.kind): row.paper for row in found.itertuples()}
    assert paper["X-MAML", "de", "zero-shot"] == 69.15 and paper["XLA-MAML", "es", "zero-shot"] == 70.41
    assert pd.isna(paper["Joint", "de", "zero-shot"]) and pd.isna(paper["X-MAML", "de", "fine-tuned"])


def test_a_finished_study_runs_nothing(finished, world, monkeypatch):
    monkeypatch.setattr(recipes, "run", lambda *_: pytest.fail("a finished run was done again"))
    seen = []
    study.run(RUNS, finished, world, progress=lambda done, total: seen.append(total) or done)
    assert seen == [0]


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].by_genre and METHODS[name].trains])
def test_methods_by_genre_are_refused(world, corpus, tmp_path, method):
    cell = Cell(method, ("hi",), True)
    numbers = recipes.settings_for(cell, "toy", "qa")
    title = METHODS[method].title
    complaint(lambda: recipes.check_cell(cell, ["de"], corpus, numbers), title, "tasks by language", "x-maml")
    if method in ("maml", "joint"):
        runs = [*RUNS, Run(cell, 0, ("de",))]
        complaint(lambda: study.run(runs, tmp_path / "a", world), title, "tasks by language")
        assert not (tmp_path / "a").exists()


def test_targets_without_test_questions_or_too_few_dev_questions(world, corpus, tmp_path):
    runs = [Run(Cell("baseline", (), False), 0, ("fr",))]
    complaint(lambda: study.run(runs, tmp_path / "a", world), "no test rows for fr")
    numbers = replace(recipes.SCALES["toy"]["questions"], tune_batch=500)
    complaint(lambda: recipes.check_cell(runs[0].cell, ["de"], corpus, numbers), "de has too few dev rows")


def test_a_folder_belongs_to_one_task(finished, world, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    shared = json.loads((finished / "study.json").read_text("utf-8"))
    assert shared["task"] == "qa"
    del shared["task"]  # as studies were written when there was NLI alone
    for told in (shared, shared | {"task": "nli"}):
        (tmp_path / "copy" / "study.json").write_text(json.dumps(told), "utf-8")
        complaint(lambda: study.run(RUNS, tmp_path / "copy", world), "the task nli, not qa", "another folder")


def test_a_world_knows_its_task():
    own = {"corpus": "mini-QA", "data": "mini-QA", "encoder": "tiny-encoder-qa"}
    assert World(task="qa").shared == {"scale": "toy", "task": "qa"} | own
    complaint(lambda: World(task="mt"), "'mt'", "nli, qa")
    complaint(lambda: World("small", task="qa"), "MLQA_V1.zip", "--data", "--encoder", "question answering")


def test_languages_with_test_questions(archive):
    assert World("toy", str(archive), "any", "qa").tested() == ["en", "es", "de", "vi", "zh", "hi"]


def test_figures_are_those_of_table_4():
    def figures(method, auxiliaries, kind, target, **options):
        cell = Cell(method, auxiliaries, False, **options)
        return tuple(papers.paper_figure(cell, kind, target, each, "MLQA", "full") for each in ("f1", "exact_match"))

    hindi = ("hi",)
    assert figures("xla-maml-few-shot", hindi, "fine-tuned", "vi", covering=True) == (64.29, 52.16)
    assert figures("baseline", (), "zero-shot", "de") == (66.69, 52.42)
    assert figures("baseline", (), "zero-shot", "hi") == (42.63, 29.85)
    assert figures("baseline", (), "fine-tuned", "ar") == (56.28, 44.48)
    assert figures("x-maml", hindi, "zero-shot", "de") == (69.15, 55.52)
    assert figures("x-maml", hindi, "zero-shot", "en") == (79.32, 65.97)
    assert figures("xla-maml", hindi, "zero-shot", "zh", covering=True) == (62.82, 49.93)
    assert figures("xla-maml", hindi, "zero-shot", "ar", covering=True) == (55.05, 42.81)  # 53.99 in Table 6
    assert figures("xla-maml", hindi, "zero-shot", "zh") == (62.69, None)  # Table 6, at random
    assert figures("xla-maml-pair", ("ar", "hi"), "zero-shot", "zh", covering=True) == (63.72, None)
    for none in (
        figures("x-maml", hindi, "zero-shot", "hi"),
        figures("x-maml", ("de",), "zero-shot", "es"),
        figures("x-maml", hindi, "zero-shot", "fr"),
        figures("x-maml", hindi, "fine-tuned", "de"),
        figures("xla-maml", hindi, "fine-tuned", "de"),
        figures("xla-maml-few-shot", hindi, "zero-shot", "de"),
        figures("joint", hindi, "zero-shot", "de"),
        figures("xla-maml-pair", ("hi", "de"), "zero-shot", "es"),
        figures("xla-maml", hindi, "zero-shot", "de", covering=True, parallel=True),
        figures("xla-maml", hindi, "zero-shot", "de", parallel=True),
        figures("xla-maml-few-shot", hindi, "fine-tuned", "de"),
    ):
        assert none == (None, None)


# The command line


def test_a_study_of_questions_on_the_command_line(finished, world, tmp_path, capsys):
    where = ["--task", "qa", "--data", world.data, "--encoder", world.encoder, "--seeds", "1"]
    folder = tmp_path / "new"
    named = ["study", "transfer", "baseline", "x-maml", "--aux", "hi", "--target", "de", "--out", str(folder)]
    assert main([*named, "--kinds", "zero-shot", *where]) == 0
    printed = capsys.readouterr().out
    assert "de, zero-shot: test F1 / exact match in %" in printed and "X-MAML" in printed
    ours = {(r["method"], r["seed"]): r["results"]["de"] for r in comparisons.load(folder).records}
    theirs = {
        (r["method"], r["seed"]): r["results"]["de"] for r in comparisons.load(finished).records if "de" in r["results"]
    }
    assert set(ours) == {("baseline", 0), ("x-maml", 0)}
    for key, tests in ours.items():
        assert tests == {"zero-shot": theirs[key]["zero-shot"]}
    assert (
        main(["study", "transfer", "maml", "--aux", "hi", "--target", "de", "--out", str(tmp_path / "b"), *where]) == 2
    )
    assert "tasks by language" in capsys.readouterr().err and not (tmp_path / "b").exists()


def test_the_tables_can_be_printed_and_written(finished, tmp_path, capsys):
    assert main(["results", str(finished), "--csv", str(tmp_path / "moved")]) == 0
    printed, results = capsys.readouterr().out, comparisons.load(finished)
    for name, expected, values in (
        ("moved", comparisons.differences(results), ["gain", "low", "high"]),
        ("moved_scores", comparisons.scores(results), ["f1", "exact_match", "sd"]),
    ):
        found = pd.read_csv(tmp_path / f"{name}.csv")
        assert len(found) == len(expected) > 0
        assert found[values].to_numpy() == pytest.approx(expected[values].to_numpy(), abs=1e-3)
    row = comparisons.scores(results).iloc[0]
    assert f"{row['f1']:5.2f} / {row['exact_match']:5.2f}" in printed
    assert "es, fine-tuned" in printed and "all targets together, zero-shot" in printed
