# %% after 06b-04
assert curves["covering"][35] == len(hindi) == 288 and curves["covering"][34] < 288
assert curves["at random"][-1] == 216
assert round(100 * (1 - 8 / 288) ** 50) == 24 and round(100 * (1 - 8 / 2490) ** 500) == 20

# %% after 06-41
own = sampler(corpus, "hi", shots=8, queries=8, covering=True)
assert len({row for step in range(50) for row in own(step).query["row"].flatten().tolist()}) == 244

# %% after 06b-06
given, asked = (corpus[batch["row"][0, 0].item()] for batch in (episode.support[0], episode.query))
assert given["pair"] == asked["pair"] and (given["language"], asked["language"]) == ("en", "hi")

# %% after 06b-08
mean = {name: round(sum(values) / 6, 1) for name, values in paper_rows().items()}
assert list(mean.values()) == [2.0, 1.7, 2.0, 2.7]

# %% after 06b-11
together = gains["all together"]
assert all(values[1] < 0 < values[2] for values in together.values())
luck = together["drawn again − at random"]
assert 0 < luck[0] < 2 and min(luck[3:]) > -0.5 and abs(luck[0]) > abs(together["covering − at random"][0]) - 0.5
assert max(map(abs, gains["Chinese"]["drawn again − at random"][3:])) > 5
assert list(together["covering − at random"][3:]) == covering_gains and sum(gain > 1 for gain in covering_gains) == 2
spread = torch.tensor(covering_gains).std().item()
assert 0.6 < spread < 1.8 and 6 < (2.8 * spread / 0.7) ** 2 < 50
