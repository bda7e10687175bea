"""Episodes: rows of the right language, genre and split, disjoint, balanced, and the same ones for the same seed."""

import numpy as np
import pytest
import small_world
import torch
from datasets import Dataset
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_world import complaint

from minimeta.errors import InputError
from minimeta.text import corpora, episodes
from minimeta.text.episodes import encode, encoded, sampler, target_episodes, task_name

few = settings(max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])
language_lists = st.lists(st.sampled_from(small_world.LANGUAGES), min_size=1, max_size=4, unique=True)
by_genre = st.sampled_from([None, "genre"])
seeds = st.integers(0, 2**31)
steps = st.integers(0, 500)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """13 languages, 2 genres; dev has at least 12 rows per class and genre, test lacks el."""
    return corpora.nli(small_world.write_xnli(tmp_path_factory.mktemp("xnli")))


@pytest.fixture(scope="module")
def columns(corpus):
    """The corpus as arrays, to look rows up in."""
    return {name: np.array(corpus[name][:]) for name in ("language", "genre", "split", "label")}


def rows_of(batch, task):
    return batch["row"][task].tolist()


def support_rows(episode, task):
    return [row for batch in episode.support for row in rows_of(batch, task)]


def balanced(labels, count):
    counts = np.bincount(labels, minlength=3) if count else np.zeros(3)
    return counts.sum() == len(labels) == count and np.ptp(counts) <= 1


def check_task(episode, task, columns, shots, queries, batches, support=None):
    """Everything that a sampler promises about one task."""
    language, _, genre = episode.tasks[task].partition("/")
    given_rows, asked = support_rows(episode, task), rows_of(episode.query, task)
    assert len(set(given_rows)) == shots * batches
    assert len(set(asked)) == queries
    assert not set(given_rows) & set(asked)
    assert balanced(columns["label"][given_rows], shots * batches)
    assert balanced(columns["label"][asked], queries)
    assert set(columns["language"][given_rows]) <= {support or language}
    assert set(columns["language"][asked]) == {language}
    assert set(columns["split"][given_rows + asked]) == {"dev"}
    if genre:
        assert set(columns["genre"][given_rows + asked]) == {genre}


# Training episodes


@few
@given(codes=language_lists, by=by_genre, shots=st.integers(0, 9), queries=st.integers(1, 9), seed=seeds, step=steps)
def test_rows_are_disjoint_balanced_and_of_their_task(corpus, columns, codes, by, shots, queries, seed, step):
    episode = sampler(corpus, codes, by=by, shots=shots, queries=queries, seed=seed)(step)
    genres = sorted(small_world.GENRES) if by else [None]
    assert episode.tasks == tuple(task_name(code, genre) for code in codes for genre in genres)
    assert len(episode.support) == (1 if shots else 0)
    for task in range(len(episode.tasks)):
        check_task(episode, task, columns, shots, queries, 1)


@few
@given(batches=st.integers(1, 4), by=by_genre, shots=st.integers(1, 6), seed=seeds, step=steps)
def test_fresh_batches_are_disjoint(corpus, columns, batches, by, shots, seed, step):
    episode = sampler(corpus, ["fr", "th"], by=by, shots=shots, queries=3, batches=batches, seed=seed)(step)
    assert [batch["row"].shape for batch in episode.support] == [(len(episode.tasks), shots)] * batches
    for task in range(len(episode.tasks)):
        check_task(episode, task, columns, shots, 3, batches)
        if shots % 3 == 0:
            assert all(balanced(columns["label"][rows_of(batch, task)], shots) for batch in episode.support)


@few
@given(codes=language_lists, by=by_genre, support=st.sampled_from(["en", "zh"]), batches=st.integers(1, 2), seed=seeds)
def test_xla_support_is_in_its_own_language(corpus, columns, codes, by, support, batches, seed):
    codes = [code for code in codes if code != support] or ["fr"]
    episode = sampler(corpus, codes, support=support, by=by, shots=3, queries=6, batches=batches, seed=seed)(0)
    for task in range(len(episode.tasks)):
        check_task(episode, task, columns, 3, 6, batches, support)
        assert set(columns["language"][support_rows(episode, task)]) == {support}


@pytest.mark.parametrize("by", [None, "genre"])
def test_support_and_query_are_disjoint_where_both_are_in_one_language(corpus, columns, by):
    draw = sampler(corpus, ["fr", "en"], support="en", by=by, shots=8, queries=8)
    for step in range(10):
        episode = draw(step)
        for task in range(len(episode.tasks)):
            check_task(episode, task, columns, 8, 8, 1, "en")


@few
@given(codes=language_lists, by=by_genre, shots=st.integers(1, 8), queries=st.integers(1, 8), seed=seeds, step=steps)
def test_joint_sees_the_rows_of_support_and_query(corpus, codes, by, shots, queries, seed, step):
    maml = sampler(corpus, codes, by=by, shots=shots, queries=queries, seed=seed)(step)
    joint = sampler(corpus, codes, by=by, shots=0, queries=shots + queries, seed=seed)(step)
    assert joint.tasks == maml.tasks
    assert joint.support == ()
    for task in range(len(maml.tasks)):
        assert sorted(rows_of(joint.query, task)) == sorted(support_rows(maml, task) + rows_of(maml.query, task))


@few
@given(per_language=st.integers(1, 2), codes=language_lists, seed=seeds, step=steps)
def test_per_language_draws_so_many_genres_of_each(corpus, columns, per_language, codes, seed, step):
    episode = sampler(corpus, codes, by="genre", per_language=per_language, seed=seed)(step)
    assert len(set(episode.tasks)) == len(episode.tasks)
    assert [task.split("/")[0] for task in episode.tasks] == [code for code in codes for _ in range(per_language)]
    for task in range(len(episode.tasks)):
        check_task(episode, task, columns, 3, 6, 1)


def test_all_genres_get_their_turn(corpus):
    draw = sampler(corpus, ["fr"], by="genre", per_language=1)
    assert {task for step in range(20) for task in draw(step).tasks} == {f"fr/{genre}" for genre in small_world.GENRES}


@few
@given(support=st.sampled_from([None, "en"]), by=by_genre, seed=seeds, step=steps)
def test_a_seed_and_a_step_give_one_episode(corpus, support, by, seed, step):
    def draw(seed, step):
        return sampler(corpus, ["fr", "hi"], support=support, by=by, seed=seed)(step)

    def same(one, other):
        return torch.equal(one.support[0]["row"], other.support[0]["row"]) and torch.equal(
            one.query["row"], other.query["row"]
        )

    first = draw(seed, step)
    assert same(first, draw(seed, step))
    assert not same(first, draw(seed, step + 1))
    assert not same(first, draw(seed + 1, step))


def test_earlier_draws_change_nothing(corpus):
    draw = sampler(corpus, ["fr", "hi"])
    later = draw(7)
    for step in (0, 3, 7, 1):
        draw(step)
    assert torch.equal(draw(7).query["row"], later.query["row"])


@pytest.mark.parametrize("by", [None, "genre"])
@pytest.mark.parametrize("support", [None, "en"])
def test_every_dev_row_and_no_other_can_be_drawn(corpus, columns, support, by):
    draw = sampler(corpus, ["fr"], support=support, by=by, shots=6, queries=6)
    drawn = {row for step in range(150) for row in draw(step).query["row"].flatten().tolist()}
    assert drawn == set(np.flatnonzero((columns["language"] == "fr") & (columns["split"] == "dev")))
    given_rows = {row for step in range(150) for row in draw(step).support[0]["row"].flatten().tolist()}
    assert given_rows == set(np.flatnonzero((columns["language"] == (support or "fr")) & (columns["split"] == "dev")))


def test_held_out_rows_can_be_asked_for(corpus, columns):
    episode = sampler(corpus, ["fr"], split="held-out", shots=3, queries=3)(0)
    assert set(columns["split"][support_rows(episode, 0) + rows_of(episode.query, 0)]) == {"held-out"}


def test_three_shots_are_one_of_each_class(corpus, columns):
    draw = sampler(corpus, ["fr"], by="genre", shots=3)
    for step in range(20):
        for task in range(2):
            assert sorted(columns["label"][support_rows(draw(step), task)]) == [0, 1, 2]


# Episodes for the target


@pytest.mark.parametrize("target", ["de", "tr"])
@pytest.mark.parametrize("shots", [0, 3, 6])
@pytest.mark.parametrize("pooled", [False, True])
def test_every_test_row_of_the_target_is_scored_once(corpus, columns, target, shots, pooled):
    companions = sampler(corpus, ["fr", "hi"], by="genre", shots=shots or 3) if pooled else None
    episodes = target_episodes(corpus, target, shots, companions)
    scored = [row for episode in episodes for row in episode.query["row"].flatten().tolist()]
    expected = np.flatnonzero((columns["language"] == target) & (columns["split"] == "test"))
    assert sorted(scored) == expected.tolist()
    assert len(expected) == 2 * 4 * 3
    for episode, genre in zip(episodes, sorted(small_world.GENRES), strict=True):
        assert episode.tasks[-1] == f"{target}/{genre}"
        assert set(columns["genre"][rows_of(episode.query, 0)]) == {genre}


@few
@given(target=st.sampled_from(["de", "zh"]), shots=st.sampled_from([0, 3, 4]), pooled=st.booleans(), seed=seeds)
def test_the_target_gives_its_shots_and_nothing_else(corpus, columns, target, shots, pooled, seed):
    companions = sampler(corpus, ["fr", "hi", "en"], by="genre", shots=shots or 3, seed=seed) if pooled else None
    for episode in target_episodes(corpus, target, shots, companions, seed=seed):
        genre = episode.tasks[-1].split("/")[1]
        given_rows = [row for batch in episode.support for row in batch["row"].flatten().tolist()]
        assert set(columns["split"][given_rows]) <= {"dev"}
        own = [row for row in given_rows if columns["language"][row] == target]
        assert len(set(own)) == len(own) == shots
        assert set(columns["genre"][own]) <= {genre}
        assert not shots or balanced(columns["label"][own], shots)
        assert len(episode.support) == (1 if shots or pooled else 0)
        if shots:
            assert rows_of(episode.support[0], len(episode.tasks) - 1) == own  # the last task's support is its own
        if pooled:
            assert len(episode.tasks) == 6 + 1
            assert len(episode.support[0]["row"]) == 6 + bool(shots)


def test_the_same_seed_gives_the_same_shots(corpus):
    def shots(seed):
        return torch.cat([episode.support[0]["row"] for episode in target_episodes(corpus, "de", 3, seed=seed)])

    assert torch.equal(shots(5), shots(5))
    assert not torch.equal(shots(5), shots(6))


def test_pooling_changes_neither_shots_nor_query(corpus):
    companions = sampler(corpus, ["fr"], by="genre", shots=3)
    for plain, pooled in zip(
        target_episodes(corpus, "de", 3), target_episodes(corpus, "de", 3, companions), strict=True
    ):
        assert torch.equal(plain.support[0]["row"][-1], pooled.support[0]["row"][-1])
        assert torch.equal(plain.query["row"], pooled.query["row"])


def test_held_out_rows_of_the_target_can_be_scored(corpus, columns):
    episodes = target_episodes(corpus, "tr", 0, split="held-out")
    scored = [row for episode in episodes for row in episode.query["row"].flatten().tolist()]
    assert sorted(scored) == np.flatnonzero((columns["language"] == "tr") & (columns["split"] == "held-out")).tolist()


# Tensors for rows


def test_encoding_keeps_tasks_and_places(corpus):
    def features(rows):
        return {"x": rows * 10, "y": rows + 1}

    plain = sampler(corpus, ["fr", "hi"], batches=2)(3)
    for found in (encode(plain, features), encoded(sampler(corpus, ["fr", "hi"], batches=2), features)(3)):
        assert found.tasks == plain.tasks
        assert torch.equal(found.query["x"], plain.query["row"] * 10)
        assert torch.equal(found.query["y"], plain.query["row"] + 1)
        for batch, rows in zip(found.support, plain.support, strict=True):
            assert torch.equal(batch["x"], rows["row"] * 10)


def test_task_names():
    assert task_name("de", None) == "de"
    assert task_name("de", "fiction") == "de/fiction"


# Input that cannot be used


@pytest.mark.parametrize("options", [{}, {"support": "en"}, {"by": "genre"}])
def test_unknown_language(corpus, options):
    complaint(lambda: sampler(corpus, ["fr", "xx"], **options), "'xx'", "BCP 47")


def test_unknown_support_or_target(corpus):
    complaint(lambda: sampler(corpus, ["fr"], support="xx"), "'xx'")
    complaint(lambda: target_episodes(corpus, "xx", 0), "'xx'")


@pytest.mark.parametrize("options", [{}, {"by": "genre"}])
def test_language_that_the_corpus_lacks(corpus, options):
    complaint(lambda: sampler(corpus, ["fr", "sw"], **options), "no dev rows", "sw")
    complaint(lambda: sampler(corpus, ["fr"], support="ar", **options), "no dev rows", "ar")


@pytest.mark.parametrize(
    "options",
    [
        {"by": "genre", "shots": 60},
        {"by": "genre", "queries": 60},
        {"by": "genre", "shots": 3, "batches": 40},
        {"shots": 3, "queries": 120},
        {"support": "en", "shots": 120},
        {"support": "en", "queries": 120},
    ],
)
def test_too_few_examples(corpus, options):
    complaint(lambda: sampler(corpus, ["fr"], **options), "too few dev rows", "Use fewer")


def test_a_language_without_rows_of_a_class(corpus):
    without = corpus.filter(lambda row: row["language"] != "fr" or row["label"] != 1)
    for call in (lambda: sampler(without, ["fr"], shots=1), lambda: target_episodes(without, "fr", 1)):
        assert "fewer" not in complaint(call, "no dev rows of one of the 3 classes", "give it some, or leave it out")


def test_too_few_examples_for_the_targets_shots(corpus):
    complaint(lambda: target_episodes(corpus, "de", 60), "de/", "too few dev rows")


def test_as_many_examples_as_there_are(corpus, columns):
    pool = np.flatnonzero((columns["language"] == "fr") & (columns["split"] == "dev"))
    episode = sampler(corpus, ["fr"], shots=3, queries=len(pool) - 3)(0)
    assert sorted(support_rows(episode, 0) + rows_of(episode.query, 0)) == pool.tolist()
    complaint(lambda: sampler(corpus, ["fr"], shots=3, queries=len(pool) - 2), "too few")


@pytest.mark.parametrize("by", ["topic", "language", ""])
def test_unknown_division_into_tasks(corpus, by):
    complaint(lambda: sampler(corpus, ["fr"], by=by), "'genre'", repr(by))


@pytest.mark.parametrize("per_language", [3, 0, -1])
def test_too_many_genres_per_language(corpus, per_language):
    complaint(lambda: sampler(corpus, ["fr"], by="genre", per_language=per_language), "2 genres", str(per_language))


@pytest.mark.parametrize("options", [{"shots": -1}, {"queries": 0}, {"batches": 0}, {"batches": -2}])
def test_impossible_numbers(corpus, options):
    complaint(lambda: sampler(corpus, ["fr"], **options), "Cannot draw")


def test_companions_with_another_number_of_shots(corpus):
    companions = sampler(corpus, ["fr"], by="genre", shots=3)
    complaint(lambda: target_episodes(corpus, "de", 6, companions), "3", "6", "shots")


def test_companions_without_support(corpus):
    companions = sampler(corpus, ["fr"], by="genre", shots=0)
    complaint(lambda: target_episodes(corpus, "de", 3, companions), "shots")


def test_target_without_test_rows(corpus):
    complaint(lambda: target_episodes(corpus, "el", 0), "no test rows", "el", "another target")
    complaint(lambda: target_episodes(corpus, "sw", 3), "no test rows", "sw")


@pytest.mark.parametrize("by", [None, "genre"])
def test_a_split_that_the_corpus_lacks(corpus, by):
    complaint(lambda: sampler(corpus, ["fr"], by=by, split="train")(0), "train")


def test_shots_from_a_corpus_without_dev_rows(corpus, columns):
    tests = corpus.select(np.flatnonzero(columns["split"] == "test"))
    complaint(lambda: target_episodes(tests, "de", 3), "no dev rows")


@pytest.mark.parametrize("by", [None, "genre"])
def test_no_language_at_all(corpus, by):
    complaint(lambda: sampler(corpus, [], by=by)(0), "language")


# Who gives the support


def test_a_bi_pair_is_each_others_support(corpus, columns):
    episode = sampler(corpus, ("bg", "de"), support=("de", "bg"), shots=6, queries=6)(0)
    assert episode.tasks == ("bg", "de")
    for task, (query, support) in enumerate((("bg", "de"), ("de", "bg"))):
        check_task(episode, task, columns, 6, 6, 1, support)
        assert set(columns["language"][rows_of(episode.query, task)]) == {query}


def test_the_same_language_by_name_is_the_same_as_by_default(corpus):
    named, default = sampler(corpus, "fr", support="fr")(3), sampler(corpus, "fr")(3)
    assert torch.equal(named.query["row"], default.query["row"])
    assert torch.equal(named.support[0]["row"], default.support[0]["row"])


def test_support_can_come_from_another_split(corpus):
    table = corpus.to_pandas()
    table.loc[(table["language"] == "en") & (table["genre"] == "travel"), "split"] = "train"
    moved = Dataset.from_pandas(table, preserve_index=False)
    episode = sampler(moved, ["fr", "en"], support="en", support_split="train", shots=3, queries=3)(0)
    for task, language in enumerate(("fr", "en")):
        given_rows, asked = moved.select(support_rows(episode, task)), moved.select(rows_of(episode.query, task))
        assert set(given_rows["split"]) == {"train"} and set(given_rows["language"]) == {"en"}
        assert set(asked["split"]) == {"dev"} and set(asked["language"]) == {language}


def test_support_languages_go_with_the_tasks(corpus):
    complaint(lambda: sampler(corpus, ["fr", "hi", "de"], support=["en", "fr"]), "2 support languages", "3 tasks")


# Covering


def uses(draw, task, count):
    """The rows that a task's first episodes use, support before query."""
    drawn = [draw(step) for step in range(count)]
    names = drawn[0].tasks
    return [(support_rows(episode, names.index(task)), rows_of(episode.query, names.index(task))) for episode in drawn]


@few
@given(
    shots=st.integers(0, 7),
    queries=st.integers(1, 7),
    support=st.sampled_from([None, "en"]),
    by=by_genre,
    seed=seeds,
)
def test_covering_uses_every_row_once_before_any_of_its_class_comes_again(
    corpus, columns, shots, queries, support, by, seed
):
    draw = sampler(corpus, "fr", support, by, shots, queries, covering=True, seed=seed)
    task = "fr/travel" if by else "fr"
    used = uses(draw, task, 80)
    same = support is None
    streams = [[row for given_rows, asked in used for row in (given_rows + asked if same else asked)]]
    streams += [] if same else [[row for given_rows, _ in used for row in given_rows]]
    for stream, language in zip(streams, ("fr", "en"), strict=False):
        mine = (columns["language"] == language) & (columns["split"] == "dev")
        mine &= (columns["genre"] == "travel") | (not by)
        for label in range(3):
            pool = set(np.flatnonzero(mine & (columns["label"] == label)).tolist())
            drawn = [row for row in stream if columns["label"][row] == label]
            for start in range(0, len(drawn) - len(pool) + 1, len(pool)):
                assert set(drawn[start : start + len(pool)]) == pool
            rest = drawn[len(drawn) // len(pool) * len(pool) :]
            assert len(set(rest)) == len(rest) and set(rest) <= pool
    for step, (given_rows, asked) in enumerate(used):
        assert len(set(given_rows + asked)) == shots + queries, step  # also where one pass ends and the next begins
        assert balanced(columns["label"][asked], queries) or same
        assert balanced(columns["label"][given_rows + asked], shots + queries) or not same


@few
@given(per_language=st.integers(1, 2), seed=seeds)
def test_covering_gives_each_genre_its_turn(corpus, columns, per_language, seed):
    draw = sampler(corpus, ["fr", "hi"], by="genre", per_language=per_language, covering=True, seed=seed)
    drawn = [draw(step) for step in range(12)]
    for language in ("fr", "hi"):
        named = [task for episode in drawn for task in episode.tasks if task.startswith(language)]
        for start in range(0, len(named), 2):
            assert set(named[start : start + 2]) == {f"{language}/{genre}" for genre in small_world.GENRES}
        rows = [
            row
            for episode in drawn
            for task, name in enumerate(episode.tasks)
            if name == f"{language}/travel"
            for row in support_rows(episode, task) + rows_of(episode.query, task)
        ]
        assert len(set(rows[:36])) == 36  # 12 rows of each class at least: four episodes of nine rows


def test_covering_episodes_are_the_same_in_any_order(corpus):
    one, other = (sampler(corpus, ["fr", "hi"], "en", covering=True, seed=5) for _ in range(2))
    late = other(40)
    for step in (0, 7, 40):
        first, second = one(step), other(step)
        assert torch.equal(first.query["row"], second.query["row"])
        assert torch.equal(first.support[0]["row"], second.support[0]["row"])
    assert torch.equal(one(40).query["row"], late.query["row"])
    different = sampler(corpus, ["fr", "hi"], "en", covering=True, seed=6)(0)
    assert not torch.equal(one(0).query["row"], different.query["row"])


# Parallel


@few
@given(
    shots=st.integers(1, 8),
    batches=st.integers(1, 2),
    covering=st.booleans(),
    by=by_genre,
    support=st.sampled_from(["en", "zh"]),
    seed=seeds,
    step=steps,
)
def test_parallel_rows_are_translations(corpus, columns, shots, batches, covering, by, support, seed, step):
    draw = sampler(
        corpus, ["fr", "hi"], support, by, shots, shots * batches, None, batches, covering, parallel=True, seed=seed
    )
    episode = draw(step)
    pairs = np.array(corpus["pair"])
    for task in range(len(episode.tasks)):
        check_task(episode, task, columns, shots, shots * batches, batches, support)
        assert pairs[support_rows(episode, task)].tolist() == pairs[rows_of(episode.query, task)].tolist()


def test_episodes_that_are_not_parallel_are_drawn_apart(corpus):
    episode = sampler(corpus, "fr", "en", shots=6, queries=6)(0)
    pairs = np.array(corpus["pair"])
    assert pairs[support_rows(episode, 0)].tolist() != pairs[rows_of(episode.query, 0)].tolist()


def test_what_cannot_be_parallel(corpus):
    complaint(lambda: sampler(corpus, "fr", "en", shots=3, queries=6, parallel=True), "translation", "3 and 6")
    complaint(lambda: sampler(corpus, "fr", shots=6, queries=6, parallel=True), "two different languages")
    table = corpus.to_pandas()
    table.loc[table["language"] == "en", "pair"] += "x"
    other = Dataset.from_pandas(table, preserve_index=False)
    complaint(lambda: sampler(other, "fr", "en", shots=6, queries=6, parallel=True), "no pair", "column pair")


# Leaks


@few
@given(
    codes=language_lists,
    support=st.sampled_from([None, "en", "de", "fr"]),
    target=st.sampled_from(["de", "fr", "zh"]),
    by=by_genre,
    covering=st.booleans(),
    parallel=st.booleans(),
    split=st.sampled_from(["dev", "test", "held-out"]),
    support_split=st.sampled_from([None, "dev", "test"]),
    seed=seeds,
)
def test_no_setting_leaks_the_target_or_a_test_row(
    corpus, columns, codes, support, target, by, covering, parallel, split, support_split, seed
):
    """Whatever is asked for: an error, or no test row and no row of the target but as the support that was named."""
    try:
        draw = sampler(
            corpus, codes, support, by, 3, 3, None, 1, covering, parallel, target, split, support_split, seed
        )
    except InputError:
        return
    for step in range(3):
        episode = draw(step)
        drawn = episode.query["row"].flatten().tolist()
        assert target not in columns["language"][drawn]
        given_rows = episode.support[0]["row"].flatten().tolist()
        assert support == target or target not in columns["language"][given_rows]
        assert "test" not in columns["split"][drawn + given_rows]


def test_a_target_that_would_leak_is_named(corpus):
    complaint(lambda: sampler(corpus, ["fr", "de"], target="de"), "de is a target", "unseen")
    complaint(lambda: sampler(corpus, ["fr", "de"], "en", target=["hi", "de"]), "de is a target")
    complaint(lambda: sampler(corpus, "fr", split="test"), "Test rows are for scoring")
    complaint(lambda: sampler(corpus, "fr", "en", support_split="test"), "Test rows are for scoring")
    few_shot = sampler(corpus, "fr", support="de", target="de")(0)
    assert set(corpus.select(support_rows(few_shot, 0))["language"]) == {"de"}


def test_the_last_guard_sees_a_row_of_another_language(corpus, monkeypatch):
    """Even if the pools were wrong, no episode would leave the sampler with such a row."""
    real = episodes._pools

    def mixed(corpus, split, by):
        pools = dict(real(corpus, split, by))
        pools["fr", None] = pools["de", None]
        return pools

    monkeypatch.setattr(episodes, "_pools", mixed)
    with pytest.raises(AssertionError, match="not all dev rows in fr"):
        sampler(corpus, "fr")(0)
