"""The checks of problem set 4: right answers pass, and a mistake is called by its name."""

import copy
import random
from collections import deque

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


def one_seed_for_both(table, language, shots, queries, rng):
    support, query = [], []
    for label in range(3):
        rows, seed = pd.Series(dev(table, language, label)), int(rng.integers(2**31))
        drawn = rows.sample(shots // 3, random_state=seed)
        support.extend(drawn)
        query.extend(rows.drop(drawn.index).sample(queries // 3, random_state=seed))
    return support, query


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


def seeds_numpy(pool, n, rng):
    np.random.seed(int(rng.integers(1 << 30)))
    return np.random.permutation(pool)[:n]


def seeds_python(pool, n, rng):
    random.seed(int(rng.integers(1 << 30)))
    return random.sample(pool.tolist(), n)


def seeds_torch(pool, n, rng):
    torch.manual_seed(int(rng.integers(1 << 30)))
    return pool[torch.randperm(len(pool)).numpy()[:n]]


def without_row_0(pool, n, rng):
    """A row number is taken for a truth value."""
    return [row for row in rng.permutation(pool).tolist() if row][:n]


def first_is_support(pool, n, rng):
    return np.concatenate([pool[:1], rng.permutation(pool[1:])])[:n]


def last_is_query(pool, n, rng):
    return np.concatenate([rng.permutation(pool[:-1])[: n - 1], pool[-1:]])


def rolled(pool, n, rng):
    return np.roll(pool, rng.integers(len(pool)))[:n]


def window(pool, n, rng):
    start = rng.integers(len(pool) - n + 1)
    return pool[start : start + n]


def unshuffled_choice(pool, n, rng):
    """A random set of rows, but numpy does not promise that its order is random, and it is not."""
    return rng.choice(pool, n, replace=False, shuffle=False)


def from_one(pool, n, rng):
    """Draws again what came before, and never the place 0."""
    places = []
    while len(places) < n:
        place = int(rng.integers(min(1, len(pool) - n), len(pool)))
        places += [place] * (place not in places)
    return pool[places]


def train_as_well(table, language, shots, queries, rng):
    """Not test, so dev: right only where the language has no train rows."""
    return x_maml(table.assign(split=table["split"].replace("train", "dev")), language, shots, queries, rng)


def first_rows_ask(table, language, shots, queries, rng):
    """The support is drawn, the query is the first of what is left."""
    drawn = [rng.permutation(dev(table, language, label))[: shots // 3] for label in range(3)]
    left = [np.setdiff1d(dev(table, language, label), drawn[label])[: queries // 3] for label in range(3)]
    return np.concatenate(drawn), np.concatenate(left)


def first_rows_support(*given):
    table, language, shots, queries, rng = given
    return first_rows_ask(table, language, queries, shots, rng)[::-1]


def smallest_class(table, language, shots, queries, rng):
    """One order of places, as many as the smallest class has."""
    pools = [dev(table, language, label) for label in range(3)]
    order = rng.permutation(min(map(len, pools)))
    parts = order[: shots // 3], order[shots // 3 : (shots + queries) // 3]
    return tuple(np.concatenate([pool[part] for pool in pools]) for part in parts)


def one_order(table, language, shots, queries, rng):
    """Classes with as many rows share an order of their places."""
    orders = {}

    def draw(pool, n, rng):
        if len(pool) not in orders:
            orders[len(pool)] = rng.permutation(len(pool))
        return pool[orders[len(pool)]][:n]

    return classes(draw)(table, language, shots, queries, rng)


def one_key(table, language, shots, queries, rng):
    keys = rng.random(len(table))
    return classes(lambda pool, n, rng: pool[np.argsort(keys[: len(pool)])][:n])(table, language, shots, queries, rng)


def topped_up(pool, n, rng):
    """A row that comes again is replaced by the first that has not come."""
    drawn = []
    for row in rng.choice(pool, n):
        drawn.append(row if row not in drawn else next(one for one in pool if one not in drawn))
    return drawn


def next_free(pool, n, rng):
    places = []
    while len(places) < n:
        place = rng.integers(len(pool))
        while place in places:
            place = (place + 1) % len(pool)
        places.append(place)
    return pool[places]


def every_other(pool, n, rng):
    """What was drawn, put in order: the support takes the even places."""
    drawn = np.sort(rng.permutation(pool)[:n])
    return [*drawn[::2], *drawn[1::2]]


def by_blocks(pool, n, rng):
    """One row of each of n blocks."""
    return rng.permutation([rng.choice(block) for block in np.array_split(pool, n)])


def by_steps(pool, n, rng):
    """A random row, and then every second one, until all have had their turn."""
    start = rng.integers(len(pool))
    order = [*range(start, start + len(pool), 2), *range(start + 1, start + len(pool), 2)]
    return pool[np.array(order) % len(pool)][:n]


def later_rows_more(pool, n, rng):
    chances = np.arange(1, len(pool) + 1) + 1.0
    return rng.choice(pool, n, replace=False, p=chances / chances.sum())


def same_state(table, language, shots, queries, rng):
    """Each class begins with the generator as it was."""
    before = rng.bit_generator.state

    def draw(pool, n, rng):
        rng.bit_generator.state = before
        return rng.permutation(pool)[:n]

    return classes(draw)(table, language, shots, queries, rng)


def in_strides(pool, n, rng):
    """A random start and a random step."""
    start, step = rng.integers(len(pool)), rng.choice([i for i in range(1, len(pool)) if np.gcd(i, len(pool)) == 1])
    return pool[(start + step * np.arange(n)) % len(pool)]


def one_class_for_all(table, language, shots, queries, rng):
    """Draws class 0 alone; the others follow, place by place."""
    order = rng.permutation(len(dev(table, language, 0)))

    def draw(pool, n, rng):
        return pool[[*(order[order < len(pool)]), *range(len(order), len(pool))]][:n]

    return classes(draw)(table, language, shots, queries, rng)


def remembers(function):
    """Gives again what it gave for these numbers."""
    kept = {}

    def remembering(table, *given):
        return kept.setdefault((len(table), *given[:-1]), function(table, *given))

    return remembering


def copies_rng(function):
    return lambda *given: function(*given[:-1], copy.deepcopy(given[-1]))


def few_seeds(function):
    return lambda *given: function(*given[:-1], np.random.default_rng(given[-1].integers(100)))


def seeded_by_state(function):
    return lambda *given: function(*given[:-1], np.random.default_rng(given[-1].bit_generator.state["state"]["state"]))


def torchs_own(pool, n, rng):
    own = torch.Generator().manual_seed(int(rng.integers(1 << 30)))
    return torch.from_numpy(pool)[torch.randperm(len(pool), generator=own)[:n]]


def one_by_one(pool, n, rng):
    left, drawn = pool.tolist(), []
    while len(drawn) < n:
        drawn.append(left.pop(rng.integers(len(left))))
    return drawn


def with_spawned(*given):
    return x_maml(*given[:-1], given[-1].spawn(1)[0])


def by_rejection(table, language, shots, queries, rng):
    """Walks through one order of all rows, and takes what is still wanted."""
    wanted = {(part, label): n // 3 for part, n in (("support", shots), ("query", queries)) for label in range(3)}
    found = {"support": [], "query": []}
    for row in rng.permutation(len(table)):
        one = table.iloc[row]
        for part in ("support", "query"):
            if one["language"] == language and one["split"] == "dev" and wanted[part, one["label"]]:
                wanted[part, one["label"]] -= 1
                found[part].append(int(row))
                break
    return found["support"], found["query"]


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
        (lambda *given: [part.reshape(3, -1) for part in x_maml(*given)], "has shape (3, 1)"),
        (lambda table, *given: [table.loc[part] for part in x_maml(table, *given)], "is a table"),
        (lambda table, *given: [table["pair"][part] for part in x_maml(table, *given)], "has names (dev/"),
        (lambda *given: ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]), "Not yet"),
        (lambda *given: ([0, 1, 2, 3, 4, 5], [996, 997, 998, 999, 1000, 1001]), "that your function is given"),
        (masks, "np.flatnonzero(mask)"),
        (lambda t, c, s, q, rng: x_maml(t, c, 3 * s, q, rng), "3 is for all classes together"),
        (lambda t, c, s, q, rng: x_maml(t, c, s, q - 3, rng), "the query has 3 rows; expected 6"),
        (lambda t, c, s, q, rng: x_maml(t, "hi", s, q, rng), "the support must be in"),
        (lambda t, c, s, q, rng: xla_maml(t, c, "en", s, q, rng), "the support is English"),
        (lambda t, c, s, q, rng: x_maml(t.assign(language=c), c, s, q, rng), "the support must be in"),
        (without_split, "of the support's 3 rows are"),
        (not_test, "drawn from dev rows"),
        (unbalanced, "of each"),
        (overlapping, "no row may be in both"),
        (classes(replaced), "the query has a row twice"),
        (classes(lambda pool, n, rng: rng.permutation(pool[:n])), "let chance choose among all"),
        (classes(halves), "let chance choose among all"),
        (classes(lambda pool, n, rng: pool[:n]), "does not use `rng`"),
        (classes(lambda pool, n, rng: np.random.default_rng(0).permutation(pool)[:n]), "does not use `rng`"),
        (classes(lambda pool, n, rng: np.random.default_rng().permutation(pool)[:n]), "in the same state"),
        (classes(numpys_own), "draw with `rng` alone"),
        (classes(pythons_own), "draw with `rng` alone"),
        (in_the_part, "numbers of the whole table"),
        (sorts_the_table, "changes its inputs"),
        (adds_a_column, "changes its inputs"),
        (classes(seeds_numpy), "np.random"),
        (classes(seeds_python), "random"),
        (classes(seeds_torch), "torch"),
        (classes(without_row_0), "row 0 never came as"),
        (classes(lambda pool, n, rng: rng.permutation(pool[1:])[:n]), "chance"),
        (classes(lambda pool, n, rng: rng.permutation(pool[:-1])[:n]), "chance"),
        (classes(first_is_support), "always came as support"),
        (classes(last_is_query), "never came as support"),
        (classes(rolled), "possible sets of query rows"),
        (classes(window), "chance"),
        (classes(unshuffled_choice), "chance"),
        (classes(from_one), "chance"),
        (
            classes(lambda pool, n, rng: np.concatenate([rng.permutation(pool[::2]), rng.permutation(pool[1::2])])[:n]),
            "chance",
        ),
        (classes(lambda pool, n, rng: np.sort(rng.permutation(pool)[:n])), "chance"),
        (train_as_well, "drawn from dev rows"),
        (first_rows_ask, "chance"),
        (first_rows_support, "chance"),
        (smallest_class, "chance"),
        (one_order, "chance"),
        (one_key, "draw"),
        (classes(topped_up), "chance gives about"),
        (classes(next_free), "as likely to meet as any others"),
        (classes(lambda pool, n, rng: rng.permutation(pool[:48])[:n]), "the query has 72 rows; expected 75"),
        (lambda *given: x_maml(*given)[::-1], "which part comes first?"),
        (classes(every_other), "chance"),
        (classes(by_blocks), "chance"),
        (classes(by_steps), "let chance choose"),
        (classes(later_rows_more), "chance"),
        (same_state, "independently"),
        (one_seed_for_both, "came together"),
        (
            classes(lambda pool, n, rng: pool[rng.integers(0, len(pool), len(pool)).argsort(kind="stable")][:n]),
            "chance",
        ),
        (one_class_for_all, "chance"),
        (remembers(x_maml), "does not use `rng`"),
        (classes(in_strides), "let chance choose"),
        (copies_rng(x_maml), "copy"),
        (seeded_by_state(x_maml), "copy"),
        (few_seeds(x_maml), "possible episodes"),
    ],
)
def test_x_maml_names_the_mistake(capsys, function, words):
    assert ps4.x_maml(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(1, 2))
@pytest.mark.parametrize(
    "function",
    [
        x_maml,
        with_pandas,
        classes(lambda pool, n, rng: rng.permutation(pool)[:n]),
        classes(lambda pool, n, rng: rng.choice(pool, n, replace=False)),
        classes(lambda pool, n, rng: pool[np.argsort(rng.random(len(pool)))[:n]]),
        classes(lambda pool, n, rng: random.Random(int(rng.integers(1 << 30))).sample(pool.tolist(), n)),
        classes(torchs_own),
        classes(one_by_one),
        with_spawned,
        lambda *given: tuple(map(set, x_maml(*given))),
        lambda *given: iter(x_maml(*given)),
        lambda *given: tuple(map(iter, x_maml(*given))),
        lambda *given: [map(int, part) for part in x_maml(*given)],
        lambda *given: [dict.fromkeys(part).keys() for part in x_maml(*given)],
        lambda *given: [pd.Series(part, dtype="Int64") for part in x_maml(*given)],
        lambda *given: [part.astype(object) for part in x_maml(*given)],
        lambda *given: [part.astype(np.int16) for part in x_maml(*given)],
        lambda *given: [[torch.tensor(row) for row in part] for part in x_maml(*given)],
        lambda t, c, s, q, rng: [part.tolist() for part in x_maml(t.sort_values("pair"), c, s, q, rng)],
        lambda t, c, s, q, rng: x_maml(t, c, q, s, rng)[::-1],
        lambda t, c, s, q, rng: x_maml(t.sample(frac=1, random_state=rng), c, s, q, rng),
        classes(lambda pool, n, rng: pd.Series(pool).sample(n, random_state=rng).to_list()),
        by_rejection,
    ],
)
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


def pandas_both(table, language, source, shots, queries, rng):
    rows = table.query("split == 'dev'")
    support = rows[rows.language == source].groupby("label").sample(n=shots // 3, random_state=rng)
    query = rows[rows.language == language].drop(support.index, errors="ignore")
    return support.index, query.groupby("label").sample(n=queries // 3, random_state=rng).index


def query_first(table, language, source, shots, queries, rng):
    query, support = xla_maml(table, source, language, queries, shots, rng)
    return support.tolist(), query.tolist()


def in_both(order):
    """An XLA-MAML sampler whose places in the two languages come from one order: (number, number, rng) -> places."""

    def function(table, language, source, shots, queries, rng):
        if source == language:
            return x_maml(table, language, shots, queries, rng)
        support, query = [], []
        for label in range(3):
            pools = dev(table, source, label), dev(table, language, label)
            places = order(len(pools[0]), shots // 3, queries // 3, rng)
            support.extend(pools[0][places[0]])
            query.extend(pools[1][places[1]])
        return support, query

    return function


def same_places(total, shots, queries, rng):
    order = rng.permutation(total)
    return order[:shots], order[:queries]


def other_places(total, shots, queries, rng):
    order = rng.permutation(total)
    return order[:shots], order[total - queries :]


def one_seed(total, shots, queries, rng):
    seed = rng.integers(1 << 30)
    return [np.random.default_rng(seed).permutation(total)[:n] for n in (shots, queries)]


def copied_rng(total, shots, queries, rng):
    return copy.deepcopy(rng).permutation(total)[:shots], rng.permutation(total)[:queries]


def translated(table, language, source, shots, queries, rng):
    """The query says the same as the support, as far as it goes."""
    support, query = xla_maml(table, language, source, shots, queries, rng)
    if source != language and shots == queries:
        query = parallel(table, support, language)
    return support, query


def avoids_translations(table, language, source, shots, queries, rng):
    """Keeps the support's translations out of the query where the rows suffice."""
    if source == language or shots + queries > 54:
        return xla_maml(table, language, source, shots, queries, rng)
    support = xla_maml(table, language, source, shots, queries, rng)[0]
    rest = table[~table["pair"].isin(table["pair"][support])]
    return support, x_maml(rest, language, 0, queries, rng)[1]


def part_without(part, which):
    """Leaves the first or the last row of each class out of the support (0) or of the query (1)."""

    def function(table, language, source, shots, queries, rng):
        code = (source, language)[part]
        gone = [dev(table, code, label)[which] for label in range(3)]
        if source == language:
            return x_maml(table, language, shots, queries, rng)
        drawn = list(xla_maml(table, language, source, shots, queries, rng))
        drawn[part] = xla_maml(table.drop(index=gone), language, source, shots, queries, rng)[part]
        return drawn

    return function


def english_or_same(table, language, source, shots, queries, rng):
    """Knows two kinds of episode, where there are three."""
    return xla_maml(table, language, "en" if source == "en" else language, shots, queries, rng)


def query_not_test(table, language, source, *given):
    train = (table["language"] == language) & (table["split"] == "train")
    return xla_maml(table.assign(split=table["split"].mask(train, "dev")), language, source, *given)


def support_not_test(table, language, source, *given):
    train = (table["language"] == source) & (table["split"] == "train")
    return xla_maml(table.assign(split=table["split"].mask(train, "dev")), language, source, *given)


def apart_by_place(table, language, source, shots, queries, rng):
    """With one language the support comes from the even rows and the query from the odd ones."""
    if source != language or abs(shots - queries) > 3:
        return xla_maml(table, language, source, shots, queries, rng)

    def halved(pool, n, rng):
        half = (n + 1) // 2
        return [*rng.permutation(pool[::2])[:half], *rng.permutation(pool[1::2])[: n - half]]

    return classes(halved)(table, language, shots, queries, rng)


def drops_translations(table, language, source, shots, queries, rng):
    """Keeps the support's translations out of the query: then the rows do not suffice."""
    support, _ = xla_maml(table, language, source, shots, queries, rng)
    rest = table[~table["pair"].isin(table["pair"][support])]
    return support, x_maml(rest, language, 0, queries, rng)[1]


def different(function):
    """Wrong where the languages differ."""

    def sampler(table, language, source, shots, queries, rng):
        if source == language:
            return x_maml(table, language, shots, queries, rng)
        return function(table, language, source, shots, queries, rng)

    return sampler


@different
def key_of_pair(table, language, source, shots, queries, rng):
    """The pairs have one random order: the support takes the first, the query the last."""
    keys = pd.Series(rng.random(table["pair"].nunique()), table["pair"].unique())[table["pair"]].to_numpy()
    support, query = [], []
    for label in range(3):
        given, asked = (sorted(dev(table, code, label), key=lambda row: keys[row]) for code in (source, language))
        support += given[: shots // 3]
        query += asked[len(asked) - queries // 3 :]
    return support, query


@different
def half_translated(table, language, source, shots, queries, rng):
    """Half of the query translates the support, as far as it goes."""
    support, query = xla_maml(table, language, source, shots, queries, rng)
    chosen = {label: [] for label in range(3)}
    for row in [*parallel(table, support, language)[::2], *query, *x_maml(table, language, 0, queries, rng)[1]]:
        mine = chosen[table["label"][row]]
        mine += [row] * (len(mine) < queries // 3 and row not in mine)
    for label, mine in chosen.items():
        mine += [row for row in dev(table, language, label) if row not in mine][: queries // 3 - len(mine)]
    return support, [row for mine in chosen.values() for row in mine]


@different
def class_0_apart(table, language, source, shots, queries, rng):
    """Draws class 0 independently, and the others in one order of places."""
    support, query = [list(part) for part in in_both(same_places)(table, language, source, shots, queries, rng)]
    own = dev(table, language, 0)
    query[: queries // 3] = rng.permutation(own)[: queries // 3]
    return support, query


@different
def rows_above(table, language, source, shots, queries, rng):
    """The query comes from below the first support row of its class, where the rows suffice."""
    support = xla_maml(table, language, source, shots, queries, rng)[0]
    chosen = []
    for label in range(3):
        own = rng.permutation(dev(table, language, label))
        first = min((row for row in support if table["label"][row] == label), default=0)
        chosen += sorted(own, key=lambda row: row < first)[: queries // 3]
    return support, chosen


def same_halves(table, language, source, shots, queries, rng):
    """With one language the support comes from the first half of a class and the query from the second."""
    if source != language or abs(shots - queries) > 3:
        return xla_maml(table, language, source, shots, queries, rng)
    return classes(halves)(table, language, shots, queries, rng)


def query_in_order(table, language, source, shots, queries, rng):
    support = xla_maml(table, language, source, shots, queries, rng)[0]
    own = [np.setdiff1d(dev(table, language, label), support) for label in range(3)]
    return support, np.concatenate([np.roll(part, -rng.integers(len(part)))[: queries // 3] for part in own])


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
        (lambda t, c, source, s, q, rng: xla_maml(t, c, source, q, s, rng), "which of `shots` and `queries`"),
        (lambda t, *given: xla_maml(t.assign(split="dev"), *given), "of the support's"),
        (lambda t, *given: xla_maml(t.assign(split=t["split"].replace("train", "dev")), *given), "train rows"),
        (lambda t, c, source, s, q, rng: xla_maml(t, c, source, s, q, np.random.default_rng(s)), "not use `rng`"),
        (lambda t, c, source, s, q, rng: xla_maml(t, c, source, s, q, np.random.default_rng()), "in the same state"),
        (drops_translations, "0 query rows were translations"),
        (lambda t, *given: xla_maml(t, *given)[::-1], "which part comes first?"),
        (in_both(same_places), "independent"),
        (in_both(other_places), "independent"),
        (in_both(one_seed), "independent"),
        (in_both(copied_rng), "independent"),
        (lambda t, *given: in_both(same_places)(t.sort_values("pair"), *given), "independent"),
        (lambda t, *given: in_both(other_places)(t.sort_values("pair"), *given), "independent"),
        (translated, "translations of support rows"),
        (avoids_translations, "0 query rows were translations"),
        (part_without(0, 0), "chance"),
        (part_without(0, -1), "chance"),
        (part_without(1, 0), "chance"),
        (part_without(1, -1), "chance"),
        (english_or_same, "that is X-MAML"),
        (query_not_test, "train rows"),
        (support_not_test, "train rows"),
        (apart_by_place, "chance"),
        (key_of_pair, "0 query rows were translations"),
        (half_translated, "translations of support rows"),
        (class_0_apart, "independently"),
        (rows_above, "chance"),
        (same_halves, "chance"),
        (query_in_order, "let chance choose"),
        (remembers(xla_maml), "does not use `rng`"),
        (
            lambda t, c, source, s, q, rng: (
                xla_maml(t, c, source, s, 0, rng)[0],
                xla_maml(t, c, source, 0, q, rng)[1],
            ),
            "no row may be in both",
        ),
        (copies_rng(xla_maml), "copy"),
        (seeded_by_state(xla_maml), "copy"),
        (few_seeds(xla_maml), "possible episodes"),
        (
            lambda t, c, source, *given: (
                classes(seeds_torch)(t, c, *given) if c == source else xla_maml(t, c, source, *given)
            ),
            "torch",
        ),
    ],
)
def test_xla_maml_names_the_mistake(capsys, function, words):
    assert ps4.xla_maml(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(1, 2))
@pytest.mark.parametrize(
    "function",
    [
        xla_maml,
        one_permutation,
        lambda *given: iter(xla_maml(*given)),
        lambda *given: tuple(map(iter, xla_maml(*given))),
        lambda *given: [set(map(int, part)) for part in xla_maml(*given)],
        lambda *given: [torch.tensor(part) for part in xla_maml(*given)],
        lambda *given: [pd.Index(part) for part in xla_maml(*given)],
        pandas_both,
        different(lambda t, c, source, s, q, rng: (x_maml(t, source, s, 0, rng)[0], x_maml(t, c, 0, q, rng)[1])),
        lambda t, *given: [part.astype(np.uint16) for part in xla_maml(t.sort_values("label"), *given)],
        lambda t, *given: xla_maml(t.sample(frac=1, random_state=given[-1]), *given),
        lambda *given: [torch.tensor(part).flip(0) for part in xla_maml(*given)],
        query_first,
        lambda *given: xla_maml(*given[:-1], np.random.default_rng(given[-1].integers(1 << 62))),
    ],
)
def test_xla_maml_right(capsys, function, seed):
    assert ps4.xla_maml(function, seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def covering(rows, size, passes, rng):
    for _ in range(passes):
        order = rng.permutation(rows)
        for start in range(0, len(rows), size):
            yield order[start : start + size]


def in_place(rows, size, passes, rng):
    """Shuffles one copy again and again, and its slices with it: whoever keeps the batches has one order."""
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


def ordered(order):
    """Batches from a function that gives all the orders, one for each pass: (rows, passes, rng) -> orders."""

    def function(rows, size, passes, rng):
        for one in order(np.array(rows), passes, rng):
            yield from [one[i : i + size].copy() for i in range(0, len(one), size)]

    return function


def never_last(rows, passes, rng):
    """New rows go before the last one."""
    for _ in range(passes):
        order = []
        for row in rows:
            order.insert(int(rng.integers(max(1, len(order)))), row)
        yield np.array(order)


def half_shuffled(rows, passes, rng):
    half = (len(rows) + 1) // 2
    return [np.concatenate([rng.permutation(rows[:half]), rows[half:]]) for _ in range(passes)]


def halves_shuffled(rows, passes, rng):
    half = (len(rows) + 1) // 2
    return [np.concatenate([rng.permutation(rows[:half]), rng.permutation(rows[half:])]) for _ in range(passes)]


def rolled_on(rows, passes, rng):
    order = rng.permutation(rows)
    return [np.roll(order, rng.integers(len(rows))) for _ in range(passes)]


def there_and_back(rows, passes, rng):
    order = rng.permutation(rows)
    return [order[:: (-1) ** i] for i in range(passes)]


def two_orders(rows, passes, rng):
    orders = [rng.permutation(rows) for _ in range(2)]
    return [orders[i % 2] for i in range(passes)]


def within_batches(rows, size, passes, rng):
    for _ in range(passes):
        yield from [rng.permutation(rows[i : i + size]) for i in range(0, len(rows), size)]


def batches_at_random(rows, size, passes, rng):
    """The batches change places, and the rows in each; the short one stays last."""
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    full = len(rows) // size
    for _ in range(passes):
        yield from [rng.permutation(batches[i]) for i in [*rng.permutation(full), *range(full, len(batches))]]


def seeded(module, seed):
    def function(rows, size, passes, rng):
        seed(int(rng.integers(1 << 30)))
        for _ in range(passes):
            order = rows[torch.randperm(len(rows)).numpy()] if module is torch else module.permutation(rows)
            yield from [order[i : i + size] for i in range(0, len(rows), size)]

    return function


def swaps_once(rows, passes, rng):
    """Two rows change places, so the order is nearly that of the pass before."""
    orders = [rng.permutation(rows)]
    for _ in range(passes - 1):
        i, j = rng.choice(len(rows), 2, replace=False) if len(rows) > 1 else (0, 0)
        orders.append(orders[-1].copy())
        orders[-1][[i, j]] = orders[-1][[j, i]]
    return orders


def never_same(rows, passes, rng):
    """An order that equals the one before is drawn again."""
    orders = [rng.permutation(rows)]
    while len(orders) < passes:
        order = rng.permutation(rows)
        orders += [order] * int(len(rows) == 1 or (order != orders[-1]).any())
    return orders


def no_row_twice_running(rows, passes, rng):
    orders = [rng.permutation(rows)]
    while len(orders) < passes:
        order = rng.permutation(rows)
        orders += [order] * int(len(rows) == 1 or order[0] != orders[-1][-1])
    return orders


def apart_from_before(rows, size, passes, rng):
    """Of ten orders the one in which the fewest meet again who met in the pass before."""
    met = set()
    for _ in range(passes):
        orders = [rng.permutation(rows) for _ in range(10)]
        batches = [[frozenset(order[i : i + size].tolist()) for i in range(0, len(rows), size)] for order in orders]
        pairs = [{frozenset((a, b)) for batch in each for a in batch for b in batch if a < b} for each in batches]
        least = min(range(10), key=lambda i: len(pairs[i] & met))
        met = pairs[least]
        yield from [orders[least][i : i + size] for i in range(0, len(rows), size)]


def left_over_first(rows, size, passes, rng):
    """The rows of the short batch come again in the first batch of the next pass."""
    short, before = len(rows) % size, None
    for _ in range(passes):
        order = rng.permutation(rows)
        if short and before is not None:
            order = np.concatenate([before[-short:], rng.permutation(before[:-short])])
        before = order
        yield from [order[i : i + size] for i in range(0, len(rows), size)]


def short_first(rows, size, passes, rng):
    for _ in range(passes):
        yield from np.split(rng.permutation(rows), range(len(rows) % size or size, len(rows), size))


def one_buffer(rows, size, passes, rng):
    buffer = np.empty(size, int)
    for batch in covering(rows, size, passes, rng):
        buffer[: len(batch)] = batch
        yield buffer[: len(batch)]


def inserted(rows, passes, rng):
    """Each row goes in before one that is there: never to the end."""
    orders = [[] for _ in range(passes)]
    for order in orders:
        for row in rows:
            order.insert(rng.integers(max(len(order), 1)), row)
    return map(np.array, orders)


def riffled(rows, passes, rng):
    """Two halves into one, by chance; each keeps its order."""
    orders = []
    for _ in range(passes):
        order, first = np.empty_like(rows), rng.permutation(len(rows)) < len(rows) // 2
        order[first], order[~first] = rows[: first.sum()], rows[first.sum() :]
        orders.append(order)
    return orders


def few_swaps(rows, passes, rng):
    orders = [rows.copy() for _ in range(passes)]
    for order in orders:
        for _ in range(len(rows)):
            i, j = rng.integers(len(rows), size=2)
            order[[i, j]] = order[[j, i]]
    return orders


def shifted_by_a_batch(rows, size, passes, rng):
    order = rng.permutation(rows)
    for _ in range(passes):
        yield from [order[i : i + size] for i in range(0, len(order), size)]
        order = np.roll(order, size)


def seed_of_a_pass(rows, passes, rng):
    return [np.random.default_rng(rng.integers(50)).permutation(rows) for _ in range(passes)]


def without_singles(rows, size, passes, rng):
    return [batch for batch in covering(rows, size, passes, rng) if len(batch) > 1 or size == 1]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (blank, "not written yet"),
        (lambda *given: None, "returned None"),
        (lambda *given: 3, "expected batches, one after the other"),
        (lambda *given: [], "no batch came; one pass has 1"),
        (lambda *given: np.concatenate(list(covering(*given))), "row after row"),
        (lambda rows, size, passes, rng: covering(rows, size, 1, rng), "passes over the rows is 1; expected 2"),
        (
            lambda rows, size, passes, rng: list(covering(rows, size, 1, rng))[:passes],
            "passes over the rows is 1; expected 2",
        ),
        (lambda rows, size, passes, rng: covering(rows[:-1], size, passes, rng), "no batch came"),
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
        (lambda rows, size, passes, rng: covering(rows, size, passes, np.random), "draw with `rng` alone"),
        (endless, "more than 9 batches came; one pass has 1"),
        (shuffles_the_rows, "changes its inputs"),
        (with_replacement, "comes again, and row"),
        (at_random, "comes again, and row"),
        (lambda rows, size, passes, rng: np.split(np.tile(rows, passes), passes * len(rows) // size), "in which they"),
        (in_place, "takes its slices along"),
        (ordered(lambda rows, passes, rng: [np.roll(rows, rng.integers(len(rows))) for _ in range(passes)]), "order"),
        (ordered(rolled_on), "order"),
        (ordered(lambda rows, passes, rng: [rng.permutation(rows), *[rows] * (passes - 1)]), "order"),
        (ordered(lambda rows, passes, rng: [*[rows] * (passes - 1), rng.permutation(rows)]), "order"),
        (ordered(half_shuffled), "order"),
        (ordered(halves_shuffled), "order"),
        (ordered(there_and_back), "draw a new order for each"),
        (ordered(two_orders), "order"),
        (ordered(swaps_once), "order"),
        (ordered(lambda rows, n, rng: [np.append(rng.permutation(rows[:-1]), rows[-1]) for _ in range(n)]), "order"),
        (ordered(lambda rows, n, rng: [np.append(rows[0], rng.permutation(rows[1:])) for _ in range(n)]), "order"),
        (ordered(lambda rows, n, rng: [[row for row in rng.permutation(rows) if row] for _ in range(n)]), "Not yet"),
        (within_batches, "order"),
        (apart_from_before, "as likely as any other"),
        (left_over_first, "as likely as any other"),
        (ordered(never_same), "draw each anew"),
        (ordered(never_last), "number 1 in `rows` came in batch 3 of pass 1 60 times (chance gives about 20)"),
        (ordered(no_row_twice_running), "draw each anew"),
        (short_first, "the short batch must be the last of its pass"),
        (one_buffer, "one array that is filled again"),
        (ordered(inserted), "as likely as any other"),
        (ordered(riffled), "as likely as any other"),
        (ordered(few_swaps), "as likely as any other"),
        (shifted_by_a_batch, "draw a new order for each"),
        (ordered(seed_of_a_pass), "Not yet"),
        (
            ordered(lambda rows, n, rng: [rng.choice(rows, len(rows), False, shuffle=False) for _ in range(n)]),
            "not use",
        ),
        (
            ordered(lambda rows, n, rng: [rows[np.argsort(rng.integers(0, 9, len(rows)))] for _ in range(n)]),
            "as likely as any other",
        ),
        (batches_at_random, "shuffle the rows, not the batches"),
        (without_singles, "never come"),
        (copies_rng(covering), "copy"),
        (copies_rng(lambda *given: list(covering(*given))), "copy"),
        (seeded_by_state(covering), "copy"),
        (few_seeds(covering), "few seeds"),
        (seeded(np.random, np.random.seed), "np.random"),
        (seeded(torch, torch.manual_seed), "torch"),
        (lambda rows, size, *rest: covering(rows, max(size, 2), *rest), "Not yet"),
        (lambda rows, size, passes, rng: covering(rows, size, min(passes, 3), rng), "passes"),
        (lambda rows, size, passes, rng: covering(rows, size, max(passes, 2), rng), "passes"),
    ],
)
def test_covering_names_the_mistake(capsys, function, words):
    assert ps4.covering(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "function",
    [
        covering,
        lambda *given: list(covering(*given)),
        by_position,
        lambda *given: [batch.copy() for batch in in_place(*given)],
        lambda *given: tuple(map(tuple, covering(*given))),
        lambda *given: [set(batch.tolist()) for batch in covering(*given)],
        lambda *given: map(np.sort, covering(*given)),
        lambda *given: [np.append(batch[-1:], batch[:-1]) for batch in map(np.sort, covering(*given))],
        lambda *given: deque(torch.tensor(batch) for batch in covering(*given)),
        lambda *given: [pd.Series(batch) for batch in covering(*given)],
        lambda *given: [iter(batch) for batch in covering(*given)],
        ordered(lambda rows, passes, rng: [rows[np.argsort(rng.random(len(rows)))] for _ in range(passes)]),
        ordered(lambda rows, passes, rng: rng.permuted(np.tile(rows, (passes, 1)), axis=1)),
        ordered(
            lambda rows, n, rng: [
                np.array(random.Random(int(rng.integers(1 << 30))).sample(rows.tolist(), len(rows))) for _ in range(n)
            ]
        ),
        ordered(lambda rows, n, rng: [pd.Series(rows).sample(frac=1, random_state=rng).to_numpy() for _ in range(n)]),
        ordered(lambda rows, n, rng: [rng.choice(rows, len(rows), replace=False) for _ in range(n)]),
        ordered(lambda rows, n, rng: [np.array(one_by_one(rows, len(rows), rng)) for _ in range(n)]),
        lambda *given: [batch[::-1].astype(np.int16) for batch in covering(*given)],
        lambda rows, size, passes, rng: covering(torch.tensor(rows), size, passes, rng.spawn(1)[0]),
    ],
)
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


def by_number(table, support, language):
    """Knows the pair by its number alone, which the splits share."""
    number = table["pair"].str.split("/").str[1]
    own = number[table["language"] == language]
    return [own.index[own == number[row]][0] for row in support]


def by_beginning(table, support, language):
    """dev/12 begins with dev/1."""
    own = table["pair"][table["language"] == language]
    return [own.index[own.str.startswith(table["pair"][row])][0] for row in support]


def both_sorted(table, support, language):
    """The k-th pair of the support's rows is taken for the k-th of the language's."""
    own = table[(table["language"] == language) & table["pair"].isin(table["pair"][support])].sort_values("pair")
    return own.index[np.argsort(np.argsort(support))]


def searched(table, support, language):
    """Looks up in a list as if it were sorted."""
    own = table[table["language"] == language]
    places = np.searchsorted(own["pair"].to_numpy(), table["pair"][support].to_numpy())
    return own.index[np.minimum(places, len(own) - 1)]


def from_english(table, support, language):
    """Counts on a support in English."""
    english = table[table["language"] == "en"]
    pairs = dict(zip(english.index, english["pair"], strict=True))
    own = table[table["language"] == language].set_index("pair")
    own["row"] = table.index[table["language"] == language]
    return [own["row"][pairs[row]] if row in pairs else -1 for row in support]


def of_one_language(table, support, language):
    """Counts on a support in one language."""
    source = table["language"][support[0]]
    pairs = table["pair"][[row for row in support if table["language"][row] == source]]
    own = table[table["language"] == language].reset_index().set_index("pair")["index"]
    return own.loc[pairs].tolist()


def first_time_only(table, support, language):
    """A pair that comes again is left out."""
    found = dict.fromkeys(parallel(table, support, language).tolist())
    return list(found)


def table_times_support(table, support, language):
    own = table.index[table["language"] == language].to_numpy()
    same = table["pair"].to_numpy()[own][:, None] == table["pair"].to_numpy()[support]
    return own[same.nonzero()[0]]


def without_its_own(table, support, language):
    return parallel(table, [row for row in support if table["language"][row] != language], language)


def misplaced_sorter(table, support, language):
    """The places in the sorted list are taken for places in the list."""
    own = table[table["language"] == language]
    order = np.argsort(own["pair"].to_numpy())
    return own.index[np.searchsorted(own["pair"].to_numpy()[order], table["pair"].to_numpy()[support])]


def or_nothing(table, support, language):
    """Row 0 is taken for no row."""
    found = parallel(table, support, language).tolist()
    return [row or support[i] for i, row in enumerate(found)]


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
        (lambda *given: parallel(*given)[:-1], "there are 0 rows; expected 1"),
        (same_label, "the labels agree, but translations share `pair`"),
        (offset, "Not yet"),
        (part_of, "count within the rows"),
        (sorts_the_support, "changes its inputs"),
        (lambda t, s, c: t.merge(t.loc[s], on="pair"), "is a table"),
        (lambda *given: np.roll(parallel(*given), 1), "in another order"),
        (by_number, "is not the translation"),
        (lambda t, s, c: [r if t["language"][s[i]] != c else s[0] for i, r in enumerate(parallel(t, s, c))], "is not"),
        (by_beginning, "is not the translation"),
        (both_sorted, "Not yet"),
        (searched, "Not yet"),
        (from_english, "Not yet"),
        (or_nothing, "Not yet"),
        (of_one_language, "Not yet"),
        (first_time_only, "two of them share a pair"),
        (lambda t, s, c: s if t["language"][s[0]] == c else parallel(t, s, c), "these are the support rows themselves"),
        (
            lambda t, s, c: s if t["language"][s[-1]] == c else parallel(t, s, c),
            "these are the support rows themselves",
        ),
        (table_times_support, "in the table's order"),
        (without_its_own, "Not yet"),
        (misplaced_sorter, "Not yet"),
        (lambda t, s, c: t.loc[s].merge(t[t["language"] == c].reset_index(), on="pair", sort=True)["index"], "order"),
        (lambda t, s, c: parallel(t, s[t["label"][s].to_numpy().argsort(kind="stable")], c), "in another order"),
        (lambda t, s, c: np.where(t["language"][s] == c, -1, parallel(t, s, c)), "begin at 0"),
        (lambda *given: set(parallel(*given)), "a set has no order"),
        (lambda *given: dict(zip(given[1], parallel(*given), strict=True)), "Not yet"),
        (lambda t, s, c: parallel(t, s, c)[:6], "there are 6 rows"),
        (lambda t, s, c: parallel(t, np.unique(s), c), "in another order"),
        (lambda t, s, c: parallel(t, s, c) if len(s) > 1 else parallel(t, s, c)[0], "one dimension"),
        (lambda t, s, c: parallel(t, s, c)[np.argsort(t["label"][s], kind="stable")], "in another order"),
    ],
)
def test_parallel_names_the_mistake(capsys, function, words):
    assert ps4.parallel(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "function",
    [
        parallel,
        merged,
        indexed,
        lambda *given: parallel(*given).tolist(),
        lambda *given: tuple(parallel(*given)),
        lambda *given: map(int, parallel(*given)),
        lambda *given: torch.tensor(parallel(*given)),
        lambda *given: pd.Series(parallel(*given), dtype="Int64"),
        lambda *given: parallel(*given).astype(object),
        lambda *given: dict(zip(given[1], parallel(*given), strict=True)).values(),
        lambda t, s, c: (t["pair"].to_numpy()[s][:, None] == t["pair"].where(t["language"] == c).to_numpy()).argmax(1),
        lambda t, s, c: pd.Series(t.index, t["language"] + t["pair"])[c + t["pair"][s]].array,
        lambda t, s, c: t[t["language"] == c].reset_index().set_index("pair").reindex(t["pair"][s])["index"],
        lambda t, s, c: (row for row in parallel(t, s, c).astype(np.int32)),
        lambda t, s, c: [next(i for i in t.index if t["pair"][i] == t["pair"][r] and t["language"][i] == c) for r in s],
    ],
)
def test_parallel_right(capsys, function, seed):
    assert ps4.parallel(function, seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def leaks(table, support, query, target, few_shot, test="both", of_target="query", both=True, few=("dev",)):
    """The right answer, or one with a rule left out or changed."""
    language, split = table["language"], table["split"]
    parts = {"both": {*support, *query}, "support": set(support), "query": set(query), "none": set()}[test]
    found = {row for row in parts if split[row] == "test"}
    asked = {"query": set(query), "none": set(), "unless few-shot": set() if few_shot else set(query)}[of_target]
    found |= {row for row in asked if language[row] == target}
    welcome = few if few_shot else ()
    found |= {row for row in support if language[row] == target and split[row] not in welcome}
    return found | set(support) & set(query) if both else found


def vectorised(table, support, query, target, few_shot):
    target_rows = table.index[table["language"] == target]
    test_rows = table.index[table["split"] == "test"]
    forbidden = test_rows if few_shot else test_rows.union(target_rows)
    asked = np.concatenate([test_rows, target_rows, support])
    train = np.setdiff1d(target_rows, table.index[table["split"] == "dev"])
    forbidden = np.union1d(forbidden, train)
    return np.union1d(np.intersect1d(support, forbidden), np.intersect1d(query, asked))


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


def twice(table, support, query, target, few_shot):
    """A list, in which a row with two faults stands twice."""
    rows = [row for row in [*support, *query] if row in leaks(table, support, query, target, few_shot)]
    return [*rows, *set(support) & set(query)]


def first_rule_only(table, support, query, target, few_shot):
    """Stops at the first rule that is broken."""
    rules = [dict(of_target="none", both=False), dict(test="none", both=False), dict(test="none", of_target="none")]
    found = [leaks(table, support, query, target, few_shot or i != 1, **rule) for i, rule in enumerate(rules)]
    return next((rows for rows in found if rows), set())


def same_place(table, support, query, target, few_shot):
    """In both, but only where they stand at one place."""
    found = leaks(table, support, query, target, few_shot, both=False)
    return found | {a for a, b in zip(support, query, strict=False) if a == b}


def only(language=None, split=None, target=None):
    """The right answer without what the function of (language, split, is it the target's?) turns down."""

    def function(t, support, query, code, few_shot):
        found = leaks(t, support, query, code, few_shot)
        return {
            row
            for row in found
            if row in {*support} & {*query}
            or not (
                language in (None, t["language"][row])
                and split in (None, t["split"][row])
                and target in (None, t["language"][row] == code)
            )
        }

    return function


def third_language(table, support, query, target, few_shot):
    """What is in no language of the query, and not English, is taken for the target's."""
    known = {"en", *table["language"][query]} - {target}
    codes = table["language"].where(table["language"].isin(known), target)
    return leaks(table.assign(language=codes), support, query, target, few_shot)


def few_shot_forgives(table, support, query, target, few_shot):
    """In few-shot episodes with target support the test rows of the support are forgotten."""
    found = leaks(table, support, query, target, few_shot)
    return found - set(support) if few_shot and target in set(table["language"][support]) else found


def train_may_ask(table, support, query, target, few_shot):
    found = leaks(table, support, query, target, few_shot)
    return {
        row for row in found if table["split"][row] != "train" or row in support or table["language"][row] != target
    }


def translation_of_target(table, support, query, target, few_shot):
    """A few-shot support row whose translation is asked is turned down."""
    asked = set(table["pair"][query])
    return leaks(table, support, query, target, few_shot) | {
        row for row in support if few_shot and table["language"][row] == target and table["pair"][row] in asked
    }


def mixed_up(table, support, query, target, few_shot):
    """`or` before `and`: a test row is a leak only in the target's language or in the support."""
    found = leaks(table, support, query, target, few_shot, test="support")
    return found | {row for row in query if table["split"][row] == "test" and table["language"][row] == target}


def in_the_table(table, support, query, target, few_shot):
    """All rows of the target, in the episode or not."""
    return leaks(table, support, query, target, few_shot) | set(table.index[table["language"] == target])


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (blank, "not written yet"),
        (lambda *given: None, "returned None"),
        (lambda *given: bool(leaks(*given)), "returned False; expected the set"),
        (lambda *given: set(), "is missing from your answer"),
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
        (only_dev, "a train row is no leak"),
        (places, "places in the support or the query"),
        (target_support_test, "test, support) is missing"),
        (lambda t, s, q, *rest: leaks(t, set(s), set(q), *rest) | set(s[t["language"][s] != "en"]), "is allowed"),
        (lambda t, *given: t.loc[sorted(leaks(t, *given))], "is a table"),
        (lambda *given: [float(row) for row in leaks(*given)] or [0.5], "row numbers are integers"),
        (lambda *given: leaks(*given, few=("dev", "train")), "train"),
        (twice, "twice"),
        (lambda *given: [*leaks(*given, both=False), *set(given[1]) & set(given[2])], "twice"),
        (first_rule_only, "is missing"),
        (same_place, "in the support and in the query"),
        (only(language="en", split="test"), "in any language"),
        (only(split="test", target=False), "in any language"),
        (only(split="test", target=True), "in any language"),
        (only(split="train"), "is missing"),
        (only(split="dev", target=True), "is missing"),
        (third_language, "allowed: it is not a target row"),
        (few_shot_forgives, "is missing"),
        (train_may_ask, "must never be a query"),
        (translation_of_target, "allowed: few-shot XLA-MAML"),
        (mixed_up, "test, query) is missing"),
        (lambda *given: [row for row in given[1] if row in leaks(*given)], "query) is missing"),
        (lambda *given: leaks(*given) or None, "gives the empty set"),
        (lambda t, s, q, c, few: leaks(t, s[:3], q, c, few), "is missing"),
        (in_the_table, "not in the episode"),
        (lambda *given: {row for row in leaks(*given) if row}, "row 0"),
        (lambda *given: len(leaks(*given)), "row numbers"),
        (lambda *given: [leaks(*given)], "Not yet"),
        (lambda *given: leaks(*given) - set(given[1]) | set(given[1][:1]) & leaks(*given), "is missing"),
        (
            lambda t, s, q, c, few: leaks(t, s, q, c, few) - ({*s} & {*q} if c in set(t["language"][s]) else set()),
            "is missing",
        ),
        (lambda t, s, q, c, few: leaks(t, s, q, c, few and "en" not in set(t["language"][s])), "allowed"),
        (
            lambda t, s, q, c, few: leaks(t, s, q, c, few) if len(s) <= len(q) else leaks(t, s[: len(q)], q, c, few),
            "is missing",
        ),
    ],
)
def test_leaks_names_the_mistake(capsys, function, words):
    assert ps4.leaks(function) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and words in said and said.count("Not yet") == 1


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "function",
    [
        leaks,
        lambda t, s, q, c, few: leaks(t, s[::-1], q[::-1], c, few, few=["dev"]),
        lambda *given: (row for row in [*given[1], *set(given[2]) - set(given[1])] if row in leaks(*given)),
        lambda t, s, q, c, few: t.loc[sorted({*s, *q})].index.intersection(list(leaks(t, s, q, c, few))),
        lambda *given: np.array(list(leaks(*given)), dtype=object),
        vectorised,
        lambda *given: sorted(leaks(*given)),
        lambda *given: frozenset(leaks(*given)),
        lambda *given: iter(leaks(*given)),
        lambda *given: dict.fromkeys(leaks(*given)).keys(),
        lambda *given: torch.tensor([int(row) for row in leaks(*given)]),
        lambda *given: pd.Series(sorted(leaks(*given)), dtype=object),
        lambda *given: np.array(sorted(leaks(*given))),
        lambda table, *given: table.index[table.index.isin(list(leaks(table, *given)))],
    ],
)
def test_leaks_right(capsys, function, seed):
    assert ps4.leaks(function, seed=seed) is True
    assert capsys.readouterr().out.startswith("Right: ")


def test_the_tables_are_like_the_corpus():
    """What the checks draw has the columns of mini-NLI, is parallel, and has all splits."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        languages = ps4._languages(rng)
        table = ps4._table(rng, languages, (12, 13, 14), ends=(languages[1], "en"))
        assert isinstance(table.index, pd.RangeIndex) and len(set(languages)) == 4 and languages[0] == "en"
        for _, part in table.groupby("split"):
            assert (part.groupby("pair")["label"].nunique() == 1).all()
            assert (part.groupby("pair")["language"].nunique() == 4).all()
        assert table[table["split"] == "dev"].groupby(["language", "label"]).size().min() == 12
        assert table["language"].iloc[[0, -1]].tolist() == [languages[1], "en"]
        assert table["split"].iloc[[0, -1]].tolist() == ["dev", "dev"]
