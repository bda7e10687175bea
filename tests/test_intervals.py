"""The interval of a paired difference: exact cases, a plain bootstrap, and simulations."""

import numpy as np
import pytest

from minimeta.errors import InputError
from minimeta.studies import intervals
from minimeta.studies.intervals import covers, paired_difference, paired_differences


def scores(premises, rows, seeds=2, seed=0, agree=False):
    """0/1 scores of two methods; rows of a premise agree (all right or all wrong together) or are independent."""
    rng = np.random.default_rng(seed)
    size = (2, seeds, premises, 1 if agree else rows)
    drawn = rng.random(size) < np.array([0.7, 0.6])[:, None, None, None]
    both = np.broadcast_to(drawn, (2, seeds, premises, rows)).reshape(2, seeds, -1).astype(int)
    return both[0], both[1], [f"premise {i}" for i in range(premises) for _ in range(rows)]


def test_the_difference_is_the_plain_mean():
    correct, control, groups = scores(40, 3, seeds=3)
    mean, low, high = paired_difference(correct, control, groups)
    assert mean == pytest.approx(100 * (correct.mean() - control.mean()))
    assert low < mean < high


def test_the_mean_is_over_rows_however_large_a_group_is():
    correct, control, _ = scores(30, 1)
    mean, low, high = paired_difference(correct, control, ["one"] * 20 + [f"own {i}" for i in range(10)])
    assert mean == pytest.approx(100 * (correct - control).mean())
    assert low <= mean <= high


def test_identical_scores_differ_by_nothing():
    correct, _, groups = scores(20, 3)
    assert paired_difference(correct, correct.copy(), groups) == (0, 0, 0)


def test_scores_that_cancel_have_zero_inside():
    correct, control, groups = scores(30, 2)
    both = [np.concatenate(pair, axis=1) for pair in ((correct, control), (control, correct))]
    mean, low, high = paired_difference(*both, [*groups, *(f"again {g}" for g in groups)])
    assert mean == pytest.approx(0, abs=1e-9) and low < 0 < high


def test_a_constant_gain_is_certain():
    ones = np.ones((2, 10))
    assert paired_difference(ones, 0 * ones, list("aabbccddee")) == (100, 100, 100)


def test_swapping_the_methods_mirrors_the_interval():
    correct, control, groups = scores(25, 3)
    mean, low, high = paired_difference(correct, control, groups)
    assert paired_difference(control, correct, groups) == pytest.approx((-mean, -high, -low), abs=0.5)


def test_the_order_of_rows_does_not_matter():
    correct, control, groups = scores(25, 3)
    order = np.random.default_rng(1).permutation(len(groups))
    moved = paired_difference(correct[:, order], control[:, order], [groups[i] for i in order])
    assert moved == pytest.approx(paired_difference(correct, control, groups))


def test_booleans_serve_as_well():
    correct, control, groups = scores(25, 3)
    assert paired_difference(correct.astype(bool), control.astype(bool), groups) == pytest.approx(
        paired_difference(correct, control, groups)
    )


def test_the_same_seed_gives_the_same_interval():
    correct, control, groups = scores(25, 3)
    first, again, other = (paired_difference(correct, control, groups, seed) for seed in (4, 4, 5))
    assert first == again
    assert first != other and other == pytest.approx(first, abs=1)


def test_the_interval_equals_a_plain_bootstrap_over_groups():
    rng = np.random.default_rng(0)
    groups = [f"premise {i}" for i in range(30) for _ in range(1 + i % 4)]
    correct, control = (rng.random((2, 1, len(groups))) < np.array([0.95, 0.3])[:, None, None]).astype(int)
    difference = 100 * (correct - control).mean(0)
    rows = {name: [i for i, group in enumerate(groups) if group == name] for name in groups}
    names, means = list(rows), []
    for _ in range(4000):
        drawn = [row for name in rng.choice(names, len(names)) for row in rows[name]]
        means.append(difference[drawn].mean())
    _, low, high = paired_difference(correct, control, groups)
    assert (low, high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.9)


def test_premises_whose_rows_agree_widen_the_interval():
    correct, control, groups = scores(60, 4, seeds=1, agree=True)
    alone = [str(row) for row in range(len(groups))]
    _, low, high = paired_difference(correct, control, groups)
    _, narrow_low, narrow_high = paired_difference(correct, control, alone)
    assert (high - low) / (narrow_high - narrow_low) == pytest.approx(2, rel=0.1)


def test_independent_rows_do_not_widen_it():
    correct, control, groups = scores(200, 3, seeds=1)
    alone = [str(row) for row in range(len(groups))]
    _, low, high = paired_difference(correct, control, groups)
    _, other_low, other_high = paired_difference(correct, control, alone)
    assert (high - low) / (other_high - other_low) == pytest.approx(1, abs=0.15)


def test_the_interval_covers_the_truth_95_times_in_100():
    draws, inside, inside_alone = 200, 0, 0
    for seed in range(draws):
        correct, control, groups = scores(60, 3, seeds=1, seed=seed, agree=True)
        _, low, high = paired_difference(correct, control, groups, seed)
        inside += low <= 10 <= high
        _, low, high = paired_difference(correct, control, range(len(groups)), seed)
        inside_alone += low <= 10 <= high
    assert 0.91 <= inside / draws <= 0.985
    assert inside_alone / draws < 0.85


@pytest.mark.parametrize(
    ("correct", "control", "groups"), [((2, 4), (2, 3), 4), ((2, 4), (3, 4), 4), ((2, 4), (2, 4), 3), ((2, 4), (4,), 4)]
)
def test_scores_that_do_not_pair_raise(correct, control, groups):
    with pytest.raises(InputError, match="Cannot pair") as raised:
        paired_difference(np.ones(correct), np.zeros(control), ["a", "b", "c", "d"][:groups])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("shape", [(4,), (2, 2, 4)])
def test_scores_without_seeds_and_rows_raise(shape):
    correct = np.arange(np.prod(shape)).reshape(shape) % 3 == 0
    with pytest.raises(ValueError):
        paired_difference(correct, ~correct, list("aabb"))


def macro_f1(means):
    """From the shares of (right, predicted, true) for each of three classes, (..., 9)."""
    right, predicted, true = np.moveaxis(means.reshape(*means.shape[:-1], 3, 3), -1, 0)
    return (2 * right / np.maximum(predicted + true, 1e-12)).mean(-1)


def counts(predicted, label):
    """What each row counts in macro-F1, (rows, 9)."""
    each = [np.stack([(predicted == c) & (label == c), predicted == c, label == c], 1) for c in range(3)]
    return np.concatenate(each, 1).astype(float)


def test_the_score_of_a_whole_set_is_that_of_the_rows_that_were_drawn():
    """Macro-F1 of two methods in two seeds is scikit-learn's, its interval in one seed a plain bootstrap's."""
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    label, groups = rng.integers(3, size=90), np.repeat(np.arange(30), 3)
    said = np.where(
        rng.random((2, 2, 90)) < np.array([0.8, 0.6])[:, None, None], label, rng.integers(3, size=(2, 2, 90))
    )
    ours, control = (np.stack([counts(one, label) for one in each]) for each in said)

    def gain(rows):
        scores = [[f1_score(label[rows], one[rows], average="macro") for one in each] for each in said]
        return 100 * (np.mean(scores[0]) - np.mean(scores[1]))

    (found,) = paired_differences([(ours, control, groups)], of_means=macro_f1)
    assert found.gain == pytest.approx(gain(np.arange(90))) and found.gain == pytest.approx(np.mean(found.by_seed))
    ours, control, said = ours[:1], control[:1], said[:, :1]
    mean, low, high = paired_difference(ours, control, groups, of_means=macro_f1)
    assert mean == pytest.approx(gain(np.arange(90))) and mean == pytest.approx(found.by_seed[0])
    drawn = [gain((3 * rng.integers(30, size=30)[:, None] + np.arange(3)).ravel()) for _ in range(150)]
    assert (low, high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=2.5)
    assert low < mean < high and paired_difference(ours, ours, groups, of_means=macro_f1) == (0, 0, 0)


def test_a_mean_is_the_score_of_a_whole_set_as_well():
    ours, control, groups = scores(40, 3)
    as_set = paired_difference(ours[..., None], control[..., None], groups, of_means=lambda means: means[..., 0])
    assert as_set == pytest.approx(paired_difference(ours, control, groups))


def test_draws_and_ends_are_those_of_scipy(monkeypatch):
    """The draws that are kept, and those of too many groups to be kept."""
    from scipy.stats import bootstrap

    ours, control, _ = scores(40, 3, seeds=1)
    sums = (100 * (ours - control).mean(0)).reshape(40, 3).sum(1)
    rng = np.random.default_rng(7)
    theirs = bootstrap((sums / 3,), np.mean, n_resamples=9999, batch=500, method="percentile", rng=rng)
    for few in (40, 39):
        monkeypatch.setattr(intervals, "_FEW", few)
        _, *ends = paired_difference(ours, control, [f"{i:03d}" for i in range(40) for _ in range(3)], seed=7)
        assert ends == pytest.approx(theirs.confidence_interval, abs=1e-9)


def test_many_pairs_are_drawn_for_once_and_each_as_if_alone(monkeypatch):
    """Twenty differences, two of them certain, over 40 premises, and one over 25; any order, any company."""
    pairs = [scores(40, 3, seed=seed) for seed in range(20)] + [scores(25, 2)]
    pairs[3] = (pairs[3][0], pairs[3][0], pairs[3][2])
    pairs[4] = (np.ones((2, 120)), np.zeros((2, 120)), pairs[4][2])
    each, calls, new = [paired_differences([pair])[0] for pair in pairs], [], intervals._new
    intervals._kept.cache_clear()
    monkeypatch.setattr(intervals, "_new", lambda groups, seed: calls.append(groups) or new(groups, seed))
    assert paired_differences(pairs) == each and sorted(calls) == [25, 40]
    assert paired_differences(pairs[::-1]) == each[::-1]
    assert [(found.gain, found.low, found.high) for found in each[3:5]] == [(0, 0, 0), (100, 100, 100)]


# Premises and seeds


def one_of(ours, control, groups, **given):
    return paired_differences([(ours, control, groups)], **given)[0]


def studies(seeds, spread, draws, premises=60, seed=0):
    """Differences whose true mean is 0, (draws, seeds, premises): premises have a standard error of 1 together."""
    rng = np.random.default_rng(seed)
    of_premises = rng.normal(0, premises**0.5, (draws, 1, premises))
    return of_premises + rng.normal(0, spread, (draws, seeds, 1))


def gains(found):
    return paired_differences([(each / 100, 0 * each, range(each.shape[1])) for each in found])


def test_seeds_that_agree_leave_the_interval_over_premises():
    """To the last bit, for an end may be 0 exactly."""
    ours, control, groups = scores(200, 3, seeds=1)
    alone, three = one_of(ours, control, groups), one_of(ours.repeat(3, 0), control.repeat(3, 0), groups)
    assert (three.low, three.high, three.smallest) == (alone.low, alone.high, alone.smallest)
    assert three.seeds == 3 and alone.seeds == 1 and three.by_seed == 3 * alone.by_seed
    assert three.smallest == pytest.approx((1.96 + 0.8416) * (alone.high - alone.low) / 2 / 1.96, rel=1e-4)


def test_nearly_agreeing_seeds_widen_it_little():
    found = studies(3, 0.01, 1)
    (alone,), (three,) = gains(found.mean(1, keepdims=True)), gains(found)
    assert (three.low, three.high) == pytest.approx((alone.low, alone.high), rel=1e-3)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_premises_that_agree_leave_students_t_over_seeds(seeds):
    from scipy.stats import ttest_1samp

    each = np.random.default_rng(seeds).normal(1, 2, seeds)
    found = one_of(each[:, None].repeat(30, 1) / 100, np.zeros((seeds, 30)), range(30))
    assert found.by_seed == pytest.approx(tuple(each))
    assert (found.low, found.high) == pytest.approx(tuple(ttest_1samp(each, 0).confidence_interval()))


@pytest.mark.parametrize("of_means", [None, lambda means: means[..., 0]])
def test_the_order_of_seeds_does_not_matter(of_means):
    ours, control, groups = scores(40, 3, seeds=4)
    if of_means:
        ours, control = ours[..., None], control[..., None]
    found, turned = (
        one_of(ours[order], control[order], groups, of_means=of_means) for order in ([0, 1, 2, 3], [2, 0, 3, 1])
    )
    assert (turned.gain, turned.low, turned.high, turned.smallest) == pytest.approx(
        (found.gain, found.low, found.high, found.smallest)
    )
    assert turned.by_seed == tuple(found.by_seed[i] for i in (2, 0, 3, 1))


def test_swapped_methods_have_the_same_smallest_effect_and_mirrored_seeds():
    ours, control, groups = scores(40, 3, seeds=3)
    found, other = one_of(ours, control, groups), one_of(control, ours, groups)
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))
    assert other.smallest == pytest.approx(found.smallest) and other.by_seed == tuple(-each for each in found.by_seed)


def test_two_seeds_that_disagree_show_no_difference():
    """Whatever the premises say: also where each seed's own interval is far from 0."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        each = rng.uniform(0, 10, (2, 1)) * [[1], [-1]] + rng.normal(0, rng.uniform(0, 3), (2, 60))
        (found,) = gains([each])
        assert found.by_seed[0] * found.by_seed[1] > 0 or found.low < 0 < found.high


def test_an_interval_says_what_it_covers():
    assert [covers(seeds, "passages") for seeds in (1, 2)] == ["passages", "passages and seeds"]


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.5), (2, 3), (3, 0), (3, 1.5), (5, 1.5)])
def test_the_truth_is_inside_95_times_in_100_whatever_seeds_do(seeds, spread):
    """And an interval over premises alone misses it more often, the more the seeds differ."""
    found = studies(seeds, spread, 400)
    both, alone = (np.array([(g.low, g.high) for g in gains(each)]) for each in (found, found.mean(1, keepdims=True)))
    inside, inside_alone = (np.mean((low <= 0) & (high >= 0)) for low, high in (both.T, alone.T))
    assert inside >= 0.925 and (spread < 1.5 or inside_alone < 0.9)
    known = 1.96 * (1 + spread**2 / seeds) ** 0.5  # half the width for one who knows both variances
    assert np.mean(both[:, 1] - both[:, 0]) / 2 / known < {2: 5, 3: 1.6, 5: 1.2}[seeds]


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0), (3, 1), (5, 1)])
def test_the_smallest_effect_is_found_in_4_of_5_tries(seeds, spread):
    found = gains(studies(seeds, spread, 400))
    assert np.mean([each.low + each.smallest > 0 for each in found]) == pytest.approx(0.8, abs=0.06)
