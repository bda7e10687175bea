"""A Hugging Face BERT or XLM-R, split into a frozen trunk and an adapted head.

With `adapt="head"` the last layer and what stands on it are adapted, in both loops. The trunk below never changes,
so its output is computed once per example and kept. For NLI, a pooler and a classifier stand on the last layer and read
the first position only, so the head computes the last layer there alone: the same logits at a fraction of the work.
For question answering, every token gets a start and an end score.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from .corpora import LABELS, TASKS
from .errors import InputError
from .inner import Learner, cross_entropy
from .spans import Window, best_spans, first_answer, training_window, windows
from .tasks import Batch

if TYPE_CHECKING:
    from datasets import Dataset

ARCHITECTURES = ("bert", "xlm-roberta")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model")


@dataclass(frozen=True)
class Encoder:
    """An encoder ready for episodes: `learner` holds what is adapted, `trunk` what is not (None: nothing).

    `task` is a key of TASKS. `features(corpus)` turns row numbers of a corpus into the batches that the learner takes.
    """

    name: str
    task: str
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
        return PairFeatures(self, corpus) if self.task == "nli" else SpanFeatures(self, corpus)


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
    return _split(str(name), "nli", adapt, max_length, attention, seed)


def qa(
    name: str | Path,
    adapt: Literal["head", "all"] = "head",
    max_length: int = 384,
    attention: str = "eager",
    seed: int = 0,
) -> Encoder:
    """Load a span model (extractive question answering) from a Hugging Face directory or name, as `nli` does.

    Long passages are cut into windows of `max_length` tokens, a third of which return in the next (XLA-MAML, section
    4.1: 384 and 128). A checkpoint without start and end vectors gets new ones, drawn from `seed`, with a warning.
    """
    return _split(str(name), "qa", adapt, max_length, attention, seed)


def _split(name: str, task: str, adapt: str, max_length: int, attention: str, seed: int) -> Encoder:
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
    learner = Learner(head if adapt == "head" else _Whole(trunk, head), cross_entropy if task == "nli" else span_loss)
    # XLM-R counts positions from its padding id + 1.
    config = model.config
    unused = config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0
    longest = min(max_length, tokenizer.model_max_length, config.max_position_embeddings - unused)
    kept = trunk.requires_grad_(False) if adapt == "head" else None
    return Encoder(name, task, learner.eval(), kept, tokenizer, longest, config.type_vocab_size)


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


class Features:
    """Row numbers (m, n) in, a batch out: `mask` (m, n, T), `y` (m, n, ...) and the learner's inputs.

    The inputs are `hidden` (m, n, T, H) above a frozen trunk, or `input_ids` and `token_type_ids` (m, n, T)
    where everything is adapted. T is the length of the longest example in the batch. What has been computed
    stays in memory: about 2 kB per token and 512 hidden units for the trunk's output, without padding.
    """

    def __init__(self, encoder: Encoder, corpus: Dataset, batch_size: int = 32) -> None:
        self.encoder, self.corpus, self.batch_size = encoder, corpus, batch_size
        self.seconds = 0.0  # spent so far on computing examples
        self.rows: dict[Hashable, dict[str, Tensor]] = {}

    def batch(self, keys: Sequence[Hashable]) -> Batch:
        """The learner's inputs for examples named by their keys, (n, T, ...)."""
        start = time.perf_counter()
        self._compute([key for key in dict.fromkeys(keys) if key not in self.rows])
        self.seconds += time.perf_counter() - start
        device = next(self.encoder.learner.parameters()).device
        return {name: value.to(device) for name, value in _padded([self.rows[key] for key in keys]).items()}

    def _shaped(self, keys: Sequence[Hashable], y: Tensor, rows: Tensor) -> Batch:
        """The batch of a whole episode, in the shape of its row numbers."""
        batch = self.batch(keys)
        device = batch["mask"].device
        return {name: value.unflatten(0, rows.shape) for name, value in batch.items()} | {"y": y.to(device)}

    def _tokens(self, keys: Sequence[Any]) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids and token types of examples."""
        raise NotImplementedError

    def _compute(self, keys: Sequence[Hashable]) -> None:
        if not keys:
            return
        tokens, types = self._tokens(keys)
        if not types or self.encoder.token_types == 1:
            types = [[0] * len(ids) for ids in tokens]
        items = [
            {"input_ids": torch.tensor(ids), "token_type_ids": torch.tensor(kinds)}
            for ids, kinds in zip(tokens, types, strict=True)
        ]
        if self.encoder.trunk is None:
            self.rows.update(zip(keys, items, strict=True))
            return
        # Batches of similar length waste little on padding.
        order = sorted(range(len(keys)), key=lambda i: len(items[i]["input_ids"]))
        device = next(self.encoder.trunk.parameters()).device
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = _padded([items[i] for i in chosen])
            with torch.no_grad():
                hidden = self.encoder.trunk(*(part.to(device) for part in batch.values()))
            for i, row in zip(chosen, hidden.cpu(), strict=True):
                self.rows[keys[i]] = {"hidden": row[: len(items[i]["input_ids"])].clone()}


class PairFeatures(Features):
    """NLI: an example is a row, its premise and its hypothesis; `y` (m, n) are labels."""

    def __init__(self, encoder: Encoder, corpus: Dataset) -> None:
        super().__init__(encoder, corpus)
        self.premises, self.hypotheses = corpus["premise"], corpus["hypothesis"]
        self.labels = torch.tensor(corpus["label"][:])

    def __getitem__(self, rows: Tensor) -> Batch:
        return self._shaped(rows.flatten().tolist(), self.labels[rows], rows)

    def _tokens(self, keys: Sequence[int]) -> tuple[list[list[int]], list[list[int]]]:
        tokens = self.encoder.tokenizer(
            [self.premises[row] for row in keys],
            [self.hypotheses[row] for row in keys],
            truncation="longest_first",
            max_length=self.encoder.max_length,
        )
        return tokens["input_ids"], tokens.get("token_type_ids") or []


class SpanFeatures(Features):
    """Question answering: an example is (row, window), and a row in an episode its window to learn from.

    `y` (m, n, 2) are the first and the last token of the answer (the first answer, where there are several).
    """

    def __init__(self, encoder: Encoder, corpus: Dataset) -> None:
        super().__init__(encoder, corpus)
        self.questions, self.contexts, self.answers = corpus["question"], corpus["context"], corpus["answers"]
        self._windows: dict[int, list[Window]] = {}

    def __getitem__(self, rows: Tensor) -> Batch:
        wanted = rows.flatten().tolist()
        number = {row: training_window(found) for row, found in self.windows(wanted).items()}
        keys = [(row, number[row]) for row in wanted]
        spans = [[self._windows[row][part].start, self._windows[row][part].end] for row, part in keys]
        return self._shaped(keys, torch.tensor(spans).reshape(*rows.shape, 2), rows)

    def windows(self, rows: Sequence[int]) -> dict[int, list[Window]]:
        """The windows of each of these rows."""
        new = [row for row in dict.fromkeys(rows) if row not in self._windows]
        if new:
            found = windows(
                self.encoder.tokenizer,
                [self.questions[row] for row in new],
                [self.contexts[row] for row in new],
                [first_answer(self.answers[row]) for row in new],
                self.encoder.max_length,
                self.encoder.max_length // 3,
            )
            self._windows.update(zip(new, found, strict=True))
        return {row: self._windows[row] for row in rows}

    def predict(self, learner: Learner, rows: Sequence[int]) -> list[str]:
        """The learner's answer to each of these rows: its best valid span over all windows, as text."""
        keys = [(row, number) for row, found in self.windows(rows).items() for number in range(len(found))]
        keys.sort(key=lambda key: len(self._windows[key[0]][key[1]].input_ids))
        best: dict[int, tuple[float, str]] = {}
        for start in range(0, len(keys), self.batch_size):
            some = keys[start : start + self.batch_size]
            batch = self.batch(some)
            with torch.no_grad():
                scores = learner.outputs(batch)
            if not scores.isfinite().all():
                raise InputError("The scores are not finite; lower the inner or the outer rate of the training.")
            found = [self._windows[row][number] for row, number in some]
            inside = [torch.tensor([place is not None for place in window.places]) for window in found]
            values, first, last = best_spans(
                scores, nn.utils.rnn.pad_sequence(inside, batch_first=True).to(scores.device)
            )
            for (row, _), window, value, i, j in zip(
                some, found, values[:, 0].tolist(), first[:, 0].tolist(), last[:, 0].tolist(), strict=True
            ):
                if row not in best or value > best[row][0]:
                    best[row] = (value, window.text(self.contexts[row], i, j))
        return [best[row][1] for row in rows]

    def _tokens(self, keys: Sequence[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
        found = [self._windows[row][number] for row, number in keys]
        return [window.input_ids for window in found], [window.token_types for window in found]


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


def load(name: str, attention: str = "eager", seed: int = 0, task: str = "nli") -> tuple[Any, Any]:
    """The Hugging Face model for a task and its tokenizer; an NLI classifier's rows in the order of LABELS.

    A checkpoint without the last layer of the task gets a new one, drawn from `seed`, with a warning.
    """
    import transformers
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging

    kind, last, outputs = {
        "nli": ("ForSequenceClassification", "classifier", len(LABELS)),
        "qa": ("ForQuestionAnswering", "qa_outputs", 2),
    }[task]

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
        trained = any(architecture.endswith(kind) for architecture in config.architectures or [])
        if trained and config.num_labels != outputs:
            raise InputError(f"{name} tells {config.num_labels} classes apart; {TASKS[task]} needs {outputs}.")
        torch.manual_seed(seed)
        model, report = getattr(transformers, f"AutoModel{kind}").from_pretrained(
            path,
            dtype=torch.float32,
            attn_implementation=attention,
            output_loading_info=True,
            **({} if trained else {"num_labels": outputs}),
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
    if any(not key.startswith((last, f"{model.base_model_prefix}.pooler")) for key in missing):
        raise InputError(f"{name} lacks weights of its encoder, {missing[0]} for one; it may be cut short.")
    if missing:
        warnings.warn(
            f"{name} was not trained for {TASKS[task]}: its last layer was drawn from seed {seed}; fine-tune it on "
            "English first, or expect answers at chance.",
            stacklevel=4,
        )
    elif task == "nli":
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
