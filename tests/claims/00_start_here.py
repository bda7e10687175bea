# %% after 00-04
ends = {name: found.distances[-1].mean() for name, found in ways.items()}
assert ends["TreeMAML"] < 0.85 * ends["MAML"]
assert ways["MAML"].places[0].tolist() == [[0, 0]] * 8  # ω
assert abs(ends["MAML"] - 0.71) < 0.01 and abs(ends["TreeMAML"] - 0.57) < 0.01


def ahead(targets, episode):
    ends = [plane.ways(targets, episode, grouping).distances[-1].mean() for grouping in groupings.values()]
    return ends[1] < ends[0]


assert all(ahead(targets, episodes(draw)) for draw in range(10))

# %% after 00-06
assert 5 < reports[0].outer_loss < 6.5 and sum(report.outer_loss for report in reports[-10:]) / 10 < 0.6
assert (learner.module.weight.detach() - torch.tensor([-2.1, 1.0])).abs().max() < 0.3
