"""The tiny encoder: a BERT of 1.3 million weights, pretrained on the mini world's unlabelled text.

It reads pairs of texts, the second one often in another language than the first. It learns to fill in masked words,
and to say of every other word whether the other text has it too (or a translation of it: the two texts exist in both
languages). This is akin to replaced token detection (ELECTRA, Clark et al. 2020; across languages in XLM-E, Chi et
al. 2022). Word vectors begin as a latent semantic analysis of a few parallel sentences, so translations begin close.
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
from .phrases import LANGUAGES, table

if TYPE_CHECKING:
    from datasets import Dataset

VOCABULARY, LENGTH = 9000, 256
STEPS, BATCH, RATE = 1000, 64, 2e-3
MASKED = 0.15
CROSSED, PASSAGES = 0.3, 0.1  # shares of the pairs in two languages, and of the batches with questions and passages
PARALLEL = 500
"""The parallel sentences that the word vectors are made from: the fewer, the less languages have in common."""

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_NONE = -100  # a place without a label
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
        tokenizer_object=made,
        model_max_length=LENGTH,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],  # without it, no token types
        **dict(zip(names, _SPECIAL, strict=True)),
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
    weights = 1 / np.sqrt(counts[rows])
    rng = np.random.default_rng(seed)
    left, values, _ = svds(
        coo_array((weights, (rows, columns)), shape=(words, columns.max() + 1)).tocsr(), size, rng=rng
    )
    vectors = left * values
    vectors -= vectors[counts > 0].mean(0)
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
        embeddings.word_embeddings.weight.mul_(0.2).add_(0.08 * size**0.5 * vectors)
        embeddings.position_embeddings.weight.mul_(0.2)
        embeddings.token_type_embeddings.weight.mul_(3)
        for layer in model.bert.encoder.layer:
            layer.attention.self.query.weight.normal_(std=0.1)
            layer.attention.self.key.weight.copy_(layer.attention.self.query.weight)
    return model


class _Examples(torch.utils.data.Dataset):
    """Example `i` is drawn from (seed, i). A batch holds pairs of sentences, or questions with their passages."""

    def __init__(self, sentences: _Columns, passages: _Columns, tokenizer: Any, count: int, seed: int) -> None:
        self.sentences, self.passages, self.tokenizer = sentences, passages, tokenizer
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> dict[str, list[int]]:
        kind = np.random.default_rng((self.seed, i // BATCH, 0, 1)).random()
        rng = np.random.default_rng((self.seed, i, 0, 2))
        texts = self.passages if kind < PASSAGES else self.sentences
        codes = list(texts)
        one, other = (codes[k] for k in rng.permutation(len(codes))[:2])
        if rng.random() >= CROSSED:
            other = one
        row = rng.integers(len(texts[one][0]))
        first, second = texts[one][0][row], texts[other][1][row]
        # Each text is compared with the other one in its own language.
        in_second, in_first = set(texts[one][1][row]), set(texts[other][0][row])
        start, end = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        shared = [_NONE, *(word in in_second for word in first), _NONE, *(word in in_first for word in second), _NONE]
        types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
        found = {"input_ids": [start, *first, end, *second, end], "token_type_ids": types, "shared": shared}
        return {name: values[:LENGTH] for name, values in found.items()}


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
    from torch.nn.utils.rnn import pad_sequence
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    tokenizer = train_tokenizer()
    sentences = _encoded(mini_nli(splits=("train",)), ("premise", "hypothesis"), tokenizer)
    passages = _encoded(mini_qa(splits=("train",)), ("question", "context"), tokenizer)
    chosen = np.random.default_rng((seed, 0, 3)).permutation(len(sentences["en"][1]))[:PARALLEL]
    parallel = [[columns[1][row] for row in chosen] for columns in sentences.values()]
    model = new_model(word_vectors(parallel, len(tokenizer), 96, seed), seed)
    model.shared = nn.Linear(96, 1)  # scores a word as shared with the other text; not kept
    masked = DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=MASKED, mask_replace_prob=1, random_replace_prob=0, seed=seed
    )

    def batch(examples: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        shared = [torch.tensor(example.pop("shared")) for example in examples]
        return {**masked(examples), "shared": pad_sequence(shared, batch_first=True, padding_value=_NONE)}

    class Pretraining(Trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            return super().create_scheduler(STEPS, optimizer)

        def compute_loss(self, model: Any, inputs: dict[str, Tensor], **_: Any) -> Tensor:
            """Cross-entropy of the masked words plus that of "is it shared?", over all other words."""
            words, shared = inputs.pop("labels"), inputs.pop("shared")
            hidden = model.bert(**inputs).last_hidden_state
            hide = words != _NONE
            seen = (shared != _NONE) & ~hide
            scores = model.shared(hidden[seen]).squeeze(-1)
            filled = nn.functional.cross_entropy(model.cls(hidden[hide]), words[hide])
            return filled + nn.functional.binary_cross_entropy_with_logits(scores, shared[seen].float())

    trainer = Pretraining(
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
        data_collator=batch,
        train_dataset=_Examples(sentences, passages, tokenizer, steps * BATCH, seed),
    )
    loss = trainer.train().training_loss
    del model.shared
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return loss
