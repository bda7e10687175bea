# %% after 07-03
from minimeta.show.company import company

found = picked(measured, pairs)
low, high = ({name: ends[i] for name, ends in found.items()} for i in (1, 2))
assert [name for name in found if low[name] > 0] == ["Joint − Baseline"]
assert [name for name in found if high[name] < 0] == ["Learned TreeMAML − Fixed TreeMAML"]
for name, said in {
    "Joint − Baseline": (1.7, 0.9, 2.5), "MAML − Joint": (-0.2, -0.8, 0.4),
    "Everyone − MAML": (0.35, -0.18, 0.88), "Everyone − Joint": (0.15, -0.26, 0.56),
    "Fixed TreeMAML − Random tree": (0.01, -0.14, 0.16), "Fixed TreeMAML − Joint": (0.0, -0.28, 0.28),
    "Fixed TreeMAML − Everyone": (-0.15, -0.45, 0.15), "Families TreeMAML − Fixed TreeMAML": (-0.03, -0.09, 0.03),
    "Learned TreeMAML − Fixed TreeMAML": (-1.19, -1.98, -0.39),
}.items():  # fmt: skip
    digits = 1 if name in ("Joint − Baseline", "MAML − Joint") else 2
    assert [round(value, digits) for value in found[name]] == list(said), name
assert max(high[f"Fixed TreeMAML − {control}"] for control in ("Joint", "Everyone", "Random tree")) < 0.3
assert set(measured["seeds"]) == {3} and set(measured["covers"]) == {"premises and seeds"}
assert set(measured["rows"]) == {4 * 5010}

# What the text says of the paper's Table 1.
table = pd.read_csv(results / "paper_treemaml_table1.csv").set_index(["auxiliary_languages", "method"]).loc["all"]
accuracies = table.drop(columns="avg").to_numpy().ravel()
assert len(accuracies) == 48 and (abs(accuracies - 100 * (accuracies * 4.5).round() / 450) < 0.00501).all()
assert (table.loc["Fixed TreeMAML"] > table.loc["MAML"]).all()

# %% after 07-05
families = FAMILIES.keep(PHYLOGENY.leaves)
assert [len(company(PHYLOGENY, "de", step)) for step in (1, 2, 3, 4)] == [11, 8, 1, 0]
relatives = {code: len(company(PHYLOGENY, code, 3)) for code in PHYLOGENY.leaves}
assert max(relatives.values()) == 1 and {code for code in relatives if not relatives[code]} == {"el", "vi", "th", "zh"}
for code in PHYLOGENY.leaves:
    same = [set(company(PHYLOGENY, code, step)) == set(company(families, code, step)) for step in (1, 2, 3, 4)]
    assert all(same) or (code in ("vi", "th", "zh") and same == [True, False, True, True])
    assert code not in ("vi", "th", "zh") or not company(families, code, 2)

longer = pd.read_csv(results / "study_500_steps_tree_small.csv").query("kind == 'few-shot'")
longer = longer.set_index(["method", "control"]).loc["Fixed TreeMAML"]
assert set(longer["seeds"]) == {3} and set(longer["target"]) == {"de"} and set(longer["rows"]) == {5010}
assert longer.loc["Random tree", ["gain", "low", "high"]].astype(float).round(2).tolist() == [-0.01, -0.19, 0.17]
assert set(longer["verdict"]) == {"no difference shown"}

# %% after 07-13
by_seed = {name: [100 * each.mean() for each in found] for name, found in right.items()}


def each(one, other):
    return [a - b for a, b in zip(by_seed[one], by_seed[other], strict=True)]


assert min(each("Joint", "Baseline")) > 4 and max(each("Fixed TreeMAML", "Everyone")) < 0
assert min(each("Fixed TreeMAML", "Random tree")) < 0 < max(each("Fixed TreeMAML", "Random tree"))
assert min(each("Fixed TreeMAML", "MAML")) < 0 < max(each("Fixed TreeMAML", "MAML"))

order = sorted(METHODS, key=lambda name: -np.mean(by_seed[name]))
assert order == ["Everyone", "Joint", "Random tree", "Fixed TreeMAML", "MAML"]

# %% after lt18
one, three = live.values()
assert one["Fixed TreeMAML − MAML"][2] < 0.5 and three["Fixed TreeMAML − MAML"][1] < -2
assert three["Fixed TreeMAML − MAML"][2] > 2 and three["Fixed TreeMAML − MAML"][3] == one["Fixed TreeMAML − MAML"][0]
assert max(three["Fixed TreeMAML − MAML"][3:]) > 2 and min(three["Fixed TreeMAML − Random tree"][3:]) < -2
clear = {name for name, (_, low, high, *_) in three.items() if low > 0 or high < 0}
assert clear == {"Joint − Baseline", "Fixed TreeMAML − Everyone"}

# %% after lt29
assert all(value > before for values in by_count.values() for value in values)
assert max(by_count[2]) - min(by_count[2]) > 5 > 3 > max(by_count[8]) - min(by_count[8])
assert [round(float(np.mean(values))) for values in by_count.values()] == [77, 79, 80]

# %% after which-tree-results
strangers, anyone = over["− Random tree"], over["− Everyone"]
assert len(strangers) == 6 and set(found["covers"]) == {"premises"} and set(found["seeds"]) == {2}
assert set(found["rows"]) == {10_020}
assert [round(end([gain for gain, *_ in strangers.values()]), 2) for end in (min, max)] == [-0.15, 0.06]
assert [round(end([gain for gain, *_ in anyone.values()]), 2) for end in (min, max)] == [-0.32, -0.12]
assert not [name for name, (_, low, high) in strangers.items() if low > 0 or high < 0]
assert [name for name, (_, low, high) in anyone.items() if low > 0 or high < 0] == ["URIEL+ syntax"]

# Two trees of the same groups, which part at other steps.
nine = ("en", "fr", "es", "de", "el", "bg", "ru", "hi", "ur")
parted = [len({PHYLOGENY.clusters(step)[code] for code in nine}) for step in (1, 2, 3, 4)]
shape = shapes["clusters"]
assert shape["Figure 2"] == "1 1 5 9" == " ".join(map(str, parted)) and shape["Glottolog"] == "1 5 8 9"
assert shapes["robinson_foulds"][["Figure 2", "Glottolog"]].tolist() == [0, 0]
(between,) = found.query("tree == 'Glottolog' and control == 'fixed-treemaml'").itertuples()
assert -0.08 < between.gain < 0 and -0.23 < between.low < 0 < between.high < 0.08

# %% after which-tree-own
by_descent, by_grammar, by_place = list(trees.values())[-3:]
assert company(by_descent, "de", 2) == company(by_grammar, "de", 2) == ["en"]
assert all(set(company(by_place, "de", step)) == {"en", "fr", "es", "el", "bg"} for step in (2, 3))
