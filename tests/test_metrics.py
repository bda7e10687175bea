"""Accuracy, and answers case by case."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimeta.errors import InputError
from minimeta.text.metrics import answer_tokens, exact_match, f1, metric_of


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
    ("en-GB", "the cat", ["cat"], 1, 1),
    ("de-AT", "der Hund", ["Hund"], 1, 1),
    ("zh-CN", "北京大学", ["北京大学校"], 0, 8 / 9),  # a character is a word, whatever country and script are named
    ("zh-Hant", "北京大学", ["北京大学校"], 0, 8 / 9),
    ("cmn", "北京大学", ["北京大学校"], 0, 8 / 9),
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
