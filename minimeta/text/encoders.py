"""A Hugging Face BERT or XLM-R, split into a frozen trunk and an adapted head.

With `adapt="head"` the last layer and what stands on it are adapted, in both loops. The trunk below never changes,
so its output is computed once per example and kept. For NLI, a pooler and a classifier stand on the last layer and read
the first position only, so the head computes the last layer there alone: the same logits at a fraction of the work.
For question answering, every token gets a start and an end score.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..files import expanded
from ..inner import Learner, cross_entropy
from .corpora import LABELS, TASKS
from .features import Encoder, Features

__all__ = ["Encoder", "Features", "load", "nli", "qa", "span_loss"]

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
) -> Encoder:
    """Load an NLI classifier from a Hugging Face directory or name and choose what is adapted.

    Logits are in the order of `corpora.LABELS`; the checkpoint's config.json must name its classes, in whatever order
    it has them. A checkpoint without a classifier gets a new one, drawn from `seed`, with a warning. Dropout is off.
    Only `attention="eager"` has the second derivative that second-order meta-gradients need. Raises InputError for a
    checkpoint that is damaged or incomplete, does not name its classes, or is not a plain encoder.

    With `bf16`, products of matrices are computed in bfloat16 (autocast), in the trunk and in what is adapted;
    parameters, sums, losses and gradients of parameters stay in float32.
    """
    return _split(str(name), "nli", adapt, max_length, attention, seed, bf16)


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
    return _split(str(name), "qa", adapt, max_length, attention, seed, bf16)


def _split(name: str, task: str, adapt: str, max_length: int, attention: str, seed: int, bf16: bool) -> Encoder:
    """Load a model and part it in what is adapted and what is not."""
    if adapt not in ("head", "all"):
        raise InputError(f"adapt={adapt!r} is not known; adapt 'head' or 'all'.")
    model, tokenizer = load(name, attention, seed, task)
    model.eval()
    base = getattr(model, model.base_model_prefix)
    layers = base.encoder.layer
    trunk = Trunk(base.embeddings, nn.ModuleList(layers[:-1]))
    if task == "nli":
        head: nn.Module = Head(layers[-1], getattr(base, "pooler", None) or nn.Identity(), model.classifier)
    else:
        head = SpanHead(layers[-1], model.qa_outputs)
    adapted = head if adapt == "head" else _Whole(trunk, head)
    loss = cross_entropy if task == "nli" else span_loss
    learner = Learner(_Bf16(adapted) if bf16 else adapted, loss)
    # XLM-R counts positions from its padding id + 1.
    config = model.config
    unused = config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0
    longest = min(max_length, tokenizer.model_max_length, config.max_position_embeddings - unused)
    special = tokenizer.num_special_tokens_to_add(pair=True)
    if longest < special + 2:
        raise InputError(f"{longest} tokens have no room for two texts beside {special} special ones; take more.")
    kept = trunk.requires_grad_(False) if adapt == "head" else None
    return Encoder(name, task, learner.eval(), kept, tokenizer, longest, config.type_vocab_size, bf16)


class Head(nn.Module):
    """The last layer, the pooler and the classifier: `forward(hidden (n, T, H), mask (n, T))` gives logits.

    The last layer is computed at the first position alone, the only one that the classifier reads.
    """

    def __init__(self, layer: nn.Module, pooler: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.layer, self.pooler, self.classifier = layer, pooler, classifier

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, classes) from the trunk's output and the attention mask (1 for a token, 0 for padding)."""
        attention = self.layer.attention
        # One position asks, so the weights of keys and values can be applied to it rather than to every position:
        # q . (W_k h + b_k) = (q W_k) . h + q . b_k, and the mean of W_v h + b_v is W_v times the mean of h, plus b_v.
        first, size = hidden[:, 0], attention.self.attention_head_size
        key, value = attention.self.key, attention.self.value
        queries = attention.self.query(first).unflatten(1, (-1, size)).transpose(0, 1)  # (heads, n, size)
        probes = (queries @ key.weight.unflatten(0, (-1, size))).transpose(0, 1)  # (n, heads, H)
        offsets = (queries @ key.bias.unflatten(0, (-1, size, 1))).transpose(0, 1)  # (n, heads, 1)
        scores = (probes @ hidden.transpose(1, 2) + offsets) * attention.self.scaling
        weights = (scores + _additive(mask, hidden.dtype)[:, 0]).softmax(-1)  # (n, heads, T)
        means = (weights @ hidden).transpose(0, 1) @ value.weight.unflatten(0, (-1, size)).transpose(1, 2)
        context = means.transpose(0, 1).flatten(1) + value.bias
        middle = attention.output(context, first)
        return self.classifier(self.pooler(self.layer.output(self.layer.intermediate(middle), middle)[:, None]))


class SpanHead(nn.Module):
    """The last layer and the start and end vectors: `forward(hidden (n, T, H), mask (n, T))` gives scores (n, T, 2).

    A token's start score is T_i . S and its end score T_i . E (XLA-MAML, appendix); those of padding are very low.
    """

    def __init__(self, layer: nn.Module, vectors: nn.Linear) -> None:
        super().__init__()
        self.layer, self.vectors = layer, vectors

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Start and end scores from the trunk's output and the attention mask (1 for a token, 0 for padding)."""
        scores = self.vectors(self.layer(hidden, _additive(mask, hidden.dtype)))
        return scores.masked_fill(mask[..., None] == 0, -1e4)


def span_loss(scores: Tensor, y: Tensor) -> Tensor:
    """The loss of each example in nats, (n,), from scores (n, T, 2) and the first and last token y (n, 2).

    It is minus the log-likelihood of the start plus that of the end (XLA-MAML, appendix).
    """
    return cross_entropy(scores[..., 0], y[..., 0]) + cross_entropy(scores[..., 1], y[..., 1])


class Trunk(nn.Module):
    """Embeddings and layers: `forward(input_ids, mask, token_type_ids)` gives hidden states (n, T, H)."""

    def __init__(self, embeddings: nn.Module, layers: nn.ModuleList) -> None:
        super().__init__()
        self.embeddings, self.layers = embeddings, layers

    def forward(self, input_ids: Tensor, mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Hidden states from token ids, the attention mask and token types, each (n, T)."""
        hidden = self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        additive = _additive(mask, hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, additive)
        return hidden


class _Whole(nn.Module):
    """A trunk and its head, all of it adapted."""

    def __init__(self, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, input_ids: Tensor, mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.head(self.trunk(input_ids, mask, token_type_ids), mask)


class _Bf16(nn.Module):
    """A module whose matrix products are computed in bfloat16; its outputs are float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, first: Tensor, *rest: Tensor) -> Tensor:
        with torch.autocast(first.device.type, torch.bfloat16, cache_enabled=False):
            return self.module(first, *rest).float()


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask (n, T) as a term to add to attention scores, (n, 1, 1, T)."""
    return (1 - mask.to(dtype))[:, None, None, :] * torch.finfo(dtype).min


def load(name: str, attention: str = "eager", seed: int = 0, task: str = "nli") -> tuple[Any, Any]:
    """The Hugging Face model for a task and its tokenizer; an NLI classifier's rows in the order of LABELS.

    The tokenizer is the one of `tokenizer.json`, where there is that file.

    A checkpoint without the last layer of the task gets a new one, drawn from `seed`, with a warning.
    """
    import transformers
    from transformers import AutoConfig
    from transformers.utils import logging

    kind, last, outputs = {
        "nli": ("ForSequenceClassification", "classifier", len(LABELS)),
        "qa": ("ForQuestionAnswering", "qa_outputs", 2),
    }[task]

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
            raise InputError(f"{name} tells {config.num_labels} classes apart; {TASKS[task].title} needs {outputs}.")
        torch.manual_seed(seed)
        model, report = getattr(transformers, f"AutoModel{kind}").from_pretrained(
            path,
            dtype=torch.float32,
            attn_implementation=attention,
            output_loading_info=True,
            **({} if trained else {"num_labels": outputs}),
        )
        tokenizer = _tokenizer(path, name)
    except InputError:
        raise
    except Exception as error:  # readers of configurations, weights and tokenizers raise what they like
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"The encoder {name} could not be loaded ({reason}); give a Hugging Face directory, or a name while "
            "the hub can be reached."
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
            f"{name} was not trained for {TASKS[task].title}: its last layer was drawn from seed {seed}; fine-tune it "
            "on English first, or expect answers at chance.",
            stacklevel=4,
        )
    elif task == "nli":
        _order_labels(model, name)
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


def _order_labels(model: Any, name: str) -> None:
    """Put the classifier's rows into the order of LABELS, by the names that the checkpoint gives its classes."""
    names = [str(model.config.id2label[i]).lower() for i in range(len(LABELS))]
    if sorted(names) != sorted(LABELS):
        raise InputError(
            f"{name} calls its classes {', '.join(names)}; expected {', '.join(LABELS)}: write them as id2label into "
            "its config.json, in the order that it was trained with."
        )
    numbers = {str(label).lower(): number for label, number in (model.config.label2id or {}).items()}
    if any(numbers.get(label, number) != number for number, label in enumerate(names)):
        raise InputError(
            f"{name} has an id2label that contradicts its label2id; mend the wrong one in its config.json."
        )
    rows = [names.index(label) for label in LABELS]
    last = getattr(model.classifier, "out_proj", model.classifier)
    with torch.no_grad():
        last.weight.copy_(last.weight[rows])
        last.bias.copy_(last.bias[rows])
