"""What a training is made of, by content: the encoder's weights, its tokenizer, and the rows of each language.

A path says where something lay, not what it was. Hashes are of what was really loaded, so that a copied directory, or
an archive that was unpacked, is the same, and a corrected text under the same path is not.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .. import __version__
from .episodes import columns
from .features import Encoder, Features
from .heads import config_of, named_weights

_KEYS = ("model_type", "hidden_act", "layer_norm_eps", "num_attention_heads", "pad_token_id", "max_position_embeddings")
_found: WeakKeyDictionary[Features, dict[str, str]] = WeakKeyDictionary()  # hashes that are known, by what they are of


def made_of(features: Features, languages: Iterable[str]) -> dict[str, Any]:
    """The hashes of the encoder's `weights`, its `tokenizer` and its `texts`, by language (labels and ids with them).

    They do not depend on what is adapted. Each is computed once for these features: the weights of an mBERT take
    about a second.
    """
    known = _found.setdefault(features, {})
    for name in {"weights", "tokenizer", *languages} - known.keys():
        if name == "weights":
            known[name] = _weights(features.encoder)
        elif name == "tokenizer":
            known[name] = _tokenizer(features.encoder.tokenizer)
        else:
            rows = np.flatnonzero(columns(features.corpus)["language"] == name)
            known[name] = content(features.corpus.select(rows).to_dict())
    texts = {code: known[code] for code in sorted(languages)}
    return {"weights": known["weights"], "tokenizer": known["tokenizer"], "texts": texts}


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs, in words; a language that one of the two does not have is no difference."""
    found = [
        words
        for name, words in (("weights", "the weights of the encoder"), ("tokenizer", "its tokenizer"))
        if before[name] != now[name]
    ]
    odd = [code for code, own in now["texts"].items() if before["texts"].get(code, own) != own]
    return found + ([f"the rows in {', '.join(odd)}"] if odd else [])


def _weights(encoder: Encoder) -> str:
    """Of all weights by name, and what else of the configuration enters a forward pass."""
    config = config_of(encoder.learner)
    made = hashlib.sha256(json.dumps([getattr(config, key, None) for key in _KEYS]).encode())
    for name, value in sorted(named_weights(encoder.learner, encoder.trunk).items()):
        made.update(f"{name} {tuple(value.shape)}".encode())
        made.update(memoryview(value.cpu().contiguous().numpy()).cast("B"))
    return made.hexdigest()[:16]


def _tokenizer(tokenizer: Any) -> str:
    """Of all that turns a text into ids: normaliser, vocabulary, merges, special tokens, the longest input."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    whole = json.loads(backend.to_str()) if backend is not None else {"vocabulary": tokenizer.get_vocab()}
    used = {key: value for key, value in whole.items() if key not in ("truncation", "padding")}  # as last called
    return content([used, tokenizer.model_max_length])


def content(value: Any) -> str:
    """The hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    names = ("torch", "transformers", "datasets", "numpy")
    return {"python": platform.python_version(), "minimeta": __version__} | {name: version(name) for name in names}
