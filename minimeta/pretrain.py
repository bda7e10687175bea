"""The tiny encoder: a BERT of half a million parameters, pretrained on the mini world's unlabelled text.

Masked language modelling on sentences, on pairs of sentences of one language and on translations, and
contrastive alignment: the mean state of an English sentence at the second layer should be nearer to its
translation's than to those of other sentences (InfoNCE).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .corpora import mini_nli, mini_qa
from .encoders import Trunk

VOCABULARY = 2500
STEPS = 2000
BATCH = 24
TRANSLATIONS = 0.3  # share of masked examples that are translations; the others are of one language
PASSAGES = 0.1
ALIGNMENT_WEIGHT, ALIGNMENT_LAYER, TEMPERATURE = 0.3, 2, 0.1
RATE = 2e-3
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def train_tokenizer(texts: Sequence[str]) -> Any:
    """A byte-pair vocabulary over all languages, lower case, as a Hugging Face tokenizer in BERT's format."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=_SPECIAL, show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=256,
    )


class _Examples(torch.utils.data.Dataset):
    """Example `i` is drawn from (seed, i): one to mask, and a sentence in English and in another language."""

    def __init__(self, tokenizer: Any, count: int, seed: int) -> None:
        self.tokenizer, self.count, self.seed = tokenizer, count, seed
        self.pairs, self.passages = (
            {
                code: [tokenizer(part[column].to_list(), add_special_tokens=False)["input_ids"] for column in columns]
                for code, part in corpus.to_pandas().groupby("language", sort=False)
            }
            for corpus, columns in (
                (mini_nli(splits=("train",)), ("premise", "hypothesis")),
                (mini_qa(splits=("train",)), ("question", "context")),
            )
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> dict[str, Any]:
        # A batch holds examples of one kind, of similar length, so that little is spent on padding.
        kind = np.random.default_rng((self.seed, i // BATCH, 0, 1)).random()
        rng = np.random.default_rng((self.seed, i, 0, 2))
        codes = list(self.pairs)
        one, other = (codes[k] for k in rng.permutation(len(codes))[:2])
        side = rng.integers(2)
        sources = self.passages if kind < PASSAGES else self.pairs
        row = rng.integers(len(sources[one][0]))
        masked = sources[one][0][row], sources[one][1][row]
        if PASSAGES <= kind < PASSAGES + TRANSLATIONS:
            masked = self.pairs[one][side][row], self.pairs[other][side][row]
        foreign = [code for code in codes if code != "en"][rng.integers(len(codes) - 1)]
        row = rng.integers(len(self.pairs["en"][0]))
        return {
            "masked": self._joined(*masked),
            "english": self._joined(self.pairs["en"][side][row]),
            "foreign": self._joined(self.pairs[foreign][side][row]),
        }

    def _joined(self, first: list[int], second: list[int] | None = None) -> dict[str, list[int]]:
        start, end = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        parts = [[start, *first, end], [*second, end] if second else []]
        return {
            "input_ids": [*parts[0], *parts[1]][: self.tokenizer.model_max_length],
            "token_type_ids": ([0] * len(parts[0]) + [1] * len(parts[1]))[: self.tokenizer.model_max_length],
        }


def _together(tokenizer: Any, seed: int) -> Any:
    """Examples to a batch: padded, and masked by transformers' own collator."""
    from transformers import DataCollatorForLanguageModeling

    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=seed)

    def collate(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = dict(mask([example["masked"] for example in examples]))
        for side in ("english", "foreign"):
            batch[side] = dict(tokenizer.pad([example[side] for example in examples], return_tensors="pt"))
        return batch

    return collate


def masked_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of the masked tokens; the vocabulary is scored at their positions alone."""
    labels = batch.pop("labels")
    hidden = model.bert(**batch).last_hidden_state[labels != -100]
    return nn.functional.cross_entropy(model.cls(hidden), labels[labels != -100])


def alignment_loss(model: nn.Module, english: dict[str, Tensor], foreign: dict[str, Tensor]) -> Tensor:
    """InfoNCE, both ways: each sentence should be nearest to its translation among those in the batch."""
    lower = Trunk(model.bert.embeddings, model.bert.encoder.layer[:ALIGNMENT_LAYER])
    means = []
    for side in (english, foreign):
        hidden = lower(side["input_ids"], side["attention_mask"], side["token_type_ids"])
        mask = side["attention_mask"][..., None].to(hidden.dtype)
        means.append(nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
    scores = means[0] @ means[1].T / TEMPERATURE
    target = torch.arange(len(scores), device=scores.device)
    return (nn.functional.cross_entropy(scores, target) + nn.functional.cross_entropy(scores.T, target)) / 2


def pretrain(out: str | Path, seed: int = 0, steps: int = STEPS) -> dict[str, float]:
    """Train the tokenizer and the tiny encoder and write both to `out`; returns the last losses."""
    from transformers import BertConfig, BertForMaskedLM, Trainer, TrainingArguments, set_seed

    texts = [
        text
        for corpus, columns in (
            (mini_nli(splits=("train",)), ("premise", "hypothesis")),
            (mini_qa(splits=("train",)), ("question",)),
        )
        for column in columns
        for text in corpus[column][:]
    ]
    tokenizer = train_tokenizer(texts)
    set_seed(seed)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=384,
            max_position_embeddings=tokenizer.model_max_length,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation="eager",
        )
    )

    class Aligned(Trainer):
        def compute_loss(self, model: nn.Module, inputs: dict[str, Any], **_: Any) -> Tensor:
            english, foreign = inputs.pop("english"), inputs.pop("foreign")
            masked = masked_loss(model, inputs)
            aligned = alignment_loss(model, english, foreign)
            self.parts = {"masked": masked.detach(), "aligned": aligned.detach()}
            return masked + ALIGNMENT_WEIGHT * aligned

    trainer = Aligned(
        model,
        TrainingArguments(
            output_dir=str(out),
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            warmup_steps=0.1,
            lr_scheduler_type="linear",
            weight_decay=0.01,
            train_sampling_strategy="sequential",
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            save_strategy="no",
            report_to=[],
            logging_steps=200,
            disable_tqdm=True,
            seed=seed,
        ),
        data_collator=_together(tokenizer, seed),
        train_dataset=_Examples(tokenizer, steps * BATCH, seed),
    )
    trainer.train()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {name: float(value) for name, value in trainer.parts.items()}
