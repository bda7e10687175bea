"""A Hugging Face BERT or XLM-R, split into a frozen trunk and an adapted head.

With `adapt="head"` the last layer and what stands on it are adapted, in both loops. The trunk below never changes,
so its output is computed once per example and kept.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..errors import InputError, first_line, some
from ..files import expanded
from ..inner import Learner, cross_entropy
from .corpora import LABELS, TASKS
from .features import Encoder
from .heads import Bf16, Head, SpanHead, Trunk, Whole, span_loss

ARCHITECTURES = ("bert", "xlm-roberta")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model")
_SPLIT = {
    "is_decoder": False,
    "position_embedding_type": "absolute",
    "chunk_size_feed_forward": 0,
    "quantization_config": None,
}
"""What config.json must say, or leave unsaid, for trunk and head to compute what the whole model does."""

_KINDS = {True: "ForSequenceClassification", False: "ForQuestionAnswering"}
_DRAWN = "to a new classifier, drawn from seed {}"

_BERT_OPTIONS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
"""Options of tokenizer_config.json and what tokenizer.json calls them, for tokenizers in BERT's manner."""


def nli(
    name: str | Path,
    adapt: Literal["head", "all"] = "head",
    max_length: int = 128,
    attention: str = "eager",
    seed: int = 0,
    bf16: bool = False,
    classes: Sequence[str] = LABELS,
) -> Encoder:
    """Load an NLI classifier from a Hugging Face directory or name and choose what is adapted.

    Logits are in the order of `classes` (those of a corpus), see `match`. A checkpoint without a classifier gets a new
    one, drawn from `seed`, with a warning. Dropout is off. Only `attention="eager"` has the second derivative that
    second-order meta-gradients need. Raises InputError for a checkpoint that is damaged or incomplete, does not name
    its classes, or is not a plain encoder.

    With `bf16`, products of matrices are computed in bfloat16 (autocast), in the trunk and in what is adapted;
    parameters, sums, losses and gradients of parameters stay in float32.
    """
    return _split(str(name), tuple(classes), adapt, max_length, attention, seed, bf16)


def qa(
    name: str | Path,
    adapt: Literal["head", "all"] = "head",
    max_length: int = 384,
    attention: str = "eager",
    seed: int = 0,
    bf16: bool = False,
) -> Encoder:
    """Load a span model (extractive question answering) from a Hugging Face directory or name, as `nli` does.

    Long passages are cut into windows of `max_length` tokens, a third of which return in the next (XLA-MAML, section
    4.1: 384 and 128). A checkpoint without start and end vectors gets new ones, drawn from `seed`, with a warning.
    """
    return _split(str(name), (), adapt, max_length, attention, seed, bf16)


def _split(
    name: str, classes: tuple[str, ...], adapt: str, max_length: int, attention: str, seed: int, bf16: bool
) -> Encoder:
    """Load a model and part it in what is adapted and what is not."""
    if adapt not in ("head", "all"):
        raise InputError(f"adapt={adapt!r} is not known; adapt 'head' or 'all'.")
    model, tokenizer, matched = load(name, classes, attention, seed)
    learner, kept = parted(model, classes, adapt, bf16)
    # XLM-R counts positions from its padding id + 1.
    config = model.config
    unused = config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0
    longest = min(max_length, tokenizer.model_max_length, config.max_position_embeddings - unused)
    special = tokenizer.num_special_tokens_to_add(pair=True)
    if longest < special + 2:
        raise InputError(f"{longest} tokens have no room for two texts beside {special} special ones; take more.")
    return Encoder(name, classes, learner, kept, tokenizer, longest, bf16, matched)


def parted(model: Any, classes: Sequence[str], adapt: str = "head", bf16: bool = False) -> tuple[Learner, Trunk | None]:
    """A Hugging Face model in eval mode as what is adapted, and the frozen trunk below it (None: there is none)."""
    base = getattr(model.eval(), model.base_model_prefix)
    layers = base.encoder.layer
    trunk = Trunk(base.embeddings, nn.ModuleList(layers[:-1]))
    if classes:
        head: nn.Module = Head(layers[-1], getattr(base, "pooler", None) or nn.Identity(), model.classifier)
    else:
        head = SpanHead(layers[-1], model.qa_outputs)
    adapted = head if adapt == "head" else Whole(trunk, head)
    learner = Learner(Bf16(adapted) if bf16 else adapted, cross_entropy if classes else span_loss)
    return learner.eval(), trunk.requires_grad_(False) if adapt == "head" else None


def load(name: str, classes: Sequence[str], attention: str = "eager", seed: int = 0) -> tuple[Any, Any, str]:
    """The Hugging Face model, a classifier or without `classes` a span model, its tokenizer, how classes were matched.

    The classifier's rows are put in the order of `classes`, see `match`. The tokenizer is the one of `tokenizer.json`,
    where there is that file. A checkpoint without the last layer of the task gets a new one, drawn from `seed`, with a
    warning.
    """
    import transformers

    kind = _KINDS[bool(classes)]
    last, title = ("classifier", TASKS["nli"].title) if classes else ("qa_outputs", TASKS["qa"].title)
    path = expanded(name)
    try:
        with quiet():  # what its report of the weights would say is said below
            config = _config(name)
            rows, matched = match(config, name, classes, seed)
            torch.manual_seed(seed)
            model, report = getattr(transformers, f"AutoModel{kind}").from_pretrained(
                path,
                dtype=torch.float32,
                attn_implementation=attention,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **({} if rows else {"num_labels": len(classes) or 2}),
            )
            tokenizer = _tokenizer(path, name)
        if config.type_vocab_size == 1:  # the model does not tell the two texts apart
            tokenizer.model_input_names = [each for each in tokenizer.model_input_names if each != "token_type_ids"]
    except InputError:
        raise
    except Exception as error:  # readers of configurations, weights and tokenizers raise what they like
        raise _not_loaded(name, error) from None
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"The tokenizer of {name} has {len(tokenizer)} tokens, its model {config.vocab_size}; they do not belong "
            "together."
        )
    if odd := sorted(key for key, *_ in report["mismatched_keys"]):
        raise InputError(
            f"{name} has weights of another size than its config.json says, {odd[0]} for one; they do not belong "
            "together."
        )
    missing = sorted(report["missing_keys"])
    if any(not key.startswith((last, f"{model.base_model_prefix}.pooler")) for key in missing):
        raise InputError(f"{name} lacks weights of its encoder, {missing[0]} for one; it may be cut short.")
    unused = sorted(key for key in report["unexpected_keys"] if ".encoder.layer." in key)
    if unused:
        raise InputError(
            f"{name} has weights that the encoder of its config.json has not, {unused[0]} for one; they do not belong "
            "together."
        )
    if missing:
        matched = _DRAWN.format(seed)
        warnings.warn(
            f"{name} was not trained for {title}: its last layer was drawn from seed {seed}; fine-tune it "
            "on English first, or expect answers at chance.",
            stacklevel=4,
        )
    elif classes:
        classifier = getattr(model.classifier, "out_proj", model.classifier)
        with torch.no_grad():
            classifier.weight.copy_(classifier.weight[rows])
            classifier.bias.copy_(classifier.bias[rows])
    return model, tokenizer, matched


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers and the hub's client without bars, tables and tries; what they raise is said by us."""
    from huggingface_hub import logging as hub
    from transformers.utils import logging

    bars, levels = logging.is_progress_bar_enabled(), {each: each.get_verbosity() for each in (logging, hub)}
    logging.disable_progress_bar()
    for each in levels:
        each.set_verbosity_error()
    try:
        yield
    finally:
        for each, level in levels.items():
            each.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _tokenizer(path: str, name: str) -> Any:
    """The tokenizer of tokenizer.json; without that file, the one that transformers makes of the vocabulary.

    AutoTokenizer (transformers 5.24) makes the tokenizers of classes that it knows, BERT's and XLM-R's among them,
    anew from the vocabulary, and drops the normaliser and the pre-tokeniser of tokenizer.json. Here it only says what
    the special tokens are for, and what a model takes.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.utils import cached_file

    known = AutoTokenizer.from_pretrained(path)
    file = cached_file(path, "tokenizer.json", _raise_exceptions_for_missing_entries=False)
    if file is None or type(known) is PreTrainedTokenizerFast:
        return known
    normalizer = json.loads(Path(file).read_text("utf-8"))["normalizer"] or {}
    for option, part in _BERT_OPTIONS.items():
        said, there = known.init_kwargs.get(option), normalizer.get(part)
        if normalizer.get("type") == "BertNormalizer" and said is not None and said != there:
            raise InputError(
                f"{name} has {option}={said} in tokenizer_config.json and {part}={there} in tokenizer.json; make them "
                "say what the model was trained with."
            )
    return PreTrainedTokenizerFast.from_pretrained(
        path,
        model_max_length=known.model_max_length,
        model_input_names=known.model_input_names,
        **known.special_tokens_map,
    )


def match(config: Any, name: str, classes: Sequence[str], seed: int = 0) -> tuple[list[int], str]:
    """The rows of a checkpoint's last layer in the order of a corpus's classes, and in words how they were matched.

    They are matched by the names in config.json's id2label, in whatever order and whether in capitals or not. Numbers
    are names if the corpus has no others and the checkpoint has the same, or none but LABEL_0, LABEL_1 and so on. No
    rows: the checkpoint has no last layer for the task, and a new one is drawn from `seed`. Raises InputError for
    everything else, since a wrong order would show in the scores alone. Without `classes` the rows are start and end.
    """
    if not any(architecture.endswith(_KINDS[bool(classes)]) for architecture in config.architectures or []):
        return [], _DRAWN.format(seed)
    if not classes:
        if config.num_labels != 2:
            raise InputError(f"{name} tells {config.num_labels} classes apart; {TASKS['qa'].title} needs 2.")
        return [0, 1], ""
    if config.num_labels != len(classes):
        raise InputError(
            f"{name} tells {config.num_labels} classes apart; {TASKS['nli'].title} needs {len(classes)} here, "
            f"{some(list(classes), 10)}: give an encoder for these, or fine-tune one."
        )
    lacking = [number for number in range(len(classes)) if number not in config.id2label]
    if lacking:
        raise InputError(f"{name} has no class {lacking[0]} in its id2label; mend it in its config.json.")
    names = [str(config.id2label[number]).strip().lower() for number in range(len(classes))]
    wanted = [each.lower() for each in classes]
    numbers = [str(number) for number in range(len(classes))]
    if wanted == numbers and names == [f"label_{number}" for number in numbers]:
        return list(range(len(classes))), f"by number: {', '.join(classes)}"
    if sorted(names) != sorted(wanted) or len(set(names)) < len(names):
        unknown = "; the corpus has numbers, and nobody can tell what these mean" if wanted == numbers else ""
        raise InputError(
            f"{name} calls its classes {some(names, 10)}; expected {some(list(classes), 10)}: write them as id2label "
            f"into its config.json, in the order that it was trained with{unknown}."
        )
    told = {str(label).strip().lower(): number for label, number in (config.label2id or {}).items()}
    if any(told.get(label, number) != number for number, label in enumerate(names)):
        raise InputError(
            f"{name} has an id2label that contradicts its label2id; mend the wrong one in its config.json."
        )
    how = "number" if wanted == numbers else "name"
    return [names.index(label) for label in wanted], f"by {how}: {', '.join(classes)}"


def matched(name: str, classes: Sequence[str]) -> str:
    """How the classes of a checkpoint are matched to a corpus's, in words, from its config.json alone; see `match`."""
    return match(_config(name), name, classes)[1]


def _config(name: str) -> Any:
    """The configuration of a checkpoint that can be parted in trunk and head."""
    from transformers import AutoConfig

    local, path = name.startswith((".", "/", "~")) or Path(name).is_dir(), Path(expanded(name))
    if local and not (path / "config.json").is_file():
        raise InputError(f"There is no encoder in {name}: expected a directory with config.json and weights.")
    try:
        with quiet():
            config = AutoConfig.from_pretrained(expanded(name))
    except Exception as error:  # readers of configurations raise what they like
        raise _not_loaded(name, error) from None
    if config.model_type not in ARCHITECTURES:
        raise InputError(
            f"{name} is a {config.model_type} model; minimeta splits {' and '.join(ARCHITECTURES)} encoders."
        )
    for setting, value in _SPLIT.items():
        if (said := getattr(config, setting, value)) != value:
            raise InputError(
                f"{name} has {setting}={said} in its config.json; minimeta splits encoders with {setting}={value}."
            )
    if local and not any((path / file).is_file() for file in _TOKENIZERS):
        raise InputError(f"{name} has no tokenizer; expected one of {', '.join(_TOKENIZERS)} beside config.json.")
    return config


def _not_loaded(name: str, error: Exception) -> InputError:
    return InputError(
        f"The encoder {name} could not be loaded ({first_line(error)}); give a Hugging Face directory, or a name while "
        "the hub can be reached."
    )
