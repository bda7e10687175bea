"""A learner as a Hugging Face directory: trunk and head put together again, as they are in memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, first_line
from ..files import whole_directory, write_json
from ..inner import Learner
from .encoders import quiet
from .features import Encoder
from .heads import config_of, named_weights


def save(learner: Learner, encoder: Encoder, out: str | Path, card: str, made: dict[str, Any]) -> None:
    """Write a learner on this encoder to the directory `out`, whole or not at all; what was there goes.

    It is a model that transformers loads, with parameters in float32 and its classes by name in the order of the
    encoder's, with the encoder's tokenizer, whose longest input is the encoder's; `card` becomes its README.md and
    `made` its made.json, which is the record of how it was made. Raises InputError if it cannot be written.
    """
    import transformers

    state = weights(learner, encoder)
    config = copy.deepcopy(config_of(learner))
    if encoder.classes:
        config.id2label = dict(enumerate(encoder.classes))
        config.label2id = {name: number for number, name in enumerate(encoder.classes)}
    kind = "ForSequenceClassification" if encoder.classes else "ForQuestionAnswering"
    with torch.device("meta"):  # its own weights are not drawn only to be replaced
        model = getattr(transformers, f"AutoModel{kind}").from_config(config)
    model.load_state_dict(state, assign=True)
    tokenizer = copy.deepcopy(encoder.tokenizer)
    tokenizer.model_max_length = encoder.max_length
    try:
        with quiet(), whole_directory(Path(out)) as unfinished:
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
            (unfinished / "README.md").write_text(card, encoding="utf-8")
            write_json(unfinished / "made.json", made)
    except Exception as error:  # of the system or of safetensors, which has its own for a full disk
        raise InputError(
            f"The model {out} could not be written ({first_line(error)}); see to it, then start again."
        ) from None


def weights(learner: Learner, encoder: Encoder) -> dict[str, Tensor]:
    """All weights of a learner on this encoder, by the names that they have in transformers."""
    config = config_of(learner)
    base = "roberta" if config.model_type == "xlm-roberta" else "bert"
    places = {
        "embeddings": f"{base}.embeddings",
        "layers": f"{base}.encoder.layer",
        "layer": f"{base}.encoder.layer.{config.num_hidden_layers - 1}",
        "pooler": f"{base}.pooler",
        "classifier": "classifier",
        "vectors": "qa_outputs",
    }
    found = {}
    for name, value in named_weights(learner, encoder.trunk).items():
        part, rest = name.split(".", 1)
        found[f"{places[part]}.{rest}"] = value.detach().cpu().contiguous()
    return found
