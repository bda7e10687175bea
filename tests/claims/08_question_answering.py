# %% after qa-04
import pandas as pd

from minimeta.text.heads import span_loss

assert (window.start, window.end) == (60, 62)
assert asked["context"].count("in the forest") == 3 and asked["context"].find("in the forest") < 206

# %% after qa-07
start, end = scores[0].T
values = best_spans(scores, inside[None], k=5)[0][0]
by_hand = -start.log_softmax(0)[window.start] - end.log_softmax(0)[window.end]
assert torch.isclose(by_hand, span_loss(scores, batch["y"])[0])
assert end.argmax() < start.argmax()  # the best end comes before the best start
assert (int(firsts[0, 0]), int(lasts[0, 0])) == (window.start, window.end)
spans = zip(firsts[0, 1:].tolist(), lasts[0, 1:].tolist(), strict=True)
assert sum((i == window.start) != (j == window.end) for i, j in spans) == 2  # two runners-up have one right end
assert (values.diff() < -0.2).all()  # clear enough to be printed

# %% after qa-12
assert training_window(cut) == 3 and [part.end > 0 for part in cut] == [False, False, False, True, True]

# %% after qa-16
found = [(exact_match(said, [right], code), round(f1(said, [right], code), 2)) for said, code, right in cases]
assert found == [(1, 1), (0, 0.57), (0, 0.5), (1, 1), (0, 0.89)]

# %% after qa-21
assert order[0] == "en" and zero_shot["en"][1] > 97
others = [zero_shot[code] for code in order[1:]]
assert 5 < min(f for f, _ in others) and max(f for f, _ in others) < 50
apart = {code: zero_shot[code][0] - zero_shot[code][1] for code in order[1:]}
assert max(apart, key=apart.get) == "fr" and min(apart, key=apart.get) == "th" and min(apart.values()) > 10

# %% after qa-30
for name in ("German", "Arabic", "Urdu", "Chinese"):
    by_method = [gained[name][f"{method} − Baseline"] for method in ("Joint", "X-MAML", "XLA-MAML")]
    assert all(low <= gain <= high for gain, _, _ in by_method for _, low, high in by_method), name
    if name == "Urdu":
        assert all(low > 0 for _, low, _ in by_method)
    elif name == "Chinese":
        assert all(gain < -1 for gain, _, _ in by_method)
        assert [high < 0 for _, _, high in by_method] == [True, False, True]  # Joint's, X-MAML's, XLA-MAML's
    else:
        assert all(low < 0 < high for _, low, high in by_method)

for name, found in gained.items():
    over_joint = [found[f"{method} − Joint"] for method in ("X-MAML", "XLA-MAML")]
    assert all(low < 0.3 and high > -0.3 for _, low, high in over_joint), name

# %% after qa-33
assert compared["Baseline"].f1 < 0.5 and compared["X-MAML"].exact == 1
ends = [dict(zip(each.tokens, each.scores[:, 1], strict=True)) for each in compared.values()]
assert all(abs(end["Jäger"] - end["Tür"]) < 2 for end in ends)

# %% after qa-36
before = answerplots.scored(features, english, "zh")
after, few = (answerplots.scored(features, learners[name]["zh"], "zh") for name in list(learners)[-2:])
for each in (after, few):
    assert each[0].mean() < before[0].mean() - 0.01 and each[1].mean() > before[1].mean() + 0.03
    assert (each[0] == 0).mean() > (before[0] == 0).mean() + 0.05
assert abs(few[0].mean() - after[0].mean()) < 0.03

# %% after qa-38
mean = measured.groupby(["scale", "pair", "metric"])["gain"].mean()
assert set(measured["target"]) == {"es", "de", "ar", "vi", "zh"}
assert mean["paper", "X-MAML − Baseline", "f1"].round(1) == 3.7
assert mean["paper", "XLA-MAML − Baseline", "f1"].round(1) == 4.9

# The paper's F1 over these five languages: what the text says of its Tables 4 and 6.
folder, five = data_directory() / "results", ["es", "de", "ar", "vi", "zh"]
printed = pd.read_csv(folder / "paper_xla_maml_table4_mlqa_f1_em.csv").query("setting == 'zero-shot'")
printed = printed.set_index("method")[five].apply(lambda column: column.str.split("/").str[0].astype(float)).mean(1)
assert printed.round(2).tolist() == [59.28, 62.97, 64.15]
by_rows = pd.read_csv(folder / "paper_xla_maml_table6_sampling.csv").query("task == 'QA' and auxiliary == 'hi'")
at_random = by_rows.set_index("sampling").loc["random", five].astype(float).mean()
assert round(at_random - printed.iloc[1], 1) == 0.3 and round(printed.iloc[2] - printed.iloc[1], 1) == 1.2
for scale in ("toy", "small"):
    for method in ("X-MAML", "XLA-MAML"):
        assert -0.75 < mean[scale, f"{method} − Baseline", "f1"] < 0.15
        assert (mean[scale, f"{method} − Joint"].abs() < 0.6).all()
exact = measured[(measured["metric"] == "exact_match") & (measured["scale"] == "toy")]
exact = exact[exact["pair"].str.endswith("Baseline")]
assert exact[exact["target"] == "zh"]["gain"].between(14, 16).all()
without = exact[exact["target"] != "zh"].groupby("pair")["gain"].mean()
assert without.between(-2, -1).all()

# %% after qa-39
together = scales.together_data()
clear = {
    (pair, place)
    for pair in ("X-MAML − Joint", "XLA-MAML − Joint")
    for place, (_, low, high) in together[pair].items()
    if low > 0 or high < 0
}
assert clear == {("XLA-MAML − Joint", "toy, zero-shot"), ("X-MAML − Joint", "small, zero-shot")}
assert sum(len(together[pair]) for pair in ("X-MAML − Joint", "XLA-MAML − Joint")) == 8
assert together["Joint − Baseline"]["toy, zero-shot"][1] > 0 > together["Joint − Baseline"]["small, zero-shot"][2]
