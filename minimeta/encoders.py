"""A Hugging Face BERT or XLM-R, split into a frozen trunk and an adapted head.

With `adapt="head"` the last layer, the pooler and the classifier are adapted, in both loops. The trunk below
never changes, so its output is computed once per example and kept. The classifier reads the first position
only, so the head computes the last layer there alone: the same logits at a fraction of the work.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from .corpora import LABELS
from .errors import InputError
from .inner import Learner, cross_entropy
from .tasks import Batch

if TYPE_CHECKING:
    from datasets import Dataset

ARCHITECTURES = ("bert", "xlm-roberta")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model")


@dataclass(frozen=True)
class Encoder:
    """An encoder ready for episodes: `learner` holds what is adapted, `trunk` what is not (None: nothing).

    `features(corpus)` turns row numbers of a corpus into the batches that the learner takes.
    """

    name: str
    learner: Learner
    trunk: nn.Module | None
    tokenizer: Any
    max_length: int
    token_types: int

    def to(self, device: str) -> Encoder:
        """Move the encoder to a device, in place."""
        self.learner.to(device)
        if self.trunk is not None:
            self.trunk.to(device)
        return self

    def features(self, corpus: Dataset) -> Features:
        """The rows of `corpus` as batches; computed when first asked for and kept."""
        return Features(self, corpus)


def nli(
    name: str | Path,
    adapt: Literal["head", "all"] = "head",
    max_length: int = 128,
    attention: str = "eager",
    seed: int = 0,
) -> Encoder:
    """Load an NLI classifier from a Hugging Face directory or name and choose what is adapted.

    Logits are in the order of `corpora.LABELS`, whatever order the checkpoint has. A checkpoint without a
    classifier gets a new one, drawn from `seed`, with a warning. Dropout is off. Only `attention="eager"` has
    the second derivative that second-order meta-gradients need.
    """
    if adapt not in ("head", "all"):
        raise InputError(f"adapt={adapt!r} is not known; adapt 'head' or 'all'.")
    model, tokenizer = load(str(name), attention, seed)
    model.eval()
    base = getattr(model, model.base_model_prefix)
    body = nn.ModuleDict({"embeddings": base.embeddings, "layers": base.encoder.layer})
    pooler = getattr(base, "pooler", None) or nn.Identity()
    if adapt == "all":
        module: nn.Module = _Whole(body, pooler, model.classifier)
        trunk = None
    else:
        module = Head(body["layers"][-1], pooler, model.classifier)
        trunk = Trunk(body["embeddings"], nn.ModuleList(body["layers"][:-1])).requires_grad_(False)
    # XLM-R counts positions from its padding id + 1.
    config = model.config
    unused = config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0
    longest = min(max_length, tokenizer.model_max_length, config.max_position_embeddings - unused)
    return Encoder(str(name), Learner(module, cross_entropy).eval(), trunk, tokenizer, longest, config.type_vocab_size)


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
    """The whole classifier, all of it adapted; the last layer as in `Head`."""

    def __init__(self, body: nn.ModuleDict, pooler: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.trunk = Trunk(body["embeddings"], nn.ModuleList(body["layers"][:-1]))
        self.head = Head(body["layers"][-1], pooler, classifier)

    def forward(self, input_ids: Tensor, mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.head(self.trunk(input_ids, mask, token_type_ids), mask)


class Features:
    """Row numbers (m, n) in, a batch out: `mask` (m, n, T), `y` (m, n) and the learner's inputs.

    The inputs are `hidden` (m, n, T, H) above a frozen trunk, or `input_ids` and `token_type_ids` (m, n, T)
    where everything is adapted. T is the length of the longest example in the batch. What has been computed
    stays in memory: about 2 kB per token and 512 hidden units for the trunk's output, without padding.
    """

    def __init__(self, encoder: Encoder, corpus: Dataset, batch_size: int = 32) -> None:
        self.encoder, self.corpus, self.batch_size = encoder, corpus, batch_size
        self.seconds = 0.0  # spent so far on computing rows
        self.premises, self.hypotheses = corpus["premise"], corpus["hypothesis"]
        self.labels = torch.tensor(corpus["label"][:])
        self.rows: dict[int, dict[str, Tensor]] = {}

    def __getitem__(self, rows: Tensor) -> Batch:
        wanted = rows.flatten().tolist()
        start = time.perf_counter()
        self._compute([row for row in dict.fromkeys(wanted) if row not in self.rows])
        self.seconds += time.perf_counter() - start
        device = next(self.encoder.learner.parameters()).device
        batch = _padded([self.rows[row] for row in wanted])
        shaped = {name: value.unflatten(0, rows.shape).to(device) for name, value in batch.items()}
        return shaped | {"y": self.labels[rows].to(device)}

    def _compute(self, rows: Sequence[int]) -> None:
        if not rows:
            return
        tokens = self.encoder.tokenizer(
            [self.premises[row] for row in rows],
            [self.hypotheses[row] for row in rows],
            truncation="longest_first",
            max_length=self.encoder.max_length,
        )
        types = tokens.get("token_type_ids")
        if not types or self.encoder.token_types == 1:
            types = [[0] * len(ids) for ids in tokens["input_ids"]]
        items = [
            {"input_ids": torch.tensor(ids), "token_type_ids": torch.tensor(kinds)}
            for ids, kinds in zip(tokens["input_ids"], types, strict=True)
        ]
        if self.encoder.trunk is None:
            self.rows.update(zip(rows, items, strict=True))
            return
        # Batches of similar length waste little on padding.
        order = sorted(range(len(rows)), key=lambda i: len(items[i]["input_ids"]))
        device = next(self.encoder.trunk.parameters()).device
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = _padded([items[i] for i in chosen])
            with torch.no_grad():
                hidden = self.encoder.trunk(*(part.to(device) for part in batch.values()))
            for i, row in zip(chosen, hidden.cpu(), strict=True):
                self.rows[rows[i]] = {"hidden": row[: len(items[i]["input_ids"])].clone()}


def _padded(items: Sequence[dict[str, Tensor]]) -> Batch:
    """Examples (T_i, ...) as one batch (n, T, ...), in the order in which the modules above take their inputs.

    That is the first tensor, the attention mask, the rest.
    """
    first, *rest = (
        (name, nn.utils.rnn.pad_sequence([item[name] for item in items], batch_first=True)) for name in items[0]
    )
    lengths = torch.tensor([len(item[first[0]]) for item in items])
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    return dict([first, ("mask", mask), *rest])


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask (n, T) as a term to add to attention scores, (n, 1, 1, T)."""
    return (1 - mask.to(dtype))[:, None, None, :] * torch.finfo(dtype).min


def load(name: str, attention: str = "eager", seed: int = 0) -> tuple[Any, Any]:
    """The Hugging Face classifier and its tokenizer, with the classifier's rows in the order of LABELS.

    A checkpoint without a classifier gets a new one, drawn from `seed`, with a warning.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    looks_local = name.startswith((".", "/", "~")) or Path(name).is_dir()
    path = str(Path(name).expanduser()) if looks_local else name
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
        if looks_local and not any((Path(path) / file).is_file() for file in _TOKENIZERS):
            raise InputError(f"{name} has no tokenizer; expected one of {', '.join(_TOKENIZERS)} beside config.json.")
        trained = any(kind.endswith("ForSequenceClassification") for kind in config.architectures or [])
        if trained and config.num_labels != len(LABELS):
            raise InputError(f"{name} tells {config.num_labels} classes apart; NLI needs {len(LABELS)}.")
        torch.manual_seed(seed)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            path,
            dtype=torch.float32,
            attn_implementation=attention,
            output_loading_info=True,
            **({} if trained else {"num_labels": len(LABELS)}),
        )
        tokenizer = AutoTokenizer.from_pretrained(path)
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, ImportError, pickle.UnpicklingError, SafetensorError) as error:
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
    if any(not key.startswith(("classifier", f"{model.base_model_prefix}.pooler")) for key in missing):
        raise InputError(f"{name} lacks weights of its encoder, {missing[0]} for one; it may be cut short.")
    if missing:
        warnings.warn(
            f"{name} has no trained NLI classifier: a new one was drawn from seed {seed}; fine-tune it on English "
            "first, or expect accuracy at chance.",
            stacklevel=3,
        )
    else:
        _order_labels(model, name)
    return model, tokenizer


def _order_labels(model: Any, name: str) -> None:
    """Put the classifier's rows into the order of LABELS, if the checkpoint names its classes."""
    names = [str(model.config.id2label[i]).lower() for i in range(len(LABELS))]
    if all(label.startswith("label_") for label in names):
        return
    if sorted(names) != sorted(LABELS):
        raise InputError(f"{name} calls its classes {', '.join(names)}; expected {', '.join(LABELS)}.")
    rows = [names.index(label) for label in LABELS]
    last = getattr(model.classifier, "out_proj", model.classifier)
    with torch.no_grad():
        last.weight.copy_(last.weight[rows])
        last.bias.copy_(last.bias[rows])
