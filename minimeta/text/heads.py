"""The parts of an encoder: a trunk that may stay frozen, and the heads that stand on it, for NLI and for answers.

For NLI, a pooler and a classifier stand on the last layer and read the first position only, so the head computes the
last layer there alone: the same logits at a fraction of the work. For question answering, every token gets a start and
an end score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..inner import cross_entropy
from ..tasks import Batch


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


class Whole(nn.Module):
    """A trunk and its head, all of it adapted."""

    def __init__(self, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, input_ids: Tensor, mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """What the head makes of the trunk's output."""
        return self.head(self.trunk(input_ids, mask, token_type_ids), mask)


class Bf16(nn.Module):
    """A module whose matrix products are computed in bfloat16; its outputs are float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, first: Tensor, *rest: Tensor) -> Tensor:
        """What the module makes of its inputs, in float32."""
        with torch.autocast(first.device.type, torch.bfloat16, cache_enabled=False):
            return self.module(first, *rest).float()


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask (n, T) as a term to add to attention scores, (n, 1, 1, T)."""
    return (1 - mask.to(dtype))[:, None, None, :] * torch.finfo(dtype).min


def named_weights(learner: nn.Module, trunk: nn.Module | None) -> dict[str, Tensor]:
    """All weights of a learner and of the trunk that it stands on, if it is none of its own.

    They have the same names whether the learner holds the head alone, all of it, or either in bfloat16.
    """
    adapted = learner.state_dict()
    plain = {re.sub(r"^(module\.)*((trunk|head)\.)?", "", name): value for name, value in adapted.items()}
    return (trunk.state_dict() if trunk is not None else {}) | plain


def config_of(learner: nn.Module) -> Any:
    """The Hugging Face configuration of a learner's layers."""
    return next(part.config for part in learner.modules() if hasattr(part, "config"))


def padded(items: Sequence[dict[str, Tensor]], length: int | None = None) -> Batch:
    """Examples (T_i, ...) as one batch (n, T, ...), in the order in which an encoder's modules take their inputs.

    That is the first tensor, the attention mask, the rest. T is `length` (of ids), or else that of the longest example.
    """
    batch = {name: nn.utils.rnn.pad_sequence([item[name] for item in items], batch_first=True) for name in items[0]}
    if length:
        batch = {name: nn.functional.pad(value, (0, length - value.shape[1])) for name, value in batch.items()}
    first = next(iter(batch))
    lengths = torch.tensor([len(item[first]) for item in items])
    mask = (torch.arange(batch[first].shape[1]) < lengths[:, None]).long()
    return {first: batch.pop(first), "mask": mask} | batch
