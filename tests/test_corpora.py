"""Corpora: official layouts in, the same rows out however they are stored, and one clear line for bad input."""

import io
import json
import os
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import small_world
import torch

from minimeta.errors import InputError
from minimeta.text import corpora, encoders, finetune, readers
from minimeta.text.corpora import CORPORA, STAGE_TWO
from minimeta.text.episodes import rows_of, sampler
from minimeta.text.metrics import metric_of

REAL = Path(__file__).parents[2] / "shared" / "real"
xnli = CORPORA["XNLI"].rows


def multinli(path, splits=("train",)):
    return STAGE_TWO["MultiNLI"].rows(path, splits=splits)


def squad(path, splits=("train",)):
    return STAGE_TWO["SQuAD"].rows(path, splits=splits)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return small_world.write_xnli(tmp_path_factory.mktemp("xnli"))


@pytest.fixture(scope="module")
def corpus(archive):
    return xnli(archive)


@pytest.fixture(scope="module")
def held(archive):
    return corpora.nli(archive)


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return small_world.write_multinli(tmp_path_factory.mktemp("multinli"))


def complaint(path, *parts, read=xnli, **options):
    """What reading says about input that it cannot use: one line, with all `parts` in it."""
    message = small_world.complaint(lambda: read(path, **options), *parts, str(path))
    assert message.endswith(".")
    return message


# What is read


def test_rows_are_those_of_the_archive(corpus):
    given = [
        (split, row)
        for split, languages, premises in (
            ("dev", small_world.LANGUAGES, 20),
            ("test", [code for code in small_world.LANGUAGES if code != "el"], 4),
        )
        for row in small_world.xnli_rows(split, languages, small_world.GENRES, premises)
    ]
    expected = [
        {
            "language": row["language"],
            "genre": row["genre"],
            "split": split,
            "premise": row["sentence1"],
            "hypothesis": row["sentence2"],
            "label": ["entailment", "neutral", "contradiction"].index(row["gold_label"]),
            "pair": f"{split}/{row['pairID']}",
            "premise_id": f"{split}/{row['promptID']}",
        }
        for split, row in given
    ]
    assert corpus.to_list() == expected
    assert any(row["premise"].startswith('"') for row in expected)  # or the quotes were not tried


def test_labels_are_in_the_documented_order():
    assert corpora.LABELS == ("entailment", "neutral", "contradiction")


def test_archive_and_directories_give_the_same_rows(archive, corpus, tmp_path):
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "unpacked")
    for path in (archive.parent, str(archive), tmp_path / "unpacked", tmp_path / "unpacked" / "XNLI-1.0"):
        assert xnli(path).to_list() == corpus.to_list(), path


def test_languages_and_splits_can_be_chosen(archive, corpus):
    chosen = xnli(archive, languages=("ur", "de"), splits=("dev",))
    assert chosen.to_list() == [row for row in corpus if row["language"] in ("de", "ur") and row["split"] == "dev"]
    assert len(chosen) == 2 * 2 * 20 * 3


def test_one_split_or_language_may_be_named_by_itself(archive, english):
    squad_archive, mlqa = (write(english.parent) for write in (small_world.write_squad, small_world.write_mlqa))
    for read, *path in (
        (xnli, archive),
        (corpora.nli, archive),
        (CORPORA["MLQA"].rows, mlqa),
        (corpora.qa, mlqa),
        (corpora.mini_nli,),
        (corpora.mini_qa,),
        (corpora.nli,),
        (corpora.qa,),
    ):
        by_itself = read(*path, languages="de", splits="dev").to_list()
        assert by_itself and by_itself == read(*path, languages=("de",), splits=("dev",)).to_list(), read
        assert by_itself == read(*path, languages=("de", "de"), splits=("dev", "dev")).to_list(), read  # once each
        small_world.complaint(lambda read=read, path=path: read(*path, splits=()), "No split was named")
        small_world.complaint(lambda read=read, path=path: read(*path, languages=()), "No language was named")
    for read, path in ((multinli, english), (squad, squad_archive)):
        assert read(path, splits="train").to_list() == read(path, splits=("train",)).to_list()
        small_world.complaint(lambda read=read, path=path: read(path, splits=[]), "No split was named")


def test_premises_and_hypotheses_are_in_nfc(archive, english, corpus, tmp_path):
    """A vowel with two marks, as Vietnamese has it, is one character, and not a letter that loses a mark later."""

    def change(text):
        return text.replace(small_world.word("vi", 0), unicodedata.normalize("NFD", "Việt"))

    path = small_world.changed(archive, tmp_path, "xnli.dev.tsv", change)
    with zipfile.ZipFile(path) as opened:
        assert "Việt" not in opened.read("XNLI-1.0/xnli.dev.tsv").decode()
    rows = xnli(path)
    for name in ("premise", "hypothesis"):
        assert [text.replace("Việt", small_world.word("vi", 0)) for text in rows[name]] == corpus[name][:]
        assert any("Việt" in text for text in rows[name])
    path = small_world.changed(
        english,
        tmp_path,
        "multinli_1.0_train.jsonl",
        lambda text: text.replace('"sentence2": "', '"sentence2": "e\u0301'),
    )
    assert all(text.startswith("é") for text in multinli(path)["hypothesis"])


def test_translations_share_their_pair_and_premises_their_three_rows(corpus):
    languages, premises = {}, {}
    for row in corpus:
        languages.setdefault(row["pair"], []).append(row["language"])
        premises.setdefault((row["language"], row["premise_id"]), []).append((row["premise"], row["label"]))
    assert all(len(found) == len(set(found)) for found in languages.values())
    assert {len(found) for found in languages.values()} == {12, 13}
    for rows in premises.values():
        assert len({premise for premise, _ in rows}) == 1
        assert sorted(label for _, label in rows) == [0, 1, 2]


def test_multinli_drops_pairs_without_a_label_and_keeps_genres(english):
    corpus = multinli(english, splits=("train", "dev_matched", "dev_mismatched"))
    assert Counter(corpus["split"]) == {"train": 27, "dev_matched": 27, "dev_mismatched": 27}
    train = multinli(english)
    assert set(train["split"]) == {"train"}
    assert set(train["language"]) == {"en"}
    assert {row["pair"]: (row["label"], row["genre"], row["premise_id"]) for row in train} == {
        f"train/{n}{'enc'[n % 3]}": (n % 3, ("fiction", "telephone")[n // 3 % 2], f"train/{n // 3}")
        for n in range(30)
        if n % 10 != 9
    }


def test_multinli_from_a_directory_is_the_same(english, tmp_path):
    with zipfile.ZipFile(english) as opened:
        opened.extractall(tmp_path)
    expected = multinli(english).to_list()
    for path in (english.parent, tmp_path, tmp_path / "multinli_1.0"):
        assert multinli(path).to_list() == expected, path


def test_both_corpora_have_the_same_columns(corpus, english):
    assert multinli(english).features == corpus.features


# Held-out rows


def test_hold_out_takes_a_fifth_of_the_dev_premises_in_all_languages(held):
    premises = {}
    for row in held:
        if row["split"] == "held-out":
            premises.setdefault(row["language"], set()).add(row["premise_id"])
    assert set(premises) == set(small_world.LANGUAGES)
    assert len(set(map(frozenset, premises.values()))) == 1
    assert len(premises["de"]) == round(0.2 * 20 * 2)


def test_no_premise_is_in_two_splits(held):
    splits = {}
    for row in held:
        splits.setdefault(row["premise_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == {"dev", "held-out", "test"}


def test_hold_out_renames_dev_rows_only(corpus, held):
    for before, after in zip(corpus, held, strict=True):
        split = after.pop("split")
        assert split == before.pop("split") or (split == "held-out" and after["pair"].startswith("dev/"))
        assert before == after


def test_hold_out_is_the_same_each_time_and_follows_its_seed(corpus, held):
    assert corpora.hold_out(corpus)["split"][:] == held["split"][:]
    assert corpora.hold_out(corpus, seed=1)["split"][:] != held["split"][:]


def test_hold_out_does_not_depend_on_the_languages_that_are_read(archive, held):
    few = corpora.nli(archive, languages=("de", "th"))
    assert few.to_list() == [row for row in held if row["language"] in ("de", "th")]


@pytest.mark.parametrize(("share", "premises"), [(0.0, 0), (0.5, 20), (1.0, 40)])
def test_hold_out_takes_the_share_that_is_asked_for(corpus, share, premises):
    found = corpora.hold_out(corpus, share=share)
    assert len({row["premise_id"] for row in found if row["split"] == "held-out"}) == premises


# Another corpus


PARAPHRASES = ("different", "paraphrase")


def paraphrases(source, languages, splits):
    """A table for each language and split, for the one below."""
    for split in splits:
        for code in languages or source.languages:
            table = source.table(f"{code}/{split}.tsv", split, ("id", "sentence1", "sentence2", "label"))
            names = [source.classes[int(number)] for number in table["label"]]
            both = {"pairID": table["id"], "promptID": table["id"]}
            table = table.assign(language=code, genre="wikipedia", gold_label=names, **both)
            yield from readers.pairs(source, table, split)


@pytest.fixture
def another(tmp_path, monkeypatch):
    """An archive with two classes and a language that XNLI has not, all of it known by one entry."""
    entry = corpora.Corpus("Paraphrases", "nli", "same-1.0", ("en", "de", "ko"), PARAPHRASES, paraphrases)
    monkeypatch.setitem(CORPORA, entry.name, entry)
    with zipfile.ZipFile(tmp_path / "same-1.0.zip", "w") as opened:
        for split, count in (("dev", 40), ("test", 10)):
            for shift, code in enumerate(entry.languages):
                lines = [
                    f"{n}\t{small_world.word('en', n + shift)}.\t{small_world.word('en', 3 * n)}.\t{n % 2}"
                    for n in range(count)
                ]
                opened.writestr(f"same-1.0/{code}/{split}.tsv", "\n".join(["id\tsentence1\tsentence2\tlabel", *lines]))
    return tmp_path / "same-1.0.zip"


def test_a_corpus_with_two_classes_and_another_language_is_one_entry(another, tmp_path):
    for place in (another, tmp_path):
        assert corpora.corpus_of("nli", place).name == "Paraphrases"
    corpus = corpora.nli(another)
    assert corpora.classes_of(corpus) == corpora.classes_of(corpus.select(range(2))) == PARAPHRASES
    assert Counter(corpus["split"]) == {"dev": 3 * 32, "held-out": 3 * 8, "test": 3 * 10}
    draw = sampler(corpus, query="ko", support="en", shots=4, queries=6, target="de")
    episode = draw(0)
    for batch, each in ((*episode.support, 2), (episode.query, 3)):
        assert Counter(corpus[batch["row"].flatten().tolist()]["label"]) == {0: each, 1: each}
    small_world.complaint(lambda: corpora.nli(another, ["fr"]), "Paraphrases has no fr; it has en, de, ko")


def test_the_classes_of_a_corpus_are_those_of_its_encoder(another, tmp_path):
    """Rows of a checkpoint's classifier are put in the corpus's order, and scores are of what it calls its classes."""
    corpus = corpora.nli(another)
    rows = rows_of(corpus, "ko", "test")
    outputs = {}
    for names in (PARAPHRASES, PARAPHRASES[::-1]):
        directory = small_world.write_encoder(tmp_path / names[0], labels=names)
        encoder = encoders.nli(directory, classes=corpora.classes_of(corpus))
        batch = encoder.features(corpus)[torch.tensor([rows])]
        with torch.no_grad():
            outputs[names] = encoder.learner.outputs({name: value[0] for name, value in batch.items()})
        assert outputs[names].shape == (10, 2)
    one, other = outputs.values()
    assert torch.allclose(one, other.flip(1), atol=1e-6)  # the same weights with their names exchanged
    predicted, right = one.argmax(1).tolist(), corpus[rows]["label"]
    expected = sum(map(int.__eq__, predicted, right)) / len(right) * 100
    assert metric_of("nli").score(predicted, right, "ko") == pytest.approx(expected)

    small_world.complaint(lambda: encoders.nli(directory), "tells 2 classes apart", "needs 3")
    three = encoders.nli(small_world.write_encoder(tmp_path / "three"))
    small_world.complaint(lambda: three.features(corpus), "entailment, neutral", "different, paraphrase")


def test_fine_tuning_learns_the_classes_of_the_corpus(another, tmp_path):
    corpus = corpora.nli(another, ["en"], ["dev"])
    start = small_world.write_encoder(tmp_path / "start", classifier=False)
    finetune.train(start, corpus, tmp_path / "out", finetune.Settings(1, 1e-3))
    said = json.loads((tmp_path / "out" / "config.json").read_text())
    assert said["id2label"] == {"0": "different", "1": "paraphrase"}
    assert encoders.nli(tmp_path / "out", classes=PARAPHRASES).classes == PARAPHRASES


# PAWS-X

PAWS_LANGUAGES = ("en", "de", "es", "fr", "ja", "ko", "zh")


def paws_files(dev=30, test=8, train=6):
    """The files of PAWS-X: some pairs were not translated, some share their first sentence, one has no label."""
    found = {}
    for code in PAWS_LANGUAGES:
        names = {"train" if code == "en" else "translated_train": train, "dev_2k": dev, "test_2k": test}
        for name, count in names.items():
            lines = ["id\tsentence1\tsentence2\tlabel"]
            for n in range(count):
                first, second = f'{code} "said {n // 2 * 2}', f"{code} heard {n}."
                if code == "de" and name == "dev_2k" and n in (4, 5, 6):
                    first, second = ("NS", second) if n == 4 else (first, "NS" if n == 5 else "")
                label = "" if (code, name, n) == ("ja", "test_2k", 3) else n % 2
                lines.append(f"{n + 1}\t{first}\t{second}\t{label}")
            found[f"x-final/{code}/{name}.tsv"] = "\n".join(lines) + "\n"
    return found


def write_paws(directory, form, files):
    """PAWS-X as a .zip, a .tar.gz or a directory; returns the path of it."""
    path = directory / f"x-final{'' if form == 'directory' else form}"
    directory.mkdir(parents=True, exist_ok=True)
    if form == "directory":
        for name, text in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text, "utf-8")
    elif form == ".zip":
        with zipfile.ZipFile(path, "w") as opened:
            for name, text in files.items():
                opened.writestr(name, text)
    else:
        with tarfile.open(path, "w:gz") as opened:
            for name, text in {"../outside/ko/dev_2k.tsv": "not ours", "x-final": None, **files}.items():
                member = tarfile.TarInfo(name)
                if text is None:
                    member.type = tarfile.DIRTYPE
                member.size = len((text or "").encode())
                opened.addfile(member, io.BytesIO((text or "").encode()))
    return path


@pytest.mark.parametrize("form", ["directory", ".zip", ".tar.gz"])
def test_paws_x_in_each_of_its_forms(tmp_path, form):
    files = paws_files()
    if form == ".tar.gz":
        files = {f"./{name}": text for name, text in files.items()}
    path = write_paws(tmp_path / "here", form, files)
    before = sorted(tmp_path.rglob("*"))
    for place in (path, path.parent):
        entry = corpora.corpus_of("nli", place)
        assert entry is CORPORA["PAWS-X"]
        with pytest.warns(UserWarning, match="4 of 266 pairs of PAWS-X .* the first is row 5 of de/dev_2k.tsv"):
            corpus = entry.rows(place)
        assert corpora.classes_of(corpus) == ("0", "1") and set(corpus["genre"]) == {""}
        counts = Counter((row["language"], row["split"]) for row in corpus)
        assert counts == {(code, split): n for code in PAWS_LANGUAGES for split, n in (("dev", 30), ("test", 8))} | {
            ("de", "dev"): 27,
            ("ja", "test"): 7,
        }
        row = next(row for row in corpus if (row["language"], row["pair"]) == ("ko", "test/2"))
        assert (row["premise"], row["hypothesis"], row["label"]) == ('ko "said 0', "ko heard 1.", 1)
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked
    assert len({row["premise_id"] for row in corpus}) == 15 + 4  # two pairs of one sentence, in all languages
    english = corpora.corpus_of("nli", path, known=STAGE_TWO)
    assert english.rows(path, splits="train")["language"][:] == ["en"] * 6


@pytest.mark.parametrize("form", [".zip", ".tar.gz"])
def test_an_archive_may_have_another_name(tmp_path, form):
    path = write_paws(tmp_path, form, paws_files())
    path = path.rename(tmp_path / f"pawsx{form}")
    assert corpora.corpus_of("nli", path).name == "PAWS-X"


def test_paws_x_that_cannot_be_used(tmp_path):
    read = CORPORA["PAWS-X"].rows
    files = paws_files()
    for share in (0.3, 0.7, 0.99):
        path = small_world.cut(write_paws(tmp_path / f"{share}", ".tar.gz", files), share)
        complaint(path, "damaged", "get it again", read=read)
    path = tmp_path / "x-final.tar.gz"
    complaint(path, "There is no", "expected x-final", read=read)
    path.write_text("<html>404 Not Found</html>")
    complaint(path, "damaged", "get it again", read=read)
    for cut in (2, 4, 15):
        short = files | {"x-final/de/dev_2k.tsv": files["x-final/de/dev_2k.tsv"].rstrip("\n")[:-cut]}
        path = write_paws(tmp_path / f"short {cut}", ".tar.gz", short)
        complaint(path, "de/dev_2k.tsv", "breaks off in row 30", read=read)
    columns = files | {"x-final/fr/test_2k.tsv": files["x-final/fr/test_2k.tsv"].replace("sentence2", "second")}
    complaint(write_paws(tmp_path / "columns", ".zip", columns), "sentence2", "official layout", read=read)
    lacking = {name: text for name, text in files.items() if "/zh/" not in name}
    path = write_paws(tmp_path / "lacking", "directory", lacking)
    complaint(path, "no zh/dev_2k.tsv", "get the whole archive", read=read, languages=["zh"])
    with pytest.warns(UserWarning, match="left out"):
        complaint(path, "has no zh; it has de", read=CORPORA["PAWS-X"].read, languages=["zh"])
    small_world.complaint(lambda: read(path, languages=["hi"]), "PAWS-X has no hi; it has en, de")
    small_world.complaint(lambda: corpora.corpus_of("nli", path, [("text", "sentence1")]), "PAWS-X", "--columns")


# Without a network


def test_archives_are_read_offline(archive, english, tmp_path):
    code = (
        "import sys; from minimeta.text import corpora; "
        "english = corpora.corpus_of('nli', sys.argv[2], known=corpora.STAGE_TWO).rows(sys.argv[2], splits='train'); "
        "print(len(corpora.nli(sys.argv[1])), len(english))"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, archive, english], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(120 * 13 + 24 * 12), "27"]


# Input that cannot be used


def test_missing_archive(tmp_path):
    complaint(tmp_path / "XNLI-1.0.zip", "XNLI-1.0.zip", "expected")
    complaint(tmp_path / "none" / "data", "XNLI-1.0.zip", "expected")
    complaint(tmp_path / "multinli_1.0.zip", "multinli_1.0.zip", "expected", read=multinli)


def test_directory_without_the_corpus(tmp_path):
    complaint(tmp_path, "XNLI-1.0.zip", "xnli.dev.tsv", "name the directory")


def test_file_that_is_no_zip(tmp_path):
    path = tmp_path / "XNLI-1.0.zip"
    path.write_text("<html>404 Not Found</html>")
    complaint(path, "not a zip", "get it again")
    path.write_bytes(b"")
    complaint(path, "not a zip", "get it again")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_archive_cut_short(archive, tmp_path, share):
    path = tmp_path / "XNLI-1.0.zip"
    path.write_bytes(archive.read_bytes())
    complaint(small_world.cut(path, share), "damaged", "get it again")


def test_archive_with_damage_in_the_middle(archive, tmp_path):
    with zipfile.ZipFile(archive) as opened:
        member = opened.getinfo("XNLI-1.0/xnli.dev.tsv")
    start = member.header_offset + 30 + len(member.filename)
    path = tmp_path / "XNLI-1.0.zip"
    for at in range(start, start + member.compress_size - 40, member.compress_size // 20):
        content = bytearray(archive.read_bytes())
        content[at : at + 40] = bytes(255 - byte for byte in content[at : at + 40])
        path.write_bytes(content)
        complaint(path, "damaged", "get it again")


def test_missing_member(archive, tmp_path):
    path = small_world.changed(archive, tmp_path, "xnli.test.tsv", lambda text: None)
    complaint(path, "xnli.test.tsv", "get the whole archive")
    assert len(xnli(path, splits=("dev",)))


@pytest.mark.parametrize("column", ["language", "gold_label", "sentence1", "sentence2", "promptID", "pairID", "genre"])
def test_missing_column(archive, tmp_path, column):
    def change(text):
        header, rows = text.split("\n", 1)
        return "\t".join("x" if name == column else name for name in header.split("\t")) + "\n" + rows

    path = small_world.changed(archive, tmp_path, "xnli.dev.tsv", change)
    complaint(path, column, "dev", "official layout")


def test_unknown_label(archive, tmp_path):
    def change(text):
        return text.replace("\tneutral\t", "\tmaybe\t", 1)

    complaint(small_world.changed(archive, tmp_path, "xnli.test.tsv", change), "'maybe'", "test", "entailment")


def test_language_that_the_archive_lacks(archive):
    message = complaint(archive, "test", "el", "it has", languages=("de", "el"))
    assert "bg, de, en" in message
    complaint(archive, "dev", "sw", languages=("sw",))


@pytest.mark.parametrize("code", ["xx", "DE", "german", ""])
def test_unknown_language_code(archive, code):
    with pytest.raises(InputError, match="Unknown language") as caught:
        xnli(archive, languages=("de", code))
    assert repr(code) in str(caught.value)
    assert "BCP 47" in str(caught.value)


@pytest.mark.parametrize("columns", [2, 7, 9, 10])
def test_row_cut_short(archive, tmp_path, columns):
    def change(text):
        return "\t".join(text.rstrip("\n").split("\t")[: -(19 - columns)]) + "\n"

    path = small_world.changed(archive, tmp_path, "xnli.dev.tsv", change)
    complaint(path, "dev", "row 1560", "get the archive again")


def test_row_cut_in_its_label(archive, tmp_path):
    path = small_world.changed(archive, tmp_path, "xnli.dev.tsv", lambda text: text[: text.index("diction")])
    complaint(path, "dev", "breaks off")


@pytest.mark.parametrize("text", ["", "\n"])
def test_empty_table(archive, tmp_path, text):
    complaint(small_world.changed(archive, tmp_path, "xnli.dev.tsv", lambda _: text), "dev")


def test_row_with_too_many_fields(archive, tmp_path):
    path = small_world.changed(archive, tmp_path, "xnli.dev.tsv", lambda text: text + "\t".join("de" * 30) + "\n")
    assert "xnli.dev.tsv" in complaint(path, "get the archive again")


def test_multinli_line_cut_short(english, tmp_path):
    def change(text):
        return text[:-20]

    path = small_world.changed(english, tmp_path, "multinli_1.0_train.jsonl", change)
    complaint(path, "multinli_1.0_train.jsonl", "get the archive again", read=multinli)


def test_multinli_line_without_a_sentence(english, tmp_path):
    def change(text):
        row = json.loads(text.splitlines()[0])
        del row["sentence2"]
        return text + json.dumps(row) + "\n"

    path = small_world.changed(english, tmp_path, "multinli_1.0_train.jsonl", change)
    complaint(path, "train", "row", "get the archive again", read=multinli)


@pytest.mark.parametrize("column", ["sentence1", "sentence2", "genre"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("a\ud83d", r"half a character, '\ud83d'"),
        (7, "has 7 where a text should be"),
        (["a"], "['a'] where a text"),
        (" ", "breaks off"),
    ],
)
def test_multinli_with_what_is_no_text(english, tmp_path, column, wrong, said):
    def change(text):
        first, second, *rest = text.splitlines()
        return "\n".join([first, json.dumps(json.loads(second) | {column: wrong}), *rest])

    path = small_world.changed(english, tmp_path, "multinli_1.0_train.jsonl", change)
    complaint(path, "train", "ow 2", said, "get the archive again", read=multinli)


def test_a_premise_of_blanks(archive, tmp_path):
    def change(text):
        rows = [line.split("\t") for line in text.splitlines()]
        rows[3][small_world.COLUMNS.index("sentence1")] = " \u3000"
        return "\n".join(map("\t".join, rows)) + "\n"

    complaint(small_world.changed(archive, tmp_path, "xnli.dev.tsv", change), "dev", "breaks off in row 3")


def test_a_table_that_was_cut_off_says_so(archive, tmp_path):
    def cut(text):
        lines = sorted(text.splitlines()[1:])  # by language, as XNLI's are
        last = "\t".join(lines[-1].split("\t")[:-2])  # inside columns that nobody reads
        return "\n".join([text.splitlines()[0], *lines[:-1], last])

    path = small_world.changed(archive, tmp_path, "xnli.dev.tsv", cut)
    complaint(path, "dev", "breaks off in row", "get the archive again")
    path = small_world.changed(archive, tmp_path, "xnli.dev.tsv", lambda text: text[: text.rindex("\n", 0, -1) + 1])
    with pytest.warns(UserWarning, match="119 of ur and no other; XNLI has as many of each"):
        corpora.nli(path, splits=["dev"])


@pytest.mark.parametrize("share", [-0.2, 1.2, float("nan")])
def test_a_share_that_is_none(corpus, share):
    small_world.complaint(lambda: corpora.hold_out(corpus, share=share), str(share), "between 0 and 1")


def test_multinli_without_a_split(english, tmp_path):
    path = small_world.changed(english, tmp_path, "multinli_1.0_dev_matched.jsonl", lambda text: None)
    complaint(path, "multinli_1.0_dev_matched.jsonl", read=multinli, splits=("dev_matched",))


# Real corpora, where they are at hand


@pytest.fixture(scope="module")
def real_xnli():
    if not (REAL / "XNLI-1.0.zip").is_file():
        pytest.skip("the real XNLI-1.0.zip is not in shared/real beside this checkout")
    return xnli(REAL).to_pandas()


def test_real_xnli_has_its_official_counts(real_xnli):
    counts = real_xnli.groupby(["split", "language"]).size()
    assert set(counts["dev"]) == {2490} and len(counts["dev"]) == 15
    assert set(counts["test"]) == {5010} and len(counts["test"]) == 8
    assert real_xnli["genre"].nunique() == 10
    per_genre = real_xnli.groupby(["split", "language", "genre"]).size()
    assert set(per_genre["dev"]) == {249} and set(per_genre["test"]) == {501}


def test_real_xnli_is_in_nfc(real_xnli):
    """In the archive 177 Hindi dev premises are not, and texts of ar, th, ur and vi are not either."""
    for name in ("premise", "hypothesis"):
        assert all(unicodedata.is_normalized("NFC", text) for text in real_xnli[name]), name


def test_real_xnli_is_balanced_and_parallel(real_xnli):
    assert set(real_xnli.groupby(["split", "language", "label"]).size()["dev"]) == {830}
    assert set(real_xnli.groupby(["split", "language", "label"]).size()["test"]) == {1670}
    for split, count in (("dev", 15), ("test", 8)):
        assert set(real_xnli[real_xnli["split"] == split].groupby("pair")["language"].nunique()) == {count}
    assert real_xnli.groupby("pair")["label"].nunique().max() == 1
    assert set(real_xnli.groupby(["language", "premise_id"]).size()) == {3}


@pytest.mark.parametrize(("split", "rows"), [("train", 32346), ("dev_matched", 9815)])
def test_real_multinli_has_its_counts(split, rows):
    if not (REAL / "multinli_1.0.zip").is_file():
        pytest.skip("the real multinli_1.0.zip is not in shared/real beside this checkout")
    found = multinli(REAL, splits=(split,))
    assert len(found) == rows
    assert set(found["label"]) == {0, 1, 2}
    assert len(set(found["genre"])) == 5
