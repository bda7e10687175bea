# %% after 06-61
import pandas as pd

from minimeta.show.plane import outer_gradient as in_the_plane


def degrees(rate):
    found = in_the_plane(episode, rate)
    cosine = found.outer @ found.plain / (found.outer @ found.outer * (found.plain @ found.plain)) ** 0.5
    return torch.rad2deg(torch.arccos(torch.tensor(cosine))).item()


assert degrees(0.001) < 1 and abs(degrees(0.1) - 29) < 1 and abs(degrees(0.2) - 48) < 1
assert (targets[:, 1] < -1).all()  # both dots lie low, and the outer step goes up
assert in_the_plane(episode, 0.2).outer[1] < 0 < in_the_plane(episode, 0.2).plain[1]

# %% after 06-63
assert METHODS["joint"].support is None and METHODS["baseline"].trains is False
assert METHODS["xla-maml"].support.fixed == "en" and METHODS["x-maml"].support.name == "same"

# %% after 06-65
assert accuracy["en"] > 0.97 and max(accuracy, key=accuracy.get) == "en" and 0.4 < min(accuracy.values()) < 0.55
assert 0.6 < accuracy["de"] < 0.85

# %% after 06-09
assert language_pairs(x_maml(0), languages) == [("hi", "hi")]
assert language_pairs(xla_maml(0), languages) == [("en", "hi")]
pair = sampler(corpus, query=("bg", "de"), support=("de", "bg"), **batches)
assert language_pairs(pair(0), languages) == [("de", "bg"), ("bg", "de")]

# %% after 06-22
assert all(max(found[1e-5]) < 0.02 for found in change.values())
hindi, german, english_support = (sum(change[name][0.02]) / 8 for name in ("X-MAML", "XLA-MAML few-shot", "XLA-MAML"))
assert 6 < hindi < 15 and 8 < german < 20 and max(change["XLA-MAML"][0.02]) < 1 < min(change["XLA-MAML few-shot"][0.02])

# %% after 06-31
together = gains["all together"]
assert together["Joint − Baseline"][1] > 0 and min(together["Joint − Baseline"][3:]) > 2
assert min(gains["German"]["Joint − Baseline"][3:]) > 4
assert all(abs(values[0]) < 2.5 for name, values in together.items() if name != "Joint − Baseline")
assert max(together["XLA-MAML − X-MAML"][3:]) < 0.7
unlike = sum(seed < 0 for seed in together["XLA-MAML, no step − X-MAML, no step"][3:])
assert unlike >= 3

# %% after 06-36
for name in ("X-MAML", "XLA-MAML"):
    both = [answers[name], answers[f"{name}, no step"]]
    changed = [(both[0][code] != both[1][code]).mean(1) for code in targets]
    assert all(0 < share.min() and share.max() < 0.09 for share in changed)

# %% after 06-33
for name in ("X-MAML", "XLA-MAML"):  # both lose in every seed, and neither always much
    lost = [a - b for a, b in zip(scores[f"{name}, α = 0.02"], scores[f"{name}, α = 0.2"], strict=True)]
    assert min(lost) > -1 and max(lost) > 10, lost
    assert name != "X-MAML" or sum(loss > 5 for loss in lost) >= 2
ends = [trials.right(learner, "en").mean() for learner in learners["XLA-MAML, α = 0.2"]]
assert min(ends) < 0.7 and sorted(ends)[1] > 0.95
assert min(trials.right(learner, "en").mean() for learner in learners["XLA-MAML"]) > 0.92

# %% after 4690425b
found = comparisons.differences(moved).query("kind == 'zero-shot'")


def seeds_of(method, control, auxiliary, target="all"):
    row = found.query("method == @method and control == @control and auxiliaries == @auxiliary and target == @target")
    return row["by_seed"].iloc[0]


others = ("de", "fr", "hi", "ur", "vi")
best = {auxiliary: seeds_of("XLA-MAML", "Baseline", auxiliary, "hi") for auxiliary in ("de", "fr", "ur", "vi")}
for seed in range(2):
    assert max(best, key=lambda auxiliary: best[auxiliary][seed]) == "ur" and best["ur"][seed] > 12
    assert 5.5 < seeds_of("XLA-MAML", "Baseline", "hi", "ur")[seed] < 8.5
    assert all(7.5 < seeds_of("XLA-MAML", "Baseline", auxiliary, "de")[seed] < 12 for auxiliary in ("ur", "vi", "hi"))
    assert all(seeds_of("XLA-MAML", "Joint", auxiliary)[seed] > 0 for auxiliary in ("fr", "vi"))
    assert seeds_of("XLA-MAML", "Joint", "hi")[seed] < 0
for auxiliary in ("de", "ur"):
    assert min(seeds_of("XLA-MAML", "Joint", auxiliary)) < 0 < max(seeds_of("XLA-MAML", "Joint", auxiliary))
single = found[found["target"] != "all"]
english_alone = single.query("method == 'X-MAML' and control == 'Baseline' and auxiliaries == 'en'")
assert max(abs(value) for both in english_alone["by_seed"] for value in both) < 1.6
large = single.query("method == 'XLA-MAML' and control == 'Baseline' and gain > 5.5 and low > 0")
assert set(zip(large["auxiliaries"], large["target"], strict=True)) == {("ur", "de"), ("hi", "zh")}
over = single.query("method == 'XLA-MAML' and control == 'X-MAML'")
assert len(over) == 25 and (over["gain"] > 0).sum() == 23
assert [round(value, 1) for value in seeds_of("XLA-MAML", "X-MAML", "ur")] == [13.5, 1.4]
assert [round(value, 1) for value in seeds_of("X-MAML", "Joint", "ur")] == [-14.5, 0.4]
over_all = found.query("method == 'XLA-MAML' and control == 'Joint' and target == 'all'")
assert set(over_all["auxiliaries"]) == set(others) and (over_all["low"] < 0).all() and (over_all["high"] > 0).all()

# At the paper's settings, on real text.
real = pd.read_csv(data_directory() / "results" / "study_500_steps_transfer_small.csv").query("control == 'Joint'")
assert {"X-MAML", "XLA-MAML"} == set(real["method"]) and set(real["verdict"]) == {"no difference shown"}
assert set(real["seeds"]) == {1} and set(real["kind"]) == {"zero-shot"}

# %% after 4b3ff4e6
assert gain.loc["ur", "hi"] > 10 and abs(gain.loc["en"]).max() < 2

# %% after 06-48
few_shot_seeds = [sampler(corpus, "hi", support="de", **batches, target="de", seed=seed) for seed in range(2)]
begun = {name: learners[name][:2] for name in ("Baseline", "Joint")}
begun["few-shot"] = [trials.train(draw) for draw in few_shot_seeds]
tuned = {
    name: [trials.fine_tuned(learner, "de", seed) for seed, learner in enumerate(own)] for name, own in begun.items()
}
after = trials.gains(trials.answers(tuned, ["de"]), [("Joint", "Baseline"), ("few-shot", "Joint")])["German"]
assert min(after["Joint − Baseline"][3:]) > 6 and after["few-shot − Joint"][0] < 0
