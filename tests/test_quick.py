"""Quick comparisons in memory: they are those of a study, and what a notebook says of its numbers follows from them."""

import numpy as np
import pytest
import torch

from minimeta.errors import InputError
from minimeta.studies import quick
from minimeta.studies.intervals import paired_differences
from minimeta.text.episodes import rows_of, sampler


@pytest.fixture(scope="module")
def trials():
    torch.set_num_threads(1)
    return quick.Quick(quick.two_genres())


def test_two_genres_have_a_train_split_in_english_alone(trials):
    corpus = trials.features.corpus
    assert set(corpus["genre"]) == {"fiction", "travel"}
    train = [code for code, split in zip(corpus["language"], corpus["split"], strict=True) if split == "train"]
    assert set(train) == {"en"} and len(train) == 1440 and len(rows_of(corpus, "hi", "dev")) == 288


def test_right_says_which_rows_a_learner_gets_right(trials):
    corpus = trials.features.corpus
    numbers = torch.tensor([rows_of(corpus, "de", "test")])
    batch = trials.features[numbers]
    with torch.no_grad():
        said = trials.start.outputs({name: value[0] for name, value in batch.items()}).argmax(-1)
    labels = np.array(corpus["label"])[numbers[0]]
    assert np.array_equal(trials.right(trials.start, "de"), (said.numpy() == labels).astype(float))
    assert trials.right(trials.start, "en").mean() > 0.98


def test_training_leaves_the_start_as_it_is_and_is_the_same_again(trials):
    before = [parameter.clone() for parameter in trials.start.parameters()]
    draw = sampler(trials.features.corpus, "hi", support="en", shots=8, queries=8)
    one, two, none = (trials.train(draw, steps, outer_steps=3) for steps in (1, 1, 0))
    assert all(torch.equal(old, now) for old, now in zip(before, trials.start.parameters(), strict=True))
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same) and not all(torch.equal(a, b) for a, b in zip(one.parameters(), none.parameters(), strict=True))
    tuned = trials.fine_tuned(one, "de", seed=0)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), tuned.parameters(), strict=True))


def test_gains_are_paired_by_seed_and_row(trials):
    rng = np.random.default_rng(0)
    rows = {code: len(rows_of(trials.features.corpus, code, "test")) for code in ("de", "zh")}
    answers = {
        name: {code: rng.integers(0, 2, (3, count)).astype(float) for code, count in rows.items()} for name in "ab"
    }
    found = trials.gains(answers, [("a", "b")])
    assert list(found) == ["all together", "German", "Chinese"]
    ours, control = (np.concatenate([answers[name][code] for code in rows], 1) for name in "ab")
    gain, low, high, *seeds = found["all together"]["a − b"]
    assert np.allclose(seeds, 100 * (ours - control).mean(1)) and gain == pytest.approx(np.mean(seeds))
    assert low < gain < high
    table = trials.features.corpus.to_pandas()
    premises = table[(table["language"] == "zh") & (table["split"] == "test")]["premise_id"].tolist()
    (alone,) = paired_differences([(answers["a"]["zh"], answers["b"]["zh"], premises)])
    assert found["Chinese"]["a − b"][:3] == (alone.gain, alone.low, alone.high)
    with pytest.raises(InputError, match="no answers of 'c', only of a, b"):
        trials.gains(answers, [("a", "c")])
