"""Mini-NLI and mini-QA: parallel and balanced rows in all languages, nothing given away, every answer in its place."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from small_world import complaint, write_xnli

from minimeta.text import claims, corpora, mini, phrases
from minimeta.text.claims import Claim, label

SPLITS = ("train", "dev", "test")
EVERY = pytest.mark.parametrize("code", phrases.LANGUAGES)
WITHOUT_SPACES = ("th", "zh")


@pytest.fixture(scope="module")
def corpus():
    """Mini-NLI, all of it, as {language: table}."""
    found = corpora.mini_nli(splits=SPLITS).to_pandas()
    return {code: part.reset_index(drop=True) for code, part in found.groupby("language", sort=False)}


@pytest.fixture(scope="module")
def questions():
    """Mini-QA, all of it, as {language: rows}."""
    found = {}
    for row in corpora.mini_qa(splits=SPLITS).to_list():
        found.setdefault(row["language"], []).append(row)
    return found


@pytest.fixture(scope="module")
def passages():
    """The claims of mini-QA's passages in its order: (genre, split, claims, position of the one asked about)."""
    return [
        (genre, split, *passage)
        for split in SPLITS
        for genre in claims.GENRES
        for passage in claims.passages(genre, split, mini.PASSAGES[split])
    ]


def lower(text):
    return text.replace("İ", "i").lower()


# The rows of mini-NLI


def test_columns_are_those_of_xnli(tmp_path):
    xnli = corpora.CORPORA["XNLI"].rows(write_xnli(tmp_path, dev=1, test=1))
    assert corpora.mini_nli(["de"], ["dev"]).features == xnli.features


def test_all_languages_are_there_in_order_and_have_as_many_rows(corpus):
    assert list(corpus) == list(phrases.LANGUAGES)
    for table in corpus.values():
        counts = Counter(zip(table["split"], table["genre"], strict=True))
        rows = {"train": 720, "dev": 144, "test": 288}
        assert counts == {(split, genre): rows[split] for split in SPLITS for genre in claims.GENRES}


@EVERY
def test_rows_are_parallel_in_all_languages(corpus, code):
    columns = ["pair", "premise_id", "genre", "split", "label"]
    assert corpus[code][columns].equals(corpus["en"][columns])
    assert corpus[code]["pair"].is_unique
    ids = corpus[code][["pair", "premise_id"]]
    assert all((ids[name].str.split("/").str[0] == corpus[code]["split"]).all() for name in ids)


@EVERY
def test_labels_are_balanced(corpus, code):
    counts = Counter(zip(*(corpus[code][name] for name in ("genre", "split", "label")), strict=True))
    for genre in claims.GENRES:
        for split in SPLITS:
            assert len({counts[genre, split, name] for name in range(3)}) == 1


@EVERY
def test_premises_are_their_texts_and_no_pair_comes_twice(corpus, code):
    table = corpus[code]
    named = table[["premise_id", "premise"]].drop_duplicates()
    assert named["premise_id"].is_unique and named["premise"].is_unique
    assert not table.duplicated(["premise", "hypothesis"]).any()
    for labels in table.groupby("premise_id")["label"].agg(list):
        assert len({labels.count(name) for name in range(3)}) == 1


@EVERY
def test_no_premise_is_in_two_splits(corpus, code):
    texts = [set(part["premise"]) for _, part in corpus[code].groupby("split")]
    assert len(texts) == 3 and not any(a & b for a, b in combinations(texts, 2))


def understood(sentence, genre):
    """The claim that an English sentence makes, read with no help from the code that wrote it."""
    table = phrases.table("en").genres
    words = sentence[0].lower() + sentence.removesuffix(".")[1:] + " "
    said = {"genre": genre}
    said["only"] = words.startswith("only ")
    for slot in ("person", "place", "time"):
        number = [i for i, (phrase, _) in enumerate(table[genre, slot]) if f"{phrase} " in words]
        said[slot] = number[0] if number else None
    for i, (plain, negated) in enumerate(table[genre, "verb"]):
        if f" {plain} " in words or f" {negated} " in words:
            said |= {"verb": i, "negated": f" {negated} " in words or words.startswith("nobody ")}
    return Claim(**said)


@pytest.fixture(scope="module")
def made(corpus):
    """The claims of the English rows: (premise, hypothesis)."""
    columns = (corpus["en"][name] for name in ("genre", "premise", "hypothesis"))
    return [(understood(said, genre), understood(heard, genre)) for genre, said, heard in zip(*columns, strict=True)]


def test_english_sentences_mean_what_their_labels_say(corpus, made):
    for pair, number in zip(made, corpus["en"]["label"], strict=True):
        assert label(*pair) == corpora.LABELS[number], pair


@EVERY
def test_translations_make_the_claims_of_the_english_sentences(corpus, made, code):
    table, chosen = phrases.table(code), range(0, len(made), 7)
    for position, name in enumerate(("premise", "hypothesis")):
        texts = corpus[code][name].tolist()
        assert [texts[i] for i in chosen] == [table.statement(made[i][position]).text for i in chosen]


# The hypothesis alone


def score(code, texts, labels, groups):
    """How often a classifier of bags of words, or of characters, is right about texts that it has not seen."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score

    if code in WITHOUT_SPACES:
        vectorizer = CountVectorizer(analyzer="char", ngram_range=(1, 4), min_df=5, binary=True)
    else:
        vectorizer = CountVectorizer(token_pattern=r"[^\s.।۔]+", ngram_range=(1, 2), min_df=2, binary=True)
    model = LogisticRegression(C=0.3, max_iter=30)
    return cross_val_score(model, vectorizer.fit_transform(texts), labels, groups=groups, cv=GroupKFold(2)).mean()


@EVERY
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_the_hypothesis_alone_does_not_tell_the_label(corpus, code):
    table = corpus[code][corpus[code]["split"] != "train"]
    assert score(code, table["hypothesis"], table["label"], table["premise_id"]) <= 0.37


@pytest.mark.parametrize("code", ["en", "ar", "hi", "zh"])
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_what_gives_the_label_away_would_be_found(corpus, code):
    table = corpus[code][corpus[code]["split"] != "train"]
    places = {genre: [text for text, _ in phrases.table(code).genres[genre, "place"]] for genre in claims.GENRES}
    named = [
        any(place in text for place in places[genre])
        for genre, text in zip(table["genre"], table["hypothesis"], strict=True)
    ]
    planted = np.where(np.array(named) & (np.arange(len(table)) // 3 % 2 == 0), 2, table["label"])
    assert score(code, table["hypothesis"], planted, table["premise_id"]) > 0.48


# Reading mini-NLI


def test_languages_and_splits_can_be_chosen(corpus):
    few = corpora.mini_nli(("th", "de"), ("dev",)).to_pandas()
    assert few["language"].drop_duplicates().tolist() == ["th", "de"]
    for code, part in few.groupby("language"):
        table = corpus[code]
        assert part.reset_index(drop=True).equals(table[table["split"] == "dev"].reset_index(drop=True))
    assert corpora.mini_nli("de", ("dev",)).to_list() == few[few["language"] == "de"].to_dict("records")


def test_without_data_the_corpus_for_episodes_is_mini_nli_with_rows_held_out(corpus):
    held = corpora.nli(languages="th").to_pandas()
    assert held.equals(corpora.hold_out(corpora.mini_nli("th")).to_pandas())
    premises = held.groupby("premise_id")["split"].agg(set)
    counts = Counter(split for splits in premises for split in splits)
    expected = corpus["th"].groupby("split")["premise_id"].nunique()
    assert set(map(len, premises)) == {1}
    assert counts["test"] == expected["test"] and counts["dev"] + counts["held-out"] == expected["dev"]
    assert counts["held-out"] == round(0.2 * expected["dev"]) > 0


def test_rows_are_held_out_in_all_languages_alike(corpus):
    held = corpora.nli(splits=("dev",)).to_pandas()
    assert held["language"].drop_duplicates().tolist() == list(phrases.LANGUAGES)
    chosen = held[held["split"] == "held-out"].groupby("language")["premise_id"].agg(frozenset)
    assert len(chosen) == len(phrases.LANGUAGES) and len(set(chosen)) == 1
    for code, part in held.groupby("language"):
        texts = [set(found["premise"]) for _, found in part.groupby("split")]
        assert len(texts) == 2 and not texts[0] & texts[1], code


def test_data_is_found_from_any_directory(tmp_path, monkeypatch):
    here = corpora.mini_nli(["sw"], ["dev"]).to_list()
    phrases.table.cache_clear()
    monkeypatch.chdir(tmp_path)
    assert corpora.mini_nli(["sw"], ["dev"]).to_list() == here


@pytest.mark.parametrize("read", [corpora.mini_nli, corpora.mini_qa, corpora.nli])
def test_languages_and_splits_that_do_not_exist(read):
    for wrong in ("validation", "held-out", "Dev"):
        complaint(lambda wrong=wrong: read(languages=["de"], splits=["dev", wrong]), repr(wrong), "train, dev, test")
    complaint(lambda: read(languages=["de", "xx"]), "'xx'", "BCP 47")


# Mini-QA


def test_questions_have_the_columns_of_squad_and_are_as_many_as_said(questions):
    assert list(questions) == list(phrases.LANGUAGES)
    columns = ["language", "genre", "split", "pair", "passage_id", "context", "question", "answers"]
    for rows in questions.values():
        assert {tuple(row) for row in rows} == {tuple(columns)}
        counts = Counter((row["split"], row["genre"]) for row in rows)
        asked = {"train": 120, "dev": 40, "test": 80}
        assert counts == {(split, genre): asked[split] for split in SPLITS for genre in claims.GENRES}


@EVERY
def test_questions_are_parallel_and_their_ids_unique(questions, code):
    found, english = ([(row["pair"], row["genre"], row["split"]) for row in questions[name]] for name in (code, "en"))
    assert found == english
    assert len({name for name, *_ in found}) == len(found)


@EVERY
def test_answers_are_phrases_in_their_place(questions, passages, code):
    table = phrases.table(code)
    rows = iter(questions[code])
    for genre, split, said, position in passages:
        asked, sentences = said[position], [table.statement(claim).text for claim in said]
        between = "" if code == "zh" else " "
        first = len(between.join([*sentences[:position], ""]))
        for slot in ("person", "place"):
            row = next(rows)
            assert (row["genre"], row["split"], row["context"]) == (genre, split, between.join(sentences))
            ((answer,), (start,)) = row["answers"]["text"], row["answers"]["answer_start"]
            phrase = table.genres[genre, slot][getattr(asked, slot)][0]
            assert row["context"][start : start + len(answer)] == answer
            assert answer[1:] == phrase[1:] and lower(answer[0]) == lower(phrase[0])
            assert first <= start and start + len(answer) <= first + len(sentences[position])
            assert row["question"] == table.question("who" if slot == "person" else "where", asked)
    assert next(rows, None) is None


@EVERY
def test_questions_say_all_but_their_answer(questions, passages, code):
    table = phrases.table(code)
    asked = [(said[position], slot) for *_, said, position in passages for slot in ("person", "place")]
    for row, (claim, answer) in zip(questions[code], asked, strict=True):
        question = f" {lower(row['question']).strip('¿?？؟; ')} "
        wanted = table.genres[claim.genre, "verb"][claim.verb][0].split("|")
        for slot in {"person", "place", "time"} - {answer}:
            if getattr(claim, slot) is not None:
                wanted.append(table.genres[claim.genre, slot][getattr(claim, slot)][0])
        assert all(lower(phrase.strip()) in question for phrase in wanted), (question, wanted)
        around = "" if code in WITHOUT_SPACES else " "
        assert f"{around}{lower(row['answers']['text'][0])}{around}" not in question


def test_no_passage_is_in_two_splits(questions):
    for rows in questions.values():
        texts = [{row["context"] for row in rows if row["split"] == split} for split in SPLITS]
        assert all(texts) and not any(a & b for a, b in combinations(texts, 2))


def test_nothing_named():
    for corpus in (corpora.mini_nli, corpora.mini_qa):
        complaint(lambda corpus=corpus: corpus([]), "No language", "en")
        complaint(lambda corpus=corpus: corpus(["de"], []), "No split", "dev")
    assert set(corpora.mini_nli(["de"], "dev")["split"]) == {"dev"}


def test_a_corpus_is_made_of_whole_columns(monkeypatch):
    """Going through a Dataset row by row took longer than all the rest."""

    def row_by_row(self):
        raise AssertionError("a Dataset was read row by row")

    monkeypatch.setattr("datasets.Dataset.__iter__", row_by_row)
    assert len(corpora.nli(languages=["de"])) == 10 * (144 + 288)
    assert len(corpora.qa(languages=["de"])) == 10 * 2 * (20 + 40)
