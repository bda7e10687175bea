"""Claims: labels against all worlds that there are, and draws that give nothing away."""

from collections import Counter
from dataclasses import astuple, replace
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import complaint

from minimeta.text import claims, mini
from minimeta.text.claims import GENRES, SHARES, SLOTS, Claim, label
from minimeta.text.corpora import LABELS

PARTS = ("person", "verb", "place", "time")
EVERY = pytest.mark.parametrize("split", SHARES)
repeatable = settings(deadline=None, derandomize=True, max_examples=60)


@pytest.fixture(scope="module")
def drawn():
    """What mini-NLI is made of: {(genre, split): [(premise, hypotheses), ...]}."""
    return {(genre, split): claims.nli(genre, split, size) for genre in GENRES for split, size in mini.SIZES.items()}


@pytest.fixture(scope="module")
def passages():
    """What mini-QA is made of: {(genre, split): [(claims, position), ...]}."""
    return {(genre, split): claims.passages(genre, split, n) for genre in GENRES for split, n in mini.PASSAGES.items()}


def rows(found):
    return [(premise, hypothesis, label(premise, hypothesis)) for premise, three in found for hypothesis in three]


def shape(claim):
    return tuple(part for part in PARTS if getattr(claim, part) is not None)


def combination(claim):
    return tuple(getattr(claim, part) for part in PARTS)


def best(found, seen):
    """The share of labels that the best guess from what is `seen` of a row gets right."""
    labels = {}
    for row in found:
        labels.setdefault(seen(*row[:2]), Counter())[row[2]] += 1
    return sum(max(counts.values()) for counts in labels.values()) / len(found)


# Labels: a world is a set of events (person, verb, place, time)


def matches(claim, event):
    return all(said in (None, part) for said, part in zip(combination(claim), event, strict=True))


def truth(claim, events, worlds):
    """In which worlds, one per row of `worlds`, a claim is true; a column says where an event is."""
    same = np.array([matches(claim, event) for event in events])
    true = worlds[:, same].any(1) ^ claim.negated
    if claim.only:
        anyone = np.array([matches(replace(claim, person=None), event) for event in events])
        true &= ~worlds[:, anyone & ~same].any(1)
    return true


def all_claims(sizes):
    """Every claim of a genre whose slots have `sizes`, first those without `only`."""
    persons, verbs, places, times = sizes
    said = list(product([None, *range(persons)], range(verbs), [None, *range(places)], [None, *range(times)]))
    made = [
        Claim("travel", verb, person, place, time, negated=negated)
        for (person, verb, place, time), negated in product(said, (False, True))
    ]
    return made, [replace(claim, only=True) for claim in made if claim.person is not None and not claim.negated]


@pytest.mark.parametrize("sizes", [(3, 1, 2, 2), (2, 1, 3, 2), (2, 1, 2, 3), (2, 2, 2, 2)])
def test_labels_are_what_holds_in_all_worlds(sizes):
    events = list(product(*map(range, sizes)))
    worlds = (np.arange(2 ** len(events))[:, None] >> np.arange(len(events)) & 1).astype(bool)
    hypotheses, only = all_claims(sizes)
    premises = hypotheses + only
    given_true = np.array([truth(claim, events, worlds) for claim in premises], np.float32)
    true = np.array([truth(claim, events, worlds) for claim in hypotheses], np.float32)
    together, alone = given_true @ true.T, given_true.sum(1)
    assert alone.min() > 0
    for i, premise in enumerate(premises):
        for j, hypothesis in enumerate(hypotheses):
            follows, clashes = together[i, j] == alone[i], together[i, j] == 0
            expected = "entailment" if follows else "contradiction" if clashes else "neutral"
            assert label(premise, hypothesis) == expected, (premise, hypothesis)


def claim_of(person, only=False, negated=None):
    numbers = {part: st.none() | st.integers(0, SLOTS[part] - 1) for part in ("place", "time")}
    return st.builds(
        Claim,
        st.just("travel"),
        st.integers(0, SLOTS["verb"] - 1),
        person,
        **numbers,
        negated=st.booleans() if negated is None else st.just(negated),
        only=st.just(only),
    )


PERSON = st.integers(0, SLOTS["person"] - 1)
PREMISES = claim_of(st.none() | PERSON) | claim_of(PERSON, only=True, negated=False)


@given(PREMISES, claim_of(st.none() | PERSON), st.integers(0, 2**32), st.floats(0, 1))
@repeatable
def test_labels_hold_in_random_worlds_of_full_size(premise, hypothesis, seed, share):
    hypothesis = replace(hypothesis, verb=premise.verb)
    events = list(product(*(range(SLOTS[part]) for part in PARTS)))
    rng = np.random.default_rng(seed)
    worlds = rng.random((50, len(events))) < share
    worlds[:, [matches(premise, event) for event in events]] ^= rng.random() < 0.5
    where = truth(premise, events, worlds)
    found = set(truth(hypothesis, events, worlds)[where].tolist())
    allowed = {"entailment": {True}, "contradiction": {False}, "neutral": {True, False}}
    assert found <= allowed[label(premise, hypothesis)]


KING, THIEF, CASTLE, DAWN, NIGHT = {"person": 0}, {"person": 1}, {"place": 0}, {"time": 0}, {"time": 1}
NOT, ONLY = {"negated": True}, {"only": True}


@pytest.mark.parametrize(
    ("premise", "hypothesis", "expected"),
    [
        (KING | CASTLE, KING, "entailment"),
        (KING, KING | CASTLE, "neutral"),
        (KING | DAWN, DAWN, "entailment"),
        (KING | DAWN, KING | NIGHT | NOT, "neutral"),
        (KING | DAWN, KING | NOT, "contradiction"),
        (KING | NOT, KING | CASTLE | DAWN, "contradiction"),
        (KING | CASTLE | NOT, KING | NOT, "neutral"),
        (KING | NOT, NOT, "neutral"),
        (NOT, THIEF | DAWN | NOT, "entailment"),
        (CASTLE | NOT, THIEF | CASTLE | NIGHT, "contradiction"),
        (KING, NOT, "contradiction"),
        (KING | ONLY, THIEF | CASTLE, "contradiction"),
        (KING | CASTLE | ONLY, THIEF, "neutral"),
        (KING | CASTLE | ONLY, THIEF | CASTLE | DAWN | NOT, "entailment"),
        (KING | CASTLE | ONLY, KING | CASTLE | DAWN, "neutral"),
        (KING | CASTLE | ONLY, CASTLE | NOT, "contradiction"),
    ],
)
def test_labels_of_examples(premise, hypothesis, expected):
    assert label(Claim("fiction", 0, **premise), Claim("fiction", 0, **hypothesis)) == expected


@given(PREMISES)
@repeatable
def test_claims_of_other_genres_are_neutral(premise):
    for negated in (False, True):
        assert label(premise, replace(premise, genre="oup", only=False, negated=negated)) == "neutral"


# Premises and hypotheses


def test_draws_have_their_size_and_all_three_labels_for_each_premise(drawn):
    for (genre, split), found in drawn.items():
        assert len(found) == 48 * mini.SIZES[split]
        for premise, hypotheses in found:
            assert tuple(label(premise, hypothesis) for hypothesis in hypotheses) == LABELS
            assert {claim.genre for claim in (premise, *hypotheses)} == {genre}
            assert not any(hypothesis.only for hypothesis in hypotheses)


def test_numbers_are_those_of_phrases(drawn):
    for found in drawn.values():
        for premise, hypotheses in found:
            for claim in (premise, *hypotheses):
                assert all(getattr(claim, part) in (None, *range(SLOTS[part])) for part in PARTS)


def test_no_combination_of_phrases_is_a_premise_in_two_splits(drawn):
    for genre in GENRES:
        found = [{combination(premise) for premise, _ in drawn[genre, split]} for split in SHARES]
        assert all(found) and not any(a & b for a, b in combinations(found, 2))


@EVERY
def test_combinations_of_a_shape_are_shared_out_whole(split):
    for named in (("person",), ("place", "time"), ("person", "place", "time")):
        total = np.prod([SLOTS[part] for part in ("verb", *named)])
        pools = [claims.combinations("oup", name, named) for name in SHARES]
        assert len(set().union(*pools)) == sum(map(len, pools)) == total
        assert len(claims.combinations("oup", split, named)) == pytest.approx(SHARES[split] * total, abs=1)


def test_no_pair_comes_twice(drawn):
    pairs = [(premise, hypothesis) for found in drawn.values() for premise, hypothesis, _ in rows(found)]
    assert len(set(pairs)) == len(pairs)


def test_each_shape_and_sign_of_a_hypothesis_has_each_label_equally_often(drawn):
    for found in drawn.values():
        counts = Counter((shape(hypothesis), hypothesis.negated, name) for _, hypothesis, name in rows(found))
        for named, negated, _ in counts:
            assert len({counts[named, negated, name] for name in LABELS}) == 1, (named, negated)
        assert len({named for named, *_ in counts}) > 5


def test_signs_alone_tell_little(drawn):
    for found in drawn.values():
        assert best(rows(found), lambda premise, hypothesis: (premise.negated, hypothesis.negated)) <= 0.45
        assert best(rows(found), lambda premise, hypothesis: (shape(premise), premise.negated, premise.only)) < 0.34
        everything = best(
            rows(found), lambda premise, hypothesis: (premise.negated, premise.only, shape(premise), hypothesis.negated)
        )
        assert everything <= 0.45


def score(drawn, named):
    """How often trees that saw the hypotheses of the train split alone guess right in the others."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.preprocessing import OneHotEncoder

    found = [(split, *row) for (_, split), found in drawn.items() for row in rows(found)]
    said = OneHotEncoder().fit_transform([[str(value) for value in astuple(row[2])] for row in found])
    names, train = np.array([named(*row[2:]) for row in found]), np.array([row[0] == "train" for row in found])
    forest = RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(said[train], names[train])
    return forest.score(said[~train], names[~train])


def test_the_hypothesis_alone_tells_nothing(drawn):
    assert score(drawn, lambda hypothesis, name: name) <= 0.36


def test_what_a_hypothesis_gives_away_would_be_found(drawn):
    assert score(drawn, lambda hypothesis, name: "neutral" if hypothesis.place == 2 else name) > 0.4


def test_a_neutral_hypothesis_differs_by_one_phrase_from_an_entailed_or_a_contradicted_one(drawn):
    changed = Counter()
    for found in drawn.values():
        near = Counter()
        for _, (entailed, neutral, contradicted) in found:
            for other in (entailed, contradicted):
                different = [part for part in PARTS if getattr(neutral, part) != getattr(other, part)]
                if len(different) == 1 and neutral.negated == other.negated:
                    near[other is entailed] += 1
                    changed[different[0]] += 1
        assert near.total() >= len(found)
        assert 0.3 < near[True] / near.total() < 0.7
    assert all(changed[part] > 0.03 * changed.total() for part in PARTS), changed


def test_phrases_come_about_equally_often(drawn):
    for part in PARTS:
        found = [getattr(hypothesis, part) for rows in drawn.values() for _, three in rows for hypothesis in three]
        counts = Counter(number for number in found if number is not None)
        assert min(counts.values()) > 0.8 * max(counts.values()), counts


@EVERY
def test_draws_are_the_same_each_time_and_follow_their_seed(split):
    first = claims.nli("slate", split, 1)
    assert claims.nli("slate", split, 1) == first
    again = claims.nli("slate", split, 1, seed=1)
    assert len(again) == len(first) and again != first


@EVERY
def test_a_genre_or_split_has_draws_of_its_own(split):
    named = ("person", "place", "time")
    pools = [[combination(claim) for claim in claims.combinations(genre, split, named)] for genre in GENRES]
    assert all(a != b for a, b in pairwise(pools))


@EVERY
def test_a_size_that_is_too_large(split):
    for genre in GENRES:
        complaint(lambda genre=genre: claims.nli(genre, split, 50), genre, split, "50", "too few")


# Passages


def test_passages_have_three_to_five_claims_and_as_many_as_asked_for(passages):
    lengths, positions = Counter(), Counter()
    for (genre, split), found in passages.items():
        assert len(found) == mini.PASSAGES[split]
        for said, asked in found:
            assert len(set(said)) == len(said) and {claim.genre for claim in said} == {genre}
            lengths[len(said)] += 1
            positions[asked] += 1
    assert set(lengths) == {3, 4, 5} and set(positions) == set(range(5))


def test_one_claim_alone_answers_who_and_where(passages):
    for found in passages.values():
        for said, position in found:
            asked = said[position]
            assert not asked.negated and None not in (asked.person, asked.place)
            affirmed = [claim for claim in said if claim.verb == asked.verb and not claim.negated]
            assert [claim for claim in affirmed if claim.place in (None, asked.place)] == [asked]
            assert [claim for claim in affirmed if claim.person in (None, asked.person)] == [asked]


def test_other_claims_of_a_passage_come_close(passages):
    close = Counter()
    for found in passages.values():
        for said, position in found:
            asked = said[position]
            for claim in said[:position] + said[position + 1 :]:
                close[claim.person == asked.person, claim.verb == asked.verb, claim.place == asked.place] += 1
                assert claim.negated == (claim.verb == asked.verb and claim.place == asked.place)
    assert set(close) == {(True, False, False), (False, True, False), (False, False, True), (False, True, True)}
    assert min(close.values()) > 0.2 * close.total()


def test_passages_do_not_contradict_themselves(passages):
    for found in passages.values():
        for said, _ in found:
            assert all(label(a, b) != "contradiction" for a in said for b in said)


def test_no_asked_combination_is_in_two_splits_or_twice_in_one(passages):
    for genre in GENRES:
        asked = [[combination(said[position]) for said, position in passages[genre, split]] for split in SHARES]
        assert len(set().union(*asked)) == sum(map(len, asked))


@EVERY
def test_passages_are_the_same_each_time_and_follow_their_seed(split):
    first = claims.passages("slate", split, 10)
    assert claims.passages("slate", split, 10) == first
    assert claims.passages("slate", split, 10, seed=1) != first
