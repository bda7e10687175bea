"""Phrase tables: complete and well written in every language, and one clear sentence for a bad one."""

import csv
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from itertools import chain, cycle, pairwise, product

import pytest
from small_world import complaint

from minimeta.files import data_directory
from minimeta.text import phrases
from minimeta.text.claims import GENRES, SLOTS, Claim
from minimeta.text.languages import XNLI, language

TABLES = data_directory() / "mini"
EVERY = pytest.mark.parametrize("code", phrases.LANGUAGES)
CASED = ("Latin", "Greek", "Cyrillic")
STATEMENT = dict.fromkeys(phrases.LANGUAGES, ".") | {"zh": "。", "hi": "।", "ur": "۔", "th": ""}
QUESTION = dict.fromkeys(phrases.LANGUAGES, "?") | {"zh": "？", "ar": "؟", "ur": "؟", "el": ";", "fr": " ?"}

LATIN = "abcdefghijklmnopqrstuvwxyz"
ALPHABETS = {
    "en": LATIN,
    "fr": LATIN + "àâæçéèêëîïôœùûüÿ",
    "es": LATIN + "áéíñóúü",
    "de": LATIN + "äöüß",
    "tr": "abcçdefgğhıijklmnoöprsştuüvyzâîû",
    "sw": "abcdefghijklmnoprstuvwyz",
    "vi": "aăâbcdđeêghiklmnoôơpqrstuưvxy",
    "el": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
    "bg": "абвгдежзийклмнопрстуфхцчшщъьюя",
    "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "ar": "ابتثجحخدذرزسشصضطظعغفقكلمنهويءأإآؤئةى" + "ًٌٍَُِّْ",
    "ur": "ابپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلمنںوہھءیےآأؤئۂ" + "ًَُِّ",
}
NAMES = {"Thai": "THAI CHARACTER ", "Han": "CJK UNIFIED IDEOGRAPH-", "Devanagari": "DEVANAGARI "}
TONES = "\u0300\u0301\u0303\u0309\u0323"


def rows(code):
    with open(TABLES / f"{code}.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def written(code):
    """Everything that a table says in its language, without the names of the templates' slots."""
    said = [text for row in rows(code) if row["slot"] != "after nobody" for text in (row["phrase"], row["negated"])]
    return [re.sub(r"\{\w+\}", "", text) for text in said if text]


def claims_of(genre):
    """Claims of a genre with each verb of each subject and sign, and with places and times in turn."""
    places, times = cycle([None, 0, 1, 2]), cycle([None, 0, None, 1, 0, 2, 1])
    signs = [(False, False), (True, False), (False, True)]
    for person, verb, (negated, only) in product([None, *range(SLOTS["person"])], range(SLOTS["verb"]), signs):
        if person is not None or not only:
            for _ in range(3):
                yield Claim(genre, verb, person, next(places), next(times), negated, only)


@lru_cache
def sentences(code):
    """Statements and questions: (kind, claim, text)."""
    table, found = phrases.table(code), []
    for claim in chain(*map(claims_of, GENRES)):
        found.append(("statement", claim, table.statement(claim).text))
        if claim.person is not None and claim.place is not None and not (claim.negated or claim.only):
            found += [(word, claim, table.question(word, claim)) for word in ("who", "where")]
    return found


# The tables


def test_there_is_a_table_for_each_language_of_xnli():
    assert phrases.LANGUAGES[:15] == XNLI


def test_a_new_table_is_a_new_language(tmp_path):
    """As data/mini/YOUR_LANGUAGE.md has it: rows that were not reached yet stay English."""
    shutil.copytree(TABLES, tmp_path / "mini")
    shutil.copy(TABLES / "en.csv", tmp_path / "mini" / "it.csv")
    script = (
        "import pathlib, sys; from minimeta import files; files.data_directory = lambda: pathlib.Path(sys.argv[1])\n"
        "from minimeta.text import corpora\n"
        "for corpus in (corpora.mini_nli, corpora.mini_qa):\n"
        "    rows = corpus(['en', 'it'], ['dev']).to_pandas()\n"
        "    first = rows.columns[-2]\n"
        "    english, italian = (rows[rows['language'] == code][first].astype(str).tolist() for code in ('en', 'it'))\n"
        "    assert english == italian and len(italian) > 100, first\n"
        "print(*corpora.CORPORA['mini-NLI'].languages)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.split() == [*XNLI, "it"], done.stderr


@EVERY
def test_table_is_read_and_has_all_phrases(code):
    table = phrases.table(code)
    assert table.language == code
    for genre, slot in product(GENRES, SLOTS):
        assert len(table.genres[genre, slot]) == SLOTS[slot]
        for phrase, negated in table.genres[genre, slot]:
            assert phrase and bool(negated) == (slot == "verb")


@EVERY
def test_table_has_the_rows_of_the_english_one(code):
    columns = ["genre", "slot", "english"]
    assert [[row[name] for name in columns] for row in rows(code)] == [
        [row[name] for name in columns] for row in rows("en")
    ]


@EVERY
def test_phrases_are_in_the_table_as_they_are_in_the_file(code):
    table, found = phrases.table(code), rows(code)
    for genre, slot in product(GENRES, SLOTS):
        expected = [(row["phrase"], row["negated"]) for row in found if (row["genre"], row["slot"]) == (genre, slot)]
        assert table.genres[genre, slot] == expected
    assert table.common == {row["slot"]: row["phrase"] for row in found if row["genre"] == "all"}


def test_the_english_table_says_what_its_english_column_says():
    assert all(row["phrase"] == row["english"] for row in rows("en"))


@EVERY
@pytest.mark.parametrize("slot", SLOTS)
def test_no_phrase_comes_twice_in_a_slot(code, slot):
    said = [row[name] for row in rows(code) if row["slot"] == slot for name in ("phrase", "negated") if row[name]]
    alike = Counter(re.sub(r"[\s|]+", " ", text).casefold() for text in said)
    assert [text for text, times in alike.items() if times > 1] == []


@EVERY
def test_someone_and_nobody_differ_from_each_other_and_from_all_persons(code):
    table = phrases.table(code)
    persons = {phrase for genre in GENRES for phrase, _ in table.genres[genre, "person"]}
    assert table.common["someone"] != table.common["nobody"]
    assert not persons & {table.common["someone"], table.common["nobody"]}


@EVERY
def test_text_is_in_normal_form_and_neatly_spaced(code):
    for row in rows(code):
        for text in row.values():
            assert unicodedata.is_normalized("NFC", text), text
            assert text == " ".join(text.split()), text
            assert not any(unicodedata.category(letter) in ("Cf", "Cc", "Co", "Cn") for letter in text), text


@EVERY
def test_letters_are_those_of_the_language(code):
    alphabet, name = ALPHABETS.get(code), NAMES.get(language(code).script)
    for text in written(code):
        if code == "vi":
            parts = [letter for letter in unicodedata.normalize("NFD", text) if letter not in TONES]
            text = unicodedata.normalize("NFC", "".join(parts))
        for letter in text:
            if unicodedata.category(letter)[0] in "PZ" or letter == "|":
                continue
            fits = letter.lower() in alphabet if alphabet else unicodedata.name(letter).startswith(name)
            assert fits, (letter, unicodedata.name(letter), text)


def test_chinese_is_in_simplified_characters():
    for text in written("zh"):
        text.encode("gb2312")


def test_french_verbs_begin_with_a_consonant():
    assert phrases.table("fr").common["nobody"].endswith(" ne")
    for row in rows("fr"):
        if row["slot"] == "verb":
            first = unicodedata.normalize("NFD", row["phrase"])[0]
            assert first not in "aeiouyhœ", row["phrase"]
            assert row["negated"].startswith("ne "), row["negated"]


# Sentences


@EVERY
def test_sentences_end_in_the_mark_of_their_language(code):
    for kind, _, text in sentences(code):
        mark = STATEMENT[code] if kind == "statement" else QUESTION[code]
        assert text.endswith(mark)
        rest = text.removesuffix(mark)
        assert unicodedata.category(rest[-1])[0] in "LM", text
        assert not set(rest) & set(".?!。？।۔؟;¡!"), text


@EVERY
def test_sentences_are_neatly_spaced(code):
    for _, _, text in sentences(code):
        assert text == " ".join(text.split()), text
        assert not set(text) & set("|{}"), text
        assert language(code).script not in ("Han", "Thai") or " " not in text, text


@EVERY
def test_sentences_begin_with_a_capital_where_there_is_one(code):
    for _, _, text in sentences(code):
        first = text.removeprefix("¿")[0]
        assert first.isalpha() and (first.isupper() or language(code).script not in CASED), text
        assert unicodedata.is_normalized("NFC", text), text


@pytest.mark.parametrize(("code", "expected"), [("tr", ["İşçi", "Isı", "Usta"]), ("en", ["Işçi", "Isı", "Usta"])])
def test_a_turkish_i_keeps_its_dot(code, expected):
    table = replace(phrases.table(code), genres=dict(phrases.table(code).genres))
    table.genres["oup", "person"] = [("işçi", ""), ("ısı", ""), ("usta", "")]
    assert [table.statement(Claim("oup", 0, person)).text.split()[0] for person in range(3)] == expected


@EVERY
def test_each_claim_has_a_sentence_of_its_own(code):
    said = {}
    for kind, claim, text in sentences(code):
        if kind == "statement":
            assert said.setdefault(text, claim) == claim, text


@EVERY
def test_a_sentence_holds_the_phrases_of_its_claim_and_says_where(code):
    table = phrases.table(code)
    for genre in GENRES:
        for claim in claims_of(genre):
            found = table.statement(claim)
            for slot in ("place", "time"):
                number = getattr(claim, slot)
                assert (slot in found.spans) == (number is not None)
                if number is not None:
                    start, end = found.spans[slot]
                    assert found.text[start:end] == table.genres[genre, slot][number][0]
            start, end = found.spans["subject"]
            subject = found.text[start:end]
            if claim.person is not None:
                person = table.genres[genre, "person"][claim.person][0].casefold()
                assert person in subject.casefold() and (claim.only or len(person) == len(subject))
            ends = sorted(found.spans.values())
            assert all(a < b for a, b in ends) and all(a[1] <= b[0] for a, b in pairwise(ends))


@EVERY
def test_verbs_are_negated_in_negated_claims_and_after_nobody_where_the_language_does_so(code):
    table = phrases.table(code)
    nobody = table.common["after nobody"] == "negated"
    for genre, number in product(GENRES, range(SLOTS["verb"])):
        for claim, negated in (
            (Claim(genre, number, 0), False),
            (Claim(genre, number, 0, only=True), False),
            (Claim(genre, number, 0, negated=True), True),
            (Claim(genre, number), False),
            (Claim(genre, number, negated=True), nobody),
        ):
            found = table.statement(claim)
            said = [found.text[slice(*found.spans[part])] for part in ("verb", "rest") if part in found.spans]
            parts = table.genres[genre, "verb"][number][negated].split("|")
            assert said == [part.strip() for part in parts if part.strip()]


def test_sentences_of_a_passage_are_set_apart_as_the_language_does_it():
    claims = (Claim("oup", 0, 0), Claim("oup", 1, 1))
    for code, between in (("zh", ""), ("th", " "), ("en", " ")):
        table = phrases.table(code)
        text, parts = table.passage(claims)
        assert text == between.join(table.statement(claim).text for claim in claims)
        assert text.endswith(parts[1].text)


# Tables that cannot be used


def changed(tmp_path, change, code="de", encoding="utf-8"):
    """A table whose text was changed, or whose bytes were."""
    text = change((TABLES / f"{code}.csv").read_text(encoding="utf-8"))
    path = tmp_path / f"{code}.csv"
    path.write_bytes(text.encode(encoding))
    return path


def line(text):
    """The number of the line that holds `text` in the German table."""
    lines = (TABLES / "de.csv").read_text(encoding="utf-8").splitlines()
    return next(number for number, found in enumerate(lines, start=1) if text in found)


def refused(path, *parts, code="de"):
    message = complaint(lambda: phrases.read_table(path, code), path.name, *parts)
    assert message.endswith(".")
    return message


def test_missing_table(tmp_path):
    refused(tmp_path / "de.csv", str(tmp_path), "no ")


@pytest.mark.parametrize(
    ("cells", "part"),
    [
        ("schläft,schläft", "differs"),
        ("schläft |,schläft | nicht", "one bar"),
        ("schläft,schläft | gar | nicht", "one bar"),
        ("schläft {time},schläft | nicht", "braces"),
    ],
)
def test_verbs_that_cannot_be_put_together(tmp_path, cells, part):
    path = changed(tmp_path, lambda text: text.replace("schläft,schläft | nicht", cells))
    refused(path, f"line {line('schläft,')} ", part)


@pytest.mark.parametrize("text", ["all,someone", "fiction,place,in the castle", "telephone,verb,pays the bill"])
def test_missing_row(tmp_path, text):
    def change(whole):
        return "".join(found for found in whole.splitlines(keepends=True) if not found.startswith(text))

    refused(changed(tmp_path, change), f"line {line(text)} ", "expected")


def test_missing_last_row_or_one_too_many(tmp_path):
    total = len(rows("en"))
    refused(changed(tmp_path, lambda text: text.strip().rpartition("\n")[0] + "\n"), f"{total - 1} rows", str(total))
    refused(changed(tmp_path, lambda text: text + "verbatim,time,now,jetzt,\n"), f"{total + 1} rows", str(total))


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("fiction,person,the thief,", "fiction,person,the burglar,", "english"),
        ("fiction,person,the thief,", "travel,person,the thief,", "genre"),
        ("fiction,person,the thief,", "fiction,place,the thief,", "slot"),
    ],
)
def test_changed_cell_that_must_be_as_in_english(tmp_path, old, new, column):
    message = refused(changed(tmp_path, lambda text: text.replace(old, new)), f"line {line(old)} ", column)
    assert "en.csv" in message


def test_two_rows_that_changed_places(tmp_path):
    lines = (TABLES / "de.csv").read_text(encoding="utf-8").splitlines()
    lines[20:22] = lines[21], lines[20]
    refused(changed(tmp_path, lambda _: "\n".join(lines)), "line 21 ")


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"(fiction,person,the thief,)[^,]*,", r"\1,"),
        (r"(fiction,person,the thief,)[^,]*,", r"\1 ,"),
        (r"(fiction,verb,laughs,[^,]*),[^\n]*", r"\1,"),
        (r"(fiction,place,in the castle,[^,]*),", r"\1,im Schloss nicht"),
    ],
)
def test_phrase_or_negation_that_is_missing_or_too_many(tmp_path, pattern, new):
    path = changed(tmp_path, lambda text: re.sub(pattern, new, text))
    refused(path, f"line {line(pattern.split(')')[0].lstrip('(').split(',[')[0])} ", "phrase")


@pytest.mark.parametrize("slot", ["only", "statement", "who", "where"])
@pytest.mark.parametrize("change", ["missing", "unknown", "twice"])
def test_template_without_its_slots(tmp_path, slot, change):
    found = next(row["phrase"] for row in rows("de") if row["slot"] == slot)
    name = "person" if slot == "only" else "verb"
    new = {"missing": "", "unknown": "{werb}", "twice": f"{{{name}}} {{{name}}}"}[change]

    def edit(text):
        row = next(row for row in text.splitlines() if row.startswith(f"all,{slot},"))
        start, _, end = row.rpartition(found)
        return text.replace(row, start + found.replace(f"{{{name}}}", new) + end)

    refused(changed(tmp_path, edit), f"line {line(f'all,{slot},')} ", name, "braces")


@pytest.mark.parametrize("word", ["Negated", "yes", "nicht"])
def test_after_nobody_is_plain_or_negated(tmp_path, word):
    path = changed(tmp_path, lambda text: text.replace("nobody,plain,plain", f"nobody,plain,{word}"))
    refused(path, "after nobody", repr(word), "plain or negated")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_table_that_is_not_in_utf8(tmp_path, encoding):
    refused(changed(tmp_path, lambda text: text, encoding=encoding), "UTF-8")


def test_table_with_semicolons(tmp_path):
    refused(changed(tmp_path, lambda text: text.replace(",", ";")), "commas", "phrase")


def test_row_that_breaks_off(tmp_path):
    refused(changed(tmp_path, lambda text: text.replace("the castle,im Schloss,", "the castle")), "columns", "commas")


def test_phrase_with_a_comma_that_is_not_in_quotes(tmp_path):
    def change(text, phrase):
        return text.replace("im Schloss,", f"{phrase},")

    refused(changed(tmp_path, lambda text: change(text, "im Schloss, dort")), "columns", "commas")
    read = phrases.read_table(changed(tmp_path, lambda text: change(text, '"im Schloss, dort"')), "de")
    assert read.genres["fiction", "place"][0] == ("im Schloss, dort", "")


@pytest.mark.parametrize("text", ["", "genre,slot,english,phrase,negated\n", "genre,slot\nall,someone\n"])
def test_table_without_rows_or_columns(tmp_path, text):
    refused(changed(tmp_path, lambda _: text), "columns", "negated")


@EVERY
def test_table_saved_by_a_spreadsheet_program_reads_the_same(code, tmp_path):
    path = changed(tmp_path, lambda text: text.replace("\n", "\r\n"), code, "utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbfgenre") and b"\r\n" in path.read_bytes()
    assert phrases.read_table(path, code) == phrases.table(code)


@pytest.mark.parametrize("code", ["vi", "el", "hi", "ar"])
def test_a_table_typed_with_marks_apart_reads_the_same(code, tmp_path):
    path = changed(tmp_path, lambda text: unicodedata.normalize("NFD", text), code)
    assert phrases.read_table(path, code) == phrases.table(code)


@pytest.mark.parametrize("code", ["xx", "../en", ""])
def test_table_of_a_language_that_does_not_exist(code):
    complaint(lambda: phrases.table(code), repr(code), "BCP 47")
