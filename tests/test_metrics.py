"""Accuracy, answers case by case, and the interval of a paired difference against a bootstrap and a simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimeta.errors import InputError
from minimeta.text.metrics import answer_tokens, exact_match, f1, metric_of, paired_difference


def scores(premises, rows, seeds=2, seed=0, agree=False):
    """0/1 scores of two methods; rows of a premise agree (all right or all wrong together) or are independent."""
    rng = np.random.default_rng(seed)
    size = (2, seeds, premises, 1 if agree else rows)
    drawn = rng.random(size) < np.array([0.7, 0.6])[:, None, None, None]
    both = np.broadcast_to(drawn, (2, seeds, premises, rows)).reshape(2, seeds, -1).astype(int)
    return both[0], both[1], [f"premise {i}" for i in range(premises) for _ in range(rows)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
@settings(deadline=None, derandomize=True, max_examples=80)
def test_accuracy_is_the_percentage_of_equal_pairs(pairs):
    predicted, label = zip(*pairs, strict=True)
    expected = 100 * sum(a == b for a, b in pairs) / len(pairs)
    score = metric_of("nli").score
    assert score(predicted, label, "en") == pytest.approx(expected)
    assert score(np.array(predicted), list(label), "en") == pytest.approx(expected)
    digits = ("".join(map(str, each)) for each in (predicted, label))  # as a study keeps them
    assert score(*digits, "en") == pytest.approx(expected)


@pytest.mark.parametrize(("predicted", "label"), [([], []), ([1], []), ([1, 2], [1]), ([1], [1, 1])])
def test_accuracy_needs_a_label_for_each_prediction(predicted, label):
    with pytest.raises(InputError, match=f"{len(predicted)} predictions"):
        metric_of("nli").score(predicted, label, "en")


# Answers, counted by hand: language, predicted, right answers, exact match, and F1 as 2 x common / (found + wanted).
ANSWERS = [
    ("en", "the cat", ["cat"], 1, 1),
    ("en", "The Cat!", ["cat"], 1, 1),
    ("en", "a cat and a dog", ["cat and dog"], 1, 1),
    ("en", "black cat", ["cat"], 0, 2 / 3),
    ("en", "cat", ["black cat", "dog"], 0, 2 / 3),
    ("en", "dog", ["black cat", "dog"], 1, 1),
    ("en", "", ["cat"], 0, 0),
    ("en", "the", ["cat"], 0, 0),
    ("en", "the the", ["a"], 1, 0),  # nothing is left of either
    ("en", "cat cat", ["cat"], 0, 2 / 3),
    ("en", "cat cat", ["cat dog cat"], 0, 4 / 5),
    ("en", "theatre", ["Theatre"], 1, 1),
    ("en", "U.S.", ["US"], 1, 1),
    ("en", "New-York", ["New York"], 0, 0),
    ("en", "1,000 men", ["1000 men"], 1, 1),
    ("en", "“cat”", ["cat"], 1, 1),
    ("en", "cat—dog", ["catdog"], 1, 1),
    ("en", "dog  cat", ["cat dog"], 0, 1),
    ("en", "$5", ["5"], 1, 1),  # a dollar is ASCII punctuation, a euro is no punctuation
    ("en", "€5", ["5"], 0, 0),
    ("es", "El gato", ["gato"], 1, 1),
    ("es", "un gato negro", ["gato"], 0, 2 / 3),
    ("es", "¿gato?", ["gato"], 1, 1),
    ("es", "los gatos", ["las gatos"], 1, 1),
    ("es", "lo bueno", ["bueno"], 0, 2 / 3),
    ("es", "del rey", ["rey"], 0, 2 / 3),
    ("es", "unos libros", ["unas libros"], 1, 1),
    ("es", "una", ["una"], 1, 0),  # "how many?": nothing that one can say has an F1 then, as in MLQA's own dev set
    ("es", "Ángel", ["angel"], 0, 0),
    ("es", "«Quijote»", ["quijote"], 1, 1),
    ("es", "the cat", ["cat"], 0, 2 / 3),  # an article of another language
    ("de", "der Hund", ["Hund"], 1, 1),
    ("de", "einem Hund", ["den Hund"], 1, 1),
    ("de", "Hundes", ["Hund"], 0, 0),
    ("de", "keine Hunde", ["Hunde"], 0, 2 / 3),
    ("de", "„Faust“", ["Faust"], 1, 1),
    ("de", "am 3. Mai", ["3 Mai"], 0, 4 / 5),
    ("de", "STRASSE", ["Straße"], 0, 0),
    ("de", "Eine Frau und ein Mann", ["Frau und Mann"], 1, 1),
    ("de", "dem See", ["das Meer", "See"], 1, 1),
    ("ar", "الكتاب", ["كتاب"], 1, 1),
    ("ar", "البيت الكبير", ["بيت كبير"], 1, 1),
    ("ar", "بيت كبير", ["بيت"], 0, 2 / 3),
    ("ar", "كتاب، بيت", ["كتاب بيت"], 1, 1),
    ("ar", "؟", ["بيت"], 0, 0),
    ("ar", "", ["بيت"], 0, 0),
    ("ar", "البيت", ["الكتاب", "بيت"], 1, 1),
    ("ar", "ال", ["؟"], 1, 0),
    ("hi", "राम", ["राम"], 1, 1),
    ("hi", "राम।", ["राम"], 1, 1),
    ("hi", "राम और सीता", ["राम"], 0, 1 / 2),
    ("hi", "एक लड़का", ["लड़का"], 0, 2 / 3),
    ("hi", "सीता राम", ["राम सीता"], 0, 1),
    ("hi", "", ["राम"], 0, 0),
    ("hi", "“राम”", ["सीता", "राम"], 1, 1),
    ("vi", "của tôi", ["tôi"], 1, 1),
    ("vi", "cái bàn", ["bàn"], 1, 1),
    ("vi", "những con mèo", ["con mèo"], 1, 1),
    ("vi", "con mèo", ["mèo"], 0, 2 / 3),
    ("vi", "Hà Nội.", ["hà nội"], 1, 1),
    ("vi", "một cái bàn", ["cái bàn"], 0, 2 / 3),
    ("vi", "chiếc xe", ["xe đạp", "xe"], 1, 1),
    ("vi", "là", ["của"], 1, 0),
    ("zh", "北京", ["北京"], 1, 1),
    ("zh", "北京市", ["北京"], 0, 4 / 5),
    ("zh", "北京，中国", ["北京中国"], 1, 1),
    ("zh", "。", ["北京"], 0, 0),
    ("zh", "京北", ["北京"], 0, 1),
    ("zh", "2008年", ["2008年8月"], 0, 2 / 3),
    ("zh", "２００８年", ["2008年"], 0, 1 / 2),  # full-width digits are other digits
    ("zh", "（北京）", ["北京"], 1, 1),
    ("zh", "Windows 系统", ["windows系统"], 1, 1),
    ("zh", "Windows系统", ["Windows"], 0, 1 / 2),
    ("zh", "的", ["北京的"], 0, 1 / 2),
    ("zh", "北京", ["上海", "北京"], 1, 1),
    ("zh", "", ["北京"], 0, 0),
]


@pytest.mark.parametrize(("language", "predicted", "answers", "exact", "overlap"), ANSWERS)
def test_answers_counted_by_hand(language, predicted, answers, exact, overlap):
    assert exact_match(predicted, answers, language) == exact
    assert f1(predicted, answers, language) == pytest.approx(overlap)


texts = st.text(st.sampled_from("aeth ,.日本-1क"), max_size=12)


@given(texts, texts, texts, st.sampled_from(["en", "es", "de", "ar", "hi", "vi", "zh", "th"]))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_answers_in_general(one, two, three, language):
    assert f1(one, [two], language) == pytest.approx(f1(two, [one], language))
    assert exact_match(one, [two], language) == exact_match(two, [one], language)
    assert exact_match(one, [one], language) == 1
    assert f1(one, [one], language) == (1 if answer_tokens(one, language) else 0)
    if exact_match(one, [two], language) and answer_tokens(one, language):
        assert f1(one, [two], language) == 1
    for score in (exact_match, f1):
        assert score(one, [two, three], language) == max(score(one, [two], language), score(one, [three], language))
        assert 0 <= score(one, [two], language) <= 1


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
    correct, control = (rng.random((2, 2, len(groups))) < np.array([0.95, 0.3])[:, None, None]).astype(int)
    difference = 100 * (correct - control).mean(0)
    rows = {name: [i for i, group in enumerate(groups) if group == name] for name in groups}
    names, means = list(rows), []
    for _ in range(4000):
        drawn = [row for name in rng.choice(names, len(names)) for row in rows[name]]
        means.append(difference[drawn].mean())
    _, low, high = paired_difference(correct, control, groups)
    assert (low, high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.9)


def test_premises_whose_rows_agree_widen_the_interval():
    correct, control, groups = scores(60, 4, agree=True)
    alone = [str(row) for row in range(len(groups))]
    _, low, high = paired_difference(correct, control, groups)
    _, narrow_low, narrow_high = paired_difference(correct, control, alone)
    assert (high - low) / (narrow_high - narrow_low) == pytest.approx(2, rel=0.1)


def test_independent_rows_do_not_widen_it():
    correct, control, groups = scores(200, 3)
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
