# %% after 01-07
assert abs(meta_gradient() - 2.88) < 1e-4 and abs(meta_gradient(first_order=True) - 3.6) < 1e-4
assert abs((moved[0] - moved[1]) / 2e-4 - 2.88) < 1e-4

# %% after 01-11
best = {alpha: starts[torch.tensor(losses).argmin()].item() for alpha, losses in landscape.items()}
assert abs(best[0.0001] - 0.8) < 0.02 and abs(best[0.1] - 0.2) < 0.02
assert sorted(best.values(), reverse=True) == list(best.values())  # away from the steep task

# %% after 01-17
means = [sum(r.outer_loss for r in reports["MAML"][i : i + 100]) / 100 for i in (0, 200, 400)]
assert means[0] > means[1] > means[2]

# %% after 01-19
assert max(errors["MAML"][5]) < 0.5 * min(errors["Joint"][5])
at = {name: {k: sum(scores) / 10 for k, scores in found.items()} for name, found in errors.items()}
assert at["MAML"][0] > 0.9 * at["Joint"][0] and at["MAML"][1] < 0.7 * at["Joint"][1]
falls = [at["MAML"][0] - at["MAML"][1], at["MAML"][1] - at["MAML"][2], at["MAML"][2] - at["MAML"][5]]
assert max(falls) == falls[0] > 3 * (at["Joint"][0] - at["Joint"][1]) > 0
assert at["MAML"][10] < at["MAML"][5] and 3 < at["Joint"][5] / at["MAML"][5] < 8

# %% after 01-21
(x, y) = (wave.support[0][axis].flatten() for axis in "xy")
misses = (plots.adaptation_data(maml, wave, x, steps=5, rate=0.01)[:, 0] - y).square().mean(1).tolist()
said = (11, 5, 3, 0.8, 0.5, 0.3)
assert all(abs(miss - about) < 0.25 * about for miss, about in zip(misses, said, strict=True)), misses
