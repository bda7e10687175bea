"""The tiny encoder: a BERT of about a million weights, pretrained on the mini world's unlabelled text.

Word vectors come from latent semantic analysis of a few parallel sentences, which brings translations together;
masked language modelling, on pairs of sentences, translations and passages, does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .corpora import mini_nli, mini_qa
from .languages import LANGUAGES
from .phrases import table

if TYPE_CHECKING:
    from datasets import Dataset

VOCABULARY, LENGTH = 6000, 256
STEPS, BATCH, RATE = 1200, 32, 2e-3
MASKED = 0.3
KINDS = {"passages": 0.05, "translations": 0.4}  # shares of the batches; the others hold pairs in one language
PARALLEL = 1000
"""The parallel sentences that the word vectors are made from: the fewer, the less languages have in common."""

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# The columns of a corpus for each language, as texts or as token ids.
_Columns = dict[str, list[list[Any]]]


def train_tokenizer() -> Any:
    """A byte-pair vocabulary of the phrases of all languages, in lower case, as a Hugging Face tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tables = [table(language) for language in LANGUAGES]
    phrases = [
        phrase.replace("|", " ") for one in tables for pairs in one.genres.values() for pair in pairs for phrase in pair
    ]
    phrases += [text.replace("{", " {") for one in tables for text in one.common.values()]
    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    made.train_from_iterator(
        phrases,
        trainers.BpeTrainer(vocab_size=VOCABULARY, min_frequency=0, special_tokens=_SPECIAL, show_progress=False),
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=LENGTH, **dict(zip(names, _SPECIAL, strict=True))
    )


def word_vectors(sentences: Sequence[Sequence[list[int]]], words: int, size: int, seed: int) -> Tensor:
    """Vectors (words, size) of length 1 by latent semantic analysis, from parallel sentences of each language.

    A word is described by the sentences that it stands in, whatever its language, so that translations begin
    close together (Levy et al. 2017). Words that stand in none of the sentences get random vectors.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import svds

    stands = {(word, number) for parallel in sentences for number, ids in enumerate(parallel) for word in ids}
    rows, columns = np.array(sorted(stands)).T
    counts = np.bincount(rows, minlength=words)
    weights = np.log1p(len(sentences[0]) / counts[rows]) / np.sqrt(counts[rows])
    rng = np.random.default_rng(seed)
    left, values, _ = svds(
        coo_array((weights, (rows, columns)), shape=(words, columns.max() + 1)).tocsr(), size, rng=rng
    )
    vectors = left * values
    vectors[counts == 0] = rng.standard_normal((int((counts == 0).sum()), size))
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).float()


def new_model(vectors: Tensor, seed: int) -> nn.Module:
    """A BERT with these word vectors, whose first steps are easy.

    Queries and keys start equal, words weigh more than positions and segments are told apart clearly: so a word
    attends to the same word in the other sentence from the first step. Without this, comparing two sentences is
    not learned within minutes.
    """
    from transformers import BertConfig, BertForMaskedLM, set_seed

    set_seed(seed)
    words, size = vectors.shape
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=words,
            hidden_size=size,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=4 * size,
            max_position_embeddings=LENGTH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.05,
            pad_token_id=_SPECIAL.index("[PAD]"),
        )
    )
    with torch.no_grad():
        embeddings = model.bert.embeddings
        embeddings.word_embeddings.weight.mul_(0.2).add_(0.3 * size**0.5 * vectors)
        embeddings.position_embeddings.weight.mul_(0.2)
        embeddings.token_type_embeddings.weight.mul_(3)
        for layer in model.bert.encoder.layer:
            layer.attention.self.query.weight.normal_(std=0.1)
            layer.attention.self.key.weight.copy_(layer.attention.self.query.weight)
    return model


class _Examples(torch.utils.data.Dataset):
    """Example `i` is drawn from (seed, i). The examples of a batch are of one kind, so of similar length."""

    def __init__(self, pairs: _Columns, passages: _Columns, tokenizer: Any, count: int, seed: int) -> None:
        self.pairs, self.passages, self.tokenizer = pairs, passages, tokenizer
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> dict[str, list[int]]:
        kind = np.random.default_rng((self.seed, i // BATCH, 0, 1)).random()
        rng = np.random.default_rng((self.seed, i, 0, 2))
        codes = list(self.pairs)
        one, other = (codes[k] for k in rng.permutation(len(codes))[:2])
        columns = self.passages[one] if kind < KINDS["passages"] else self.pairs[one]
        row, side = rng.integers(len(columns[0])), rng.integers(2)
        first, second = columns[0][row], columns[1][row]
        if KINDS["passages"] <= kind < sum(KINDS.values()):
            first, second = columns[side][row], self.pairs[other][side][row]
        start, end = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
        return {"input_ids": [start, *first, end, *second, end][:LENGTH], "token_type_ids": types[:LENGTH]}


def _encoded(corpus: Dataset, columns: Sequence[str], tokenizer: Any) -> _Columns:
    """Columns as token ids, language by language; each text is looked up once."""
    parts = corpus.select_columns(["language", *columns]).to_pandas().groupby("language", sort=False)
    texts = list(dict.fromkeys(chain(*(corpus[column][:] for column in columns))))
    ids = dict(zip(texts, tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True))
    return {code: [[ids[text] for text in part[column]] for column in columns] for code, part in parts}


def pretrain(out: str | Path, seed: int = 0, steps: int = STEPS) -> float:
    """Train the tokenizer and the tiny encoder and write both to `out`; returns the mean loss.

    The rate falls to zero over STEPS steps; fewer `steps` only stop earlier.
    """
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    tokenizer = train_tokenizer()
    pairs = _encoded(mini_nli(splits=("train",)), ("premise", "hypothesis"), tokenizer)
    passages = _encoded(mini_qa(splits=("train",)), ("question", "context"), tokenizer)
    chosen = np.random.default_rng((seed, 0, 3)).permutation(len(pairs["en"][1]))[:PARALLEL]
    parallel = [[columns[1][row] for row in chosen] for columns in pairs.values()]
    model = new_model(word_vectors(parallel, len(tokenizer), 96, seed), seed)

    class MaskedOnly(Trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            return super().create_scheduler(STEPS, optimizer)

        def compute_loss(self, model: Any, inputs: dict[str, Tensor], **_: Any) -> Tensor:
            """Cross-entropy of the masked words; the vocabulary is scored at their positions alone."""
            labels = inputs.pop("labels")
            hidden = model.bert(**inputs).last_hidden_state[labels != -100]
            return nn.functional.cross_entropy(model.cls(hidden), labels[labels != -100])

    trainer = MaskedOnly(
        model,
        TrainingArguments(
            output_dir=str(out),
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            warmup_steps=0.1,  # a share of all steps
            weight_decay=0.01,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=seed,
        ),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED, seed=seed),
        train_dataset=_Examples(pairs, passages, tokenizer, steps * BATCH, seed),
    )
    loss = trainer.train().training_loss
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return loss
