"""The checks of problem set 4: right answers pass, and a mistake is called by its name."""

import random

import numpy as np
import pandas as pd
import pytest
import torch

from minimeta.course import ps4


def dev(table, language, label, split="dev"):
    chosen = (table["language"] == language) & (table["split"] == split) & (table["label"] == label)
    return table.index[chosen].to_numpy(copy=True)


def xla_maml(table, language, source, shots, queries, rng):
    support, query = [], []
    for label in range(3):
        given = rng.permutation(dev(table, source, label))[: shots // 3]
        asked = rng.permutation(np.setdiff1d(dev(table, language, label), given))[: queries // 3]
        support.extend(given)
        query.extend(asked)
    return np.array(support), np.array(query)


def x_maml(table, language, shots, queries, rng):
    return xla_maml(table, language, language, shots, queries, rng)


def with_pandas(table, language, shots, queries, rng):
    pool = table[(table["language"] == language) & (table["split"] == "dev")]
    support = pool.groupby("label").sample(shots // 3, random_state=rng)
    query = pool.drop(support.index).groupby("label").sample(queries // 3, random_state=rng)
    return torch.tensor(support.index.to_numpy()), query.index


def classes(draw):
    """An X-MAML sampler from a function that draws one class: (its rows, number, rng) -> rows."""

    def function(table, language, shots, queries, rng):
        drawn = [draw(dev(table, language, label), (shots + queries) // 3, rng) for label in range(3)]
        return [row for part in drawn for row in part[: shots // 3]], [r for part in drawn for r in part[shots // 3 :]]

    return function


def replaced(pool, n, rng):
    return rng.choice(pool, n)


def without_split(table, language, shots, queries, rng):
    return x_maml(table.assign(split="dev"), language, shots, queries, rng)


def not_test(table, language, shots, queries, rng):
    return x_maml(table.assign(split=table["split"].replace("train", "dev")), "en", shots, queries, rng)


def unbalanced(table, language, shots, queries, rng):
    pool = np.flatnonzero((table["language"] == language) & (table["split"] == "dev"))
    drawn = rng.permutation(pool)[: shots + queries]
    return drawn[:shots], drawn[shots:]


def overlapping(table, language, shots, queries, rng):
    return tuple(
        np.concatenate([rng.permutation(dev(table, language, label))[: n // 3] for label in range(3)])
        for n in (shots, queries)
    )


def in_the_part(table, language, shots, queries, rng):
    pool = table[(table["language"] == language) & (table["split"] == "dev")].reset_index(drop=True)
    return x_maml(pool, language, shots, queries, rng)


def masks(table, *given):
    return tuple(table.index.isin(rows) for rows in x_maml(table, *given))


def sorts_the_table(table, *given):
    drawn = x_maml(table, *given)
    table.sort_values("pair", inplace=True)
    return drawn


def adds_a_column(table, *given):
    table["drawn"] = False
    return x_maml(table, *given)


def halves(pool, n, rng):
    """The support from the first rows, the query from the last: disjoint, but not by chance."""
    return np.concatenate([rng.permutation(pool[: n // 2]), rng.permutation(pool[n // 2 :])[: n - n // 2]])


def numpys_own(pool, n, rng):
    return np.random.permutation(pool)[:n]


def pythons_own(pool, n, rng):
    return random.sample(pool.tolist(), n)


def blank(*given):
    raise NotImplementedError


def divides(*given):
    return 1 / 0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (blank, "not written yet"),
        (lambda *given: blank(), "calls `blank`, which is not written yet"),
        (lambda *given: None, "returned None"),
        (divides, "stopped with ZeroDivisionError: division by zero"),
        (lambda *given: x_maml(*given)[0], "expected the pair support, query"),
        (lambda *given: [part.astype(float) for part in x_maml(*given)], "row numbers are integers"),
        (lambda *given: [part * np.nan for part in x_maml(*given)], "the support has nan"),
        (lambda *given: [part.reshape(3, -1) for part in x_maml(*given)], "has shape (3, 2)"),
        (lambda table, *given: [table.loc[part] for part in x_maml(table, *given)], "is a table"),
        (lambda table, *given: [table["pair"][part] for part in x_maml(table, *given)], "has names (dev/"),
        (lambda *given: ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]), "Not yet"),
        (lambda *given: ([0, 1, 2, 3, 4, 5], [996, 997, 998, 999, 1000, 1001]), "that your function is given"),
        (masks, "np.flatnonzero(mask)"),
        (lambda t, c, s, q, rng: x_maml(t, c, 3 * s, q, rng), "6 is for all classes together"),
        (lambda t, c, s, q, rng: x_maml(t, c, s, q - 3, rng), "the query has 3 rows; expected 6"),
        (lambda t, c, s, q, rng: x_maml(t, "hi", s, q, rng), "the support must be in"),
        (lambda t, c, s, q, rng: xla_maml(t, c, "en", s, q, rng), "the support is English"),
        (lambda t, c, s, q, rng: x_maml(t.assign(language=c), c, s, q, rng), "the support must be in"),
        (without_split, "test rows are for scoring alone"),
        (not_test, "drawn from dev rows"),
        (unbalanced, "expected 2 of each"),
        (overlapping, "no row may be in both"),
        (classes(replaced), "draw without replacement"),
        (classes(lambda pool, n, rng: rng.permutation(pool[:n])), "let chance choose among all"),
        (classes(halves), "let chance choose among all"),
        (classes(lambda pool, n, rng: pool[:n]), "does not use `rng`"),
        (classes(lambda pool, n, rng: np.random.default_rng(0).permutation(pool)[:n]), "does not use `rng`"),
        (classes(lambda pool, n, rng: np.random.default_rng().permutation(pool)[:n]), "in the same state"),
        (classes(numpys_own), "in the same state"),
        (classes(pythons_own), "in the same state"),
        (in_the_part, "numbers of the whole table"),
        (sorts_the_table, "changes its inputs"),
        (adds_a_column, "changes its inputs"),
    ],
)
def test_x_maml_names_the_mistake(capsys, function, words):
    assert ps4.x_maml(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("function", [x_maml, with_pandas, classes(lambda pool, n, rng: rng.permutation(pool)[:n])])
def test_x_maml_right(capsys, function, seed):
    assert ps4.x_maml(function, seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def two_pools(table, language, source, shots, queries, rng):
    """Right as long as the languages differ."""
    return tuple(
        np.concatenate([rng.permutation(dev(table, code, label))[: n // 3] for label in range(3)])
        for code, n in ((source, shots), (language, queries))
    )


def one_permutation(table, language, source, shots, queries, rng):
    drawn = [(rng.permutation(dev(table, source, i)), rng.permutation(dev(table, language, i))) for i in range(3)]
    if source == language:
        drawn = [(asked[queries // 3 :], asked) for _, asked in drawn]
    return [list(np.concatenate([part[i][:n] for part in drawn])) for i, n in enumerate((shots // 3, queries // 3))]


def drops_translations(table, language, source, shots, queries, rng):
    """Keeps the support's translations out of the query: then the rows do not suffice."""
    support, _ = xla_maml(table, language, source, shots, queries, rng)
    rest = table[~table["pair"].isin(table["pair"][support])]
    return support, x_maml(rest, language, 0, queries, rng)[1]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (blank, "not written yet"),
        (lambda *given: None, "returned None"),
        (two_pools, "no row may be in both"),
        (lambda t, c, source, *given: x_maml(t, c, *given), "that is X-MAML"),
        (lambda t, c, source, *given: x_maml(t, source, *given), "both in `source`"),
        (lambda t, c, source, *given: xla_maml(t, source, c, *given), "the wrong way round"),
        (lambda t, c, source, *given: xla_maml(t, c, "en", *given), "whatever `source` says"),
        (lambda t, c, source, s, q, rng: xla_maml(t, c, source, q, s, rng), "the support has 3 rows; expected 9"),
        (lambda t, *given: xla_maml(t.assign(split="dev"), *given), "test rows are for scoring alone"),
        (lambda t, *given: xla_maml(t.assign(split=t["split"].replace("train", "dev")), *given), "train rows"),
        (lambda t, c, source, s, q, rng: xla_maml(t, c, source, s, q, np.random.default_rng(s)), "not use `rng`"),
        (lambda t, c, source, s, q, rng: xla_maml(t, c, source, s, q, np.random.default_rng()), "in the same state"),
        (drops_translations, "the query has 3 rows; expected 36"),
        (lambda t, *given: xla_maml(t, *given)[::-1], "the wrong way round"),
    ],
)
def test_xla_maml_names_the_mistake(capsys, function, words):
    assert ps4.xla_maml(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("function", [xla_maml, one_permutation])
def test_xla_maml_right(capsys, function, seed):
    assert ps4.xla_maml(function, seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def covering(rows, size, passes, rng):
    for _ in range(passes):
        order = rng.permutation(rows)
        for start in range(0, len(rows), size):
            yield order[start : start + size]


def in_place(rows, size, passes, rng):
    """Shuffles one copy again and again: right when each batch is used as it comes."""
    order = rows.copy()
    for _ in range(passes):
        rng.shuffle(order)
        for start in range(0, len(rows), size):
            yield order[start : start + size]


def by_position(rows, size, passes, rng):
    order = np.concatenate([rng.choice(len(rows), len(rows), replace=False) for _ in range(passes)])
    cuts = [i * len(rows) + j for i in range(passes) for j in range(0, len(rows), size)][1:]
    return [rows[part].tolist() for part in np.split(order, cuts)]


def streaming(rows, size, passes, rng):
    order = np.concatenate([rng.permutation(rows) for _ in range(passes)])
    return [order[i : i + size] for i in range(0, len(order), size)]


def filled(rows, size, passes, rng):
    for batch in covering(rows, size, passes, rng):
        yield np.concatenate([batch, rows])[:size] if len(rows) > size else batch


def shuffled_batches(rows, size, passes, rng):
    order = rng.permutation(rows)
    batches = [order[i : i + size] for i in range(0, len(rows), size)]
    for _ in range(passes):
        last = [batches[-1]] if len(batches[-1]) < size else []
        yield from [batches[i] for i in rng.permutation(len(batches) - len(last))] + last


def endless(rows, size, passes, rng):
    while True:
        yield from covering(rows, size, passes, rng)


def shuffles_the_rows(rows, size, passes, rng):
    for _ in range(passes):
        rng.shuffle(rows)
        yield from [rows[i : i + size].copy() for i in range(0, len(rows), size)]


def with_replacement(rows, size, passes, rng):
    return [rng.choice(rows, len(batch)) for batch in covering(rows, size, passes, rng)]


def at_random(rows, size, passes, rng):
    return [rng.choice(rows, len(batch), replace=False) for batch in covering(rows, size, passes, rng)]


def once_shuffled(rows, size, passes, rng):
    return list(covering(rows, size, 1, rng)) * passes


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (blank, "not written yet"),
        (lambda *given: None, "returned None"),
        (lambda *given: 3, "expected batches, one after the other"),
        (lambda *given: [], "no batch came; 3 passes have 18"),
        (lambda *given: np.concatenate(list(covering(*given))), "row after row"),
        (lambda rows, size, passes, rng: covering(rows, size, 1, rng), "only one pass; expected 3"),
        (lambda rows, size, passes, rng: list(covering(rows, size, 1, rng))[:passes], "there are 3 batches"),
        (lambda rows, size, passes, rng: covering(rows[:-1], size, passes, rng), "your batches have"),
        (lambda *given: [batch for batch in covering(*given) if len(batch) == given[1]], "never come"),
        (streaming, "rows of two passes"),
        (filled, "filled up"),
        (shuffled_batches, "shuffle the rows, not the batches"),
        (once_shuffled, "every pass has the same order"),
        (lambda *given: list(in_place(*given)), "takes its slices along"),
        (lambda rows, *given: covering(np.arange(len(rows)), *given), "places in `rows`"),
        (lambda rows, *given: covering(rows + 1, *given), "rows that are not in `rows`"),
        (lambda rows, *given: covering(rows, *given[:2], np.random.default_rng(1)), "does not use `rng`"),
        (lambda rows, *given: covering(rows, *given[:2], np.random.default_rng()), "in the same state"),
        (lambda rows, size, passes, rng: covering(rows, size, passes, np.random), "in the same state"),
        (endless, "more than 26 batches came; 3 passes have 18"),
        (shuffles_the_rows, "changes its inputs"),
        (with_replacement, "comes again, and row"),
        (at_random, "comes again, and row"),
        (lambda rows, size, passes, rng: np.split(np.tile(rows, passes), passes * len(rows) // size), "in which they"),
    ],
)
def test_covering_names_the_mistake(capsys, function, words):
    assert ps4.covering(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("function", [covering, lambda *given: list(covering(*given)), by_position, in_place])
def test_covering_right(capsys, function, seed):
    assert ps4.covering(function, seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def parallel(table, support, language):
    own = table[table["language"] == language]
    row_of = dict(zip(own["pair"], own.index, strict=True))
    return np.array([row_of[pair] for pair in table["pair"][support]])


def merged(table, support, language):
    own = table[table["language"] == language].reset_index(names="row")
    return table.loc[support, ["pair"]].merge(own, on="pair", how="left")["row"]


def indexed(table, support, language):
    own = table.reset_index(names="row").set_index(["language", "pair"])["row"]
    return own.loc[[(language, table.loc[row, "pair"]) for row in support]].tolist()


def in_all_languages(table, support, language):
    return table.index[table["pair"].isin(table["pair"][support])]


def same_label(table, support, language):
    left = {label: dev(table, language, label).tolist() for label in range(3)}
    return [left[label].pop() for label in table["label"][support]]


def offset(table, support, language):
    """Right where the languages follow one another in the same order."""
    first = {code: part.index[0] for code, part in table.groupby("language")}
    return (support - first[table["language"][support[0]]] + first[language]) % len(table)


def sorts_the_support(table, support, language):
    support.sort()
    return parallel(table, support, language)


def part_of(table, support, language):
    own = table[table["language"] == language].reset_index(drop=True)
    return [int(np.flatnonzero(own["pair"] == pair)[0]) for pair in table["pair"][support]]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (blank, "not written yet"),
        (lambda *given: None, "returned None"),
        (lambda t, s, c: t["pair"][s], "has names (dev/"),
        (lambda t, s, c: s, "the support rows themselves"),
        (lambda *given: np.sort(parallel(*given)), "in the table's order; row i of the query"),
        (lambda t, s, c: t.index[t["pair"].isin(t["pair"][s]) & (t["language"] == c)], "in the table's order"),
        (lambda *given: parallel(*given)[::-1], "in another order"),
        (in_all_languages, "take those in `language` alone"),
        (lambda t, s, c: [t.index[t["pair"] == pair][0] for pair in t["pair"][s]], "is not in"),
        (lambda t, s, c: parallel(t, s, "en"), "the support rows themselves"),
        (lambda *given: parallel(*given)[:-1], "there are 5 rows; expected 6"),
        (same_label, "the labels agree, but translations share `pair`"),
        (offset, "Not yet"),
        (part_of, "count within the rows"),
        (sorts_the_support, "changes its inputs"),
        (lambda t, s, c: t.merge(t.loc[s], on="pair"), "is a table"),
        (lambda *given: np.roll(parallel(*given), 1), "in another order"),
    ],
)
def test_parallel_names_the_mistake(capsys, function, words):
    assert ps4.parallel(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("function", [parallel, merged, indexed])
def test_parallel_right(capsys, function, seed):
    assert ps4.parallel(function, seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def leaks(table, support, query, target, few_shot, test="both", of_target="query", both=True):
    """The right answer, or one with a rule left out or changed."""
    language, split = table["language"], table["split"]
    parts = {"both": {*support, *query}, "support": set(support), "query": set(query), "none": set()}[test]
    found = {row for row in parts if split[row] == "test"}
    asked = {"query": set(query), "none": set(), "unless few-shot": set() if few_shot else set(query)}[of_target]
    found |= {row for row in asked if language[row] == target}
    if not few_shot:
        found |= {row for row in support if language[row] == target}
    return found | set(support) & set(query) if both else found


def vectorised(table, support, query, target, few_shot):
    target_rows = table.index[table["language"] == target]
    test_rows = table.index[table["split"] == "test"]
    forbidden = test_rows if few_shot else test_rows.union(target_rows)
    asked = np.concatenate([test_rows, target_rows, support])
    return np.concatenate([np.intersect1d(support, forbidden), np.intersect1d(query, asked)])


def with_translations(table, support, query, target, few_shot):
    shared = table["pair"][query].isin(table["pair"][support])
    return leaks(table, support, query, target, few_shot) | set(query[shared])


def only_dev(table, support, query, target, few_shot):
    rows = {row for row in {*support, *query} if table["split"][row] != "dev"}
    return leaks(table, support, query, target, few_shot) | rows


def places(table, support, query, target, few_shot):
    found = leaks(table, support, query, target, few_shot)
    return {i for rows in (support, query) for i, row in enumerate(rows) if row in found}


def target_support_test(table, support, query, target, few_shot):
    found = leaks(table, support, query, target, few_shot)
    return {row for row in found if not few_shot or row in query or table["language"][row] != target}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (blank, "not written yet"),
        (lambda *given: None, "returned None"),
        (lambda *given: bool(leaks(*given)), "returned False; expected the set"),
        (lambda *given: set(), "is missing from your answer: test rows"),
        (lambda *given: {0}, "is not in the episode at all"),
        (lambda *given: leaks(*given, test="none"), "in any language and any episode"),
        (lambda *given: leaks(*given, test="query"), "test, support) is missing"),
        (lambda *given: leaks(*given, test="support"), "test, query) is missing"),
        (lambda *given: leaks(*given, of_target="none"), "must never be a query"),
        (lambda *given: leaks(*given, of_target="unless few-shot"), "must never be a query, few-shot or not"),
        (lambda *given: leaks(*given[:4], True), "it is a target row, and this is not few-shot"),
        (lambda *given: leaks(*given[:4], False), "allowed: few-shot XLA-MAML takes its support"),
        (lambda *given: leaks(*given[:4], not given[4]), "it is a target row, and this is not few-shot"),
        (lambda *given: leaks(*given, both=False), "it is in the support and in the query"),
        (with_translations, "a translation is another row"),
        (only_dev, "only test rows are kept"),
        (places, "places in the support or the query"),
        (target_support_test, "test, support) is missing"),
        (lambda t, s, q, *rest: leaks(t, set(s), set(q), *rest) | set(s[t["language"][s] != "en"]), "few-shot XLA"),
        (lambda t, *given: t.loc[sorted(leaks(t, *given))], "is a table"),
        (lambda *given: [float(row) for row in leaks(*given)] or [0.5], "row numbers are integers"),
    ],
)
def test_leaks_names_the_mistake(capsys, function, words):
    assert ps4.leaks(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("function", [leaks, lambda *given: sorted(leaks(*given)), vectorised])
def test_leaks_right(capsys, function, seed):
    assert ps4.leaks(function, seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def test_the_tables_are_like_the_corpus():
    """What the checks draw has the columns of mini-NLI, is parallel, and has all splits."""
    for seed in range(3):
        table, others = ps4._table(np.random.default_rng(seed))
        assert isinstance(table.index, pd.RangeIndex) and len({*others, "en"}) == 4
        for split, part in table.groupby("split"):
            assert (part.groupby("pair")["label"].nunique() == 1).all()
            assert (part.groupby("pair")["language"].nunique() == (1 if split == "train" else 4)).all()
        assert table[table["split"] == "dev"].groupby(["language", "label"]).size().min() == 12
