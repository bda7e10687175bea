"""A small made-up world: XNLI, MultiNLI, SQuAD and MLQA in their official layouts, and tiny random encoders."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minimeta.errors import InputError
from minimeta.text.metrics import Metric

torch.set_num_threads(1)  # for products this small a second thread costs more than it gives

LABELS = ("entailment", "neutral", "contradiction")
GENRES = ("facetoface", "travel")
LANGUAGES = ("en", "fr", "es", "de", "el", "bg", "ru", "tr", "vi", "th", "zh", "hi", "ur")
"""The 12 languages of the phylogeny and tr, in the order of XNLI's list."""

COLUMNS = (
    "language gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 "
    "sentence2 promptID pairID genre label1 label2 label3 label4 label5 sentence1_tokenized sentence2_tokenized match"
).split()

_LATIN = "adegiklmnorstuv"
_LETTERS = dict.fromkeys(LANGUAGES, _LATIN) | {
    "el": "αβγδεικλμνορστυ",
    "bg": "абвгдежзиклмнор",
    "ru": "абвгдежзиклмнор",
    "th": "กขคงจชซดตถทนบปพ",
    "zh": "天地人山水火木金土日月星风雨雪",
    "hi": "कखगघचछजटडतदनपबम",
    "ur": "ابپتجدرزسشعفقکل",
}
_NUMBERS, _WORDS = 200, 40


def word(language: str, number: int) -> str:
    """A made-up word, in the script of its language."""
    letters, shift = _LETTERS[language], 2 * LANGUAGES.index(language)
    return "".join(letters[(part + shift) % len(letters)] for part in (number % _WORDS // 15, number % 15, number % 4))


def sentences(language: str, premise: int, label: int) -> tuple[str, str]:
    """A premise and a hypothesis of different lengths; some hold quote characters, not always in pairs."""
    said = " ".join(word(language, premise * 3 + i) for i in range(3 + premise % 5))
    heard = " ".join(word(language, premise + label * 11 + i) for i in range(1 + (premise + label) % 4))
    quote = '"' if premise % 7 == 1 else ""
    return f"{quote}{said} {premise}.", f'{heard} "{premise}"!' if premise % 5 == 2 else f"{heard}."


def xnli_rows(split: str, languages: Sequence[str], genres: Sequence[str], premises: int) -> list[dict[str, str]]:
    """Rows as XNLI has them: each premise with one hypothesis per class, rows parallel in all languages."""
    rows = []
    for language in languages:
        for prompt in range(premises * len(genres)):
            for label, name in enumerate(LABELS):
                said, heard = sentences(language, prompt + (100 if split == "test" else 0), label)
                rows.append(
                    dict.fromkeys(COLUMNS, "")
                    | {
                        "language": language,
                        "gold_label": name,
                        "sentence1": said,
                        "sentence2": heard,
                        "promptID": str(prompt + 1),
                        "pairID": str(3 * prompt + label + 1),
                        "genre": genres[prompt % len(genres)],
                        "label1": name,
                        "match": "True",
                    }
                )
    return rows


def write_xnli(
    directory: Path,
    languages: Sequence[str] = LANGUAGES,
    test_languages: Sequence[str] | None = None,
    genres: Sequence[str] = GENRES,
    dev: int = 20,
    test: int = 4,
) -> Path:
    """Write XNLI-1.0.zip with `dev` and `test` premises per genre; returns its path.

    Without `test_languages` the test split has all languages but el.
    """
    given = {
        "dev": xnli_rows("dev", languages, genres, dev),
        "test": xnli_rows("test", test_languages or [code for code in languages if code != "el"], genres, test),
    }
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / "XNLI-1.0.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("XNLI-1.0/", "")
        archive.writestr("XNLI-1.0/README.md", "Made-up rows in the layout of XNLI 1.0.\n")
        for split, rows in given.items():
            lines = ["\t".join(COLUMNS), *("\t".join(row.values()) for row in rows)]
            archive.writestr(f"XNLI-1.0/xnli.{split}.tsv", "\n".join(lines) + "\n")
            archive.writestr(f"__MACOSX/XNLI-1.0/._xnli.{split}.tsv", "not a table")
    return directory / "XNLI-1.0.zip"


def write_multinli(directory: Path, pairs: int = 30, genres: Sequence[str] = ("fiction", "telephone")) -> Path:
    """Write multinli_1.0.zip, all three splits; every tenth pair has no gold label. Returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / "multinli_1.0.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "dev_matched", "dev_mismatched"):
            lines = []
            for number in range(pairs):
                said, heard = sentences("en", number // 3, number % 3)
                row = {
                    "gold_label": "-" if number % 10 == 9 else LABELS[number % 3],
                    "sentence1": said,
                    "sentence2": heard,
                    "genre": genres[number // 3 % len(genres)],
                    "pairID": f"{number}{'enc'[number % 3]}",
                    "promptID": str(number // 3),
                }
                lines.append(json.dumps(row))
            archive.writestr(f"multinli_1.0/multinli_1.0_{split}.jsonl", "\n".join(lines) + "\n")
    return directory / "multinli_1.0.zip"


def paragraph(
    language: str, number: int, identities: Sequence[str], answers: int = 1, answered: bool = True
) -> dict[str, Any]:
    """A passage in SQuAD's layout, every fourth one of 90 words, and a question for each identity.

    Without `answered` the place of the answers is empty, in one of the two ways in which archives have that.
    """
    words = [word(language, (number * 7 + i) % _WORDS) for i in range(90 if number % 4 == 3 else 15 + 5 * (number % 3))]
    questions = []
    for identity in identities:
        turn = int(identity[-1])
        told = []
        for other in range(answers):
            first = (number * 13 + 5 * turn + other) % (len(words) - 3)
            text = " ".join(words[first : first + 1 + (number + turn) % 3])
            told.append({"text": text, "answer_start": len("".join(f"{each} " for each in words[:first]))})
        empty = [{"text": "", "answer_start": 0}] if number % 2 else []
        asked = " ".join(word(language, (number * 5 + turn + i) % _WORDS) for i in range(2 + number % 3))
        questions.append({"id": identity, "question": f"{asked}?", "answers": told if answered else empty})
    return {"context": f"{' '.join(words)} {number}.", "qas": questions}


def write_squad(directory: Path, passages: int = 8) -> Path:
    """Write squad.zip, train and dev, with two questions about each passage; in dev they have two answers each."""
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / "squad.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "dev"):
            found = [
                paragraph("en", number, [f"{split}{number}-{turn}" for turn in range(2)], 1 + (split == "dev"))
                for number in range(passages)
            ]
            halves = (found[: passages // 2], found[passages // 2 :])
            articles = [{"title": f"Article {n}", "paragraphs": half} for n, half in enumerate(halves)]
            archive.writestr(f"squad/{split}-v1.1.json", json.dumps({"version": "1.1", "data": articles}))
    return directory / "squad.zip"


MLQA = ("en", "es", "de", "vi", "zh", "hi")
"""The languages of MLQA of which this world has words."""


def mlqa_questions(language: str, split: str, number: int) -> list[str]:
    """Two questions about each English passage; other languages have one of them or both, each in its own way."""
    turn = (number + MLQA.index(language)) % 3
    return [f"{split}{number}-{k}" for k in (0, 1) if language == "en" or turn != k]


def write_mlqa(directory: Path, dev: int = 44, test: int = 8, answered: bool = True) -> Path:
    """Write MLQA_V1.zip with `dev` and `test` passages; questions are also asked in other languages.

    Without `answered` the test questions have no answers.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / "MLQA_V1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MLQA_V1/", "")
        archive.writestr("MLQA_V1/README.md", "Made-up rows in the layout of MLQA 1.0.\n")
        for split, passages in (("dev", dev), ("test", test)):
            for language in MLQA:
                content = {"version": 1.0, "data": []}
                for number in range(passages):
                    asked = mlqa_questions(language, split, number)
                    shifted = number + (100 if split == "test" else 0)
                    part = paragraph(language, shifted, asked, answered=answered or split == "dev")
                    content["data"].append({"title": f"Article {number}", "paragraphs": [part]})
                for other in MLQA:
                    name = f"{split}-context-{language}-question-{other}.json"
                    archive.writestr(
                        f"MLQA_V1/{split}/{name}", json.dumps(content) if other == language else '{"data": "not ours"}'
                    )
                    archive.writestr(f"__MACOSX/MLQA_V1/{split}/._{name}", "not JSON")
    return directory / "MLQA_V1.zip"


def changed(archive: Path, directory: Path, name: str, change: Callable[[str], str | None]) -> Path:
    """A copy of an archive in `directory` whose member `name` was changed, or left out where `change` says None."""
    directory.mkdir(parents=True, exist_ok=True)
    with (
        zipfile.ZipFile(archive) as old,
        zipfile.ZipFile(directory / archive.name, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.namelist():
            content: str | None = old.read(member).decode("utf-8")
            if member.split("/")[-1] == name:
                content = change(content)
            if content is not None:
                new.writestr(member, content)
    return directory / archive.name


def cut(path: Path, share: float = 0.5) -> Path:
    """Cut a file short in place, as a broken download does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def tokenizer(kind: str, model_max_length: int | None = 64) -> Any:
    """A tokenizer of whole words, in the manner of BERT or of XLM-R."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    bert = kind == "bert"
    pad, start, end, unknown, mask = (
        ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]") if bert else ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
    )
    special = [pad, unknown, start, end, mask] if bert else [start, pad, end, unknown, mask]
    words = [word(language, number) for language in LANGUAGES for number in range(_WORDS)]
    known = list(dict.fromkeys([*special, *'".!', *map(str, range(_NUMBERS)), *words]))
    vocabulary = {token: i for i, token in enumerate(known)}
    model = models.WordPiece if bert else models.WordLevel
    made = Tokenizer(model(vocabulary, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1" if bert else f"{start} $A {end} {end} $B {end}",
        special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=pad,
        unk_token=unknown,
        cls_token=start,
        sep_token=end,
        mask_token=mask,
        model_input_names=["input_ids", *(["token_type_ids"] if bert else []), "attention_mask"],
        **({} if model_max_length is None else {"model_max_length": model_max_length}),
    )


def write_encoder(
    directory: Path,
    kind: str = "bert",
    labels: Sequence[str] = LABELS,
    classifier: bool = True,
    seed: int = 0,
    model_max_length: int | None = 64,
    spans: bool = False,
    **settings: Any,
) -> Path:
    """Write a random encoder of 3 layers and 16 units as a Hugging Face directory; returns the directory.

    `labels` are the names of its classes in their order; without `classifier` it has an encoder alone. With `spans`
    it finds answers instead. `settings` are further ones of its config.json. Its weights are large enough for its
    answers to differ from row to row.
    """
    import transformers
    from transformers.utils import logging

    words = tokenizer(kind, model_max_length)
    bert = kind == "bert"
    labels = ("LABEL_0", "LABEL_1") if spans else labels
    task = "ForQuestionAnswering" if spans else "ForSequenceClassification" if classifier else "Model"
    given = dict(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64 if bert else 66,
        type_vocab_size=2 if bert else 1,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.cls_token_id,
        eos_token_id=words.sep_token_id,
        initializer_range=0.3,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    config = (transformers.BertConfig if bert else transformers.XLMRobertaConfig)(**given | settings)
    torch.manual_seed(seed)
    model = getattr(transformers, ("Bert" if bert else "XLMRoberta") + task)(config)
    with torch.no_grad():  # biases start at 0 and norms at 1, where a mistake could hide
        for parameter_name, p in model.named_parameters():
            if parameter_name.endswith("bias") or "LayerNorm" in parameter_name:
                p.add_(0.1 * torch.randn_like(p))
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    model.save_pretrained(directory)
    if bars:
        logging.enable_progress_bar()
    words.save_pretrained(directory)
    return directory


def complaint(function, *parts):
    """What `function` says about input that it cannot use: one line, with all `parts` in it."""
    with pytest.raises(InputError) as caught:
        function()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in parts:
        assert part in message, message
    return message


def different_rows(seen, encoder):
    """The different rows in batches of token ids that a trunk has seen: batches are filled up with copies."""
    return {tuple(row[row != encoder.tokenizer.pad_token_id].tolist()) for ids in seen for row in ids}


def _by_class(predicted, right, language):
    said, told = (np.array(list(labels))[:, None] == np.array(list("012")) for labels in (predicted, right))
    return np.hstack([said & told, said, told]).astype(float)


def _mean_f1(means):
    both, said, told = np.split(means, 3, axis=-1)
    return (2 * both / np.maximum(said + told, 1e-12)).mean(-1)


MEAN_F1 = Metric("mean_f1", "mean F1", _by_class, _mean_f1)
"""A metric of NLI that the project has not, of a whole set of rows: the mean over the three classes of their F1."""
