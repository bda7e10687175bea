"""A Hugging Face BERT or XLM-R, split into a frozen trunk and an adapted head.

With `adapt="head"` the last layer and what stands on it are adapted, in both loops. The trunk below never changes,
so its output is computed once per example and kept.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..errors import InputError, first_line
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

    Logits are in the order of `classes` (those of a corpus); the checkpoint's config.json must name them, in whatever
    order it has them. A checkpoint without a classifier gets a new one, drawn from `seed`, with a warning. Dropout is
    off. Only `attention="eager"` has the second derivative that second-order meta-gradients need. Raises InputError for
    a checkpoint that is damaged or incomplete, does not name its classes, or is not a plain encoder.

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
    model, tokenizer = load(name, classes, attention, seed)
    model.eval()
    base = getattr(model, model.base_model_prefix)
    layers = base.encoder.layer
    trunk = Trunk(base.embeddings, nn.ModuleList(layers[:-1]))
    if classes:
        head: nn.Module = Head(layers[-1], getattr(base, "pooler", None) or nn.Identity(), model.classifier)
    else:
        head = SpanHead(layers[-1], model.qa_outputs)
    adapted = head if adapt == "head" else Whole(trunk, head)
    learner = Learner(Bf16(adapted) if bf16 else adapted, cross_entropy if classes else span_loss)
    # XLM-R counts positions from its padding id + 1.
    config = model.config
    unused = config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0
    longest = min(max_length, tokenizer.model_max_length, config.max_position_embeddings - unused)
    special = tokenizer.num_special_tokens_to_add(pair=True)
    if longest < special + 2:
        raise InputError(f"{longest} tokens have no room for two texts beside {special} special ones; take more.")
    kept = trunk.requires_grad_(False) if adapt == "head" else None
    return Encoder(name, classes, learner.eval(), kept, tokenizer, longest, bf16)


def load(name: str, classes: Sequence[str], attention: str = "eager", seed: int = 0) -> tuple[Any, Any]:
    """The Hugging Face model and its tokenizer: a classifier, or without `classes` a span model.

    The classifier's rows are put in the order of `classes`. The tokenizer is the one of `tokenizer.json`, where there
    is that file. A checkpoint without the last layer of the task gets a new one, drawn from `seed`, with a warning.
    """
    import transformers
    from transformers import AutoConfig
    from transformers.utils import logging

    if classes:
        kind, last, outputs, title = "ForSequenceClassification", "classifier", len(classes), TASKS["nli"].title
    else:
        kind, last, outputs, title = "ForQuestionAnswering", "qa_outputs", 2, TASKS["qa"].title
    looks_local = name.startswith((".", "/", "~")) or Path(name).is_dir()
    path = expanded(name)
    if looks_local and not (Path(path) / "config.json").is_file():
        raise InputError(f"There is no encoder in {name}: expected a directory with config.json and weights.")
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(path)
        if config.model_type not in ARCHITECTURES:
            raise InputError(
                f"{name} is a {config.model_type} model; minimeta splits {' and '.join(ARCHITECTURES)} encoders."
            )
        for setting, value in _SPLIT.items():
            if (said := getattr(config, setting, value)) != value:
                raise InputError(
                    f"{name} has {setting}={said} in its config.json; minimeta splits encoders with {setting}={value}."
                )
        if looks_local and not any((Path(path) / file).is_file() for file in _TOKENIZERS):
            raise InputError(f"{name} has no tokenizer; expected one of {', '.join(_TOKENIZERS)} beside config.json.")
        trained = any(architecture.endswith(kind) for architecture in config.architectures or [])
        if trained and config.num_labels != outputs:
            raise InputError(f"{name} tells {config.num_labels} classes apart; {title} needs {outputs}.")
        torch.manual_seed(seed)
        model, report = getattr(transformers, f"AutoModel{kind}").from_pretrained(
            path,
            dtype=torch.float32,
            attn_implementation=attention,
            output_loading_info=True,
            **({} if trained else {"num_labels": outputs}),
        )
        tokenizer = _tokenizer(path, name)
        if config.type_vocab_size == 1:  # the model does not tell the two texts apart
            tokenizer.model_input_names = [each for each in tokenizer.model_input_names if each != "token_type_ids"]
    except InputError:
        raise
    except Exception as error:  # readers of configurations, weights and tokenizers raise what they like
        raise InputError(
            f"The encoder {name} could not be loaded ({first_line(error)}); give a Hugging Face directory, or a name "
            "while the hub can be reached."
        ) from None
    finally:
        if bars:
            logging.enable_progress_bar()
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"The tokenizer of {name} has {len(tokenizer)} tokens, its model {config.vocab_size}; they do not belong "
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
        warnings.warn(
            f"{name} was not trained for {title}: its last layer was drawn from seed {seed}; fine-tune it "
            "on English first, or expect answers at chance.",
            stacklevel=4,
        )
    elif classes:
        _order(model, name, classes)
    return model, tokenizer


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


def _order(model: Any, name: str, classes: Sequence[str]) -> None:
    """Put the classifier's rows into the order of `classes`, by the names that the checkpoint gives its classes."""
    names = [str(model.config.id2label[i]).lower() for i in range(len(classes))]
    if sorted(names) != sorted(classes):
        raise InputError(
            f"{name} calls its classes {', '.join(names)}; expected {', '.join(classes)}: write them as id2label into "
            "its config.json, in the order that it was trained with."
        )
    numbers = {str(label).lower(): number for label, number in (model.config.label2id or {}).items()}
    if any(numbers.get(label, number) != number for number, label in enumerate(names)):
        raise InputError(
            f"{name} has an id2label that contradicts its label2id; mend the wrong one in its config.json."
        )
    rows = [names.index(label) for label in classes]
    last = getattr(model.classifier, "out_proj", model.classifier)
    with torch.no_grad():
        last.weight.copy_(last.weight[rows])
        last.bias.copy_(last.bias[rows])
