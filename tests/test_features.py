"""The trunk's output: the same in any company, kept on disk, in bfloat16 where that is safe."""

import json
import shutil

import pytest
import small_world
import torch
from small_world import complaint

from minimeta.errors import InputError
from minimeta.grouping import alone
from minimeta.inner import adapt
from minimeta.outer import meta_train
from minimeta.tasks import Episode
from minimeta.text import corpora, encoders, features
from minimeta.text.episodes import encoded, sampler

BLOCKS = [("de", "dev"), ("fr", "dev")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpora.nli(small_world.write_xnli(tmp_path_factory.mktemp("xnli")))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return small_world.write_encoder(tmp_path_factory.mktemp("encoder") / "bert")


def rows_of(corpus, language, split="dev"):
    pairs = zip(corpus["language"], corpus["split"], strict=True)
    return [row for row, pair in enumerate(pairs) if pair == (language, split)]


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_a_cache_gives_the_same_bits_without_the_trunk(tmp_path, corpus, directory, bf16):
    encoder = encoders.nli(directory, bf16=bf16)
    said, passes = [], []
    plain, writer = encoder.features(corpus), encoder.features(corpus, tmp_path)
    rows = torch.tensor([rows_of(corpus, "de")[:5], rows_of(corpus, "fr")[3:8]])
    expected = plain[rows]
    writer.keep(BLOCKS, said.append)
    tokens = sum(len(writer._tokens([(row, 0)])[0][0]) for code, _ in BLOCKS for row in rows_of(corpus, code))
    assert f"{tokens:,} tokens" in said[0] and str(tmp_path) in said[0]
    files = sorted(path.name for path in tmp_path.iterdir())
    assert [name[:6] for name in files] == ["de-dev", "fr-dev"]
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    told = tokens * 16 * (2 if bf16 else 4)
    assert told < size < told + 100_000

    encoder.trunk.register_forward_hook(lambda module, given, result: passes.append(len(result)))
    for reader in (writer, encoder.features(corpus, tmp_path)):
        found = reader[rows]
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)
    assert passes == []
    reader.keep(BLOCKS, said.append)
    assert "of 0 examples" in said[1] and passes == []
    reader[torch.tensor([rows_of(corpus, "hi")[:2]])]  # what is not there is computed as ever
    assert len(passes) == 1


def test_rows_of_many_episodes_are_computed_in_full_batches(corpus, directory, monkeypatch):
    """The same bits as episode by episode, from any step on, and no more rows ahead than were asked for."""
    monkeypatch.setattr(features, "_AHEAD", 60)
    encoder, passes = encoders.nli(directory), []
    encoder.trunk.register_forward_hook(lambda module, given, result: passes.append(tuple(given[0].shape)))
    draw = sampler(corpus, ("de", "fr", "hi"), shots=2, queries=3)
    each = encoded(draw, encoder.features(corpus).__getitem__)
    expected, alone_ = [each(step) for step in range(8)], len(passes)
    passes.clear()

    whole = encoder.features(corpus)
    together = whole.episodes(draw, 8)
    for step in (3, 4, 4, 5, 6, 7, 0, 1, 2):  # gone on with at step 3, which needs nothing of the first steps
        found = together(step)
        assert found.tasks == expected[step].tasks
        theirs = (*expected[step].support, expected[step].query)
        for batch, other in zip((*found.support, found.query), theirs, strict=True):
            assert batch.keys() == other.keys() and all(torch.equal(batch[name], other[name]) for name in batch)
        if step == 3:
            assert 60 <= len(whole.rows) < 60 + 3 * 5
    rows_there, lengths, calls = len(whole.rows), len(set(passes)), 3
    assert len(passes) <= rows_there / 8 + lengths * calls < 0.7 * alone_


def test_a_cache_is_of_one_encoder(tmp_path, corpus, directory):
    first = encoders.nli(directory)
    first.features(corpus, tmp_path).keep(BLOCKS, lambda text: None)
    other = encoders.nli(directory)
    with torch.no_grad():
        next(other.trunk.parameters()).mul_(1.5)
    for encoder in (other, encoders.nli(directory, bf16=True)):
        rows = torch.tensor([rows_of(corpus, "de")[:4]])
        mine = encoder.features(corpus, tmp_path)[rows]["hidden"]
        assert torch.equal(mine, encoder.features(corpus)[rows]["hidden"])
        assert not torch.equal(mine, first.features(corpus)[rows]["hidden"])


def test_windows_of_questions_are_kept_too(tmp_path):
    corpus = corpora.mini_qa(["en"], ["dev"]).select(range(6))
    directory = small_world.write_encoder(tmp_path / "bert", spans=True)
    encoder = encoders.qa(directory, max_length=48)
    kept, plain = encoder.features(corpus, tmp_path / "cache"), encoder.features(corpus)
    kept.keep([("en", "dev")], lambda text: None)
    rows = torch.arange(6)[None]
    assert torch.equal(kept[rows]["hidden"], plain[rows]["hidden"])
    assert len(kept._kept) > 6 and not kept.rows  # passages have several windows
    assert kept.predict(encoder.learner, range(6)) == plain.predict(encoder.learner, range(6))


def test_without_a_cache_there_is_nothing_to_keep(tmp_path, corpus, directory):
    whole = encoders.nli(directory, adapt="all").features(corpus, tmp_path)
    assert whole.cache is None
    for features_ in (whole, encoders.nli(directory).features(corpus)):
        complaint(lambda features_=features_: features_.keep(BLOCKS), "no cache", "name a directory")


def test_a_disk_without_room_and_a_damaged_file(tmp_path, corpus, directory, monkeypatch):
    encoder = encoders.nli(directory)
    kept = encoder.features(corpus, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(features.shutil, "disk_usage", lambda path: Usage(1000))
        complaint(lambda: kept.keep(BLOCKS, lambda text: None), "GB left", "another directory")
    assert list(tmp_path.iterdir()) == []
    kept.keep(BLOCKS, lambda text: None)
    broken = next(tmp_path.glob("de-*"))
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(InputError, match="delete it, and it is made again"):
        encoder.features(corpus, tmp_path)[torch.tensor([rows_of(corpus, "de")[:2]])]


class Usage:
    def __init__(self, free):
        self.free = free


@pytest.mark.parametrize("what", ["head", "all"])
def test_inner_gradients_in_bf16_are_those_of_float32(corpus, what):
    """The tiny encoder, 16 rows in three languages: the same direction, and the same length to 5 %, float32 out.

    English, whose loss is near 0, is the exception: rounding moves a tiny gradient's length by more.
    """
    from minimeta.files import data_directory

    corpus = corpora.nli()
    moved = {}
    rows = torch.tensor([rows_of(corpus, code)[:16] for code in ("en", "de", "hi")])
    for bf16 in (False, True):
        encoder = encoders.nli(data_directory() / "tiny-encoder-nli", adapt=what, bf16=bf16)
        batch = encoder.features(corpus)[rows]
        episode = Episode(("en", "de", "hi"), (batch,), batch)
        adapted = adapt(encoder.learner, episode, alone(), 1, 1.0)
        before = dict(encoder.learner.named_parameters())
        parts = [(adapted.parameters[name] - p).detach().flatten(1) for name, p in before.items()]
        assert {part.dtype for part in parts} == {torch.float32}
        moved[bf16] = torch.cat(parts, 1)
    cosine = torch.cosine_similarity(moved[False], moved[True], dim=1)
    ratio = moved[True].norm(dim=1) / moved[False].norm(dim=1)
    assert not torch.equal(moved[False], moved[True])
    learned = adapted.steps[0].losses < 0.1
    assert learned.tolist() == [True, False, False]
    assert cosine.min() > 0.995, cosine
    assert (ratio - 1).abs()[~learned].max() < 0.06 and (ratio - 1).abs().max() < 0.2, ratio


def stored_in_bfloat16(directory, target):
    """A copy of an encoder whose weights are stored in bfloat16."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(directory, target)
    weights = load_file(target / "model.safetensors")
    save_file(
        {name: value.bfloat16() for name, value in weights.items()}, target / "model.safetensors", {"format": "pt"}
    )
    (target / "config.json").write_text(
        json.dumps(json.loads((target / "config.json").read_text()) | {"dtype": "bfloat16"})
    )
    return target


@pytest.mark.parametrize("what", ["head", "all"])
@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_bf16_loses_no_update(tmp_path, corpus, directory, what, stored):
    """Parameters, their gradients and what Adam keeps are float32: updates too small for bfloat16 add up."""
    if stored == "bfloat16":
        directory = stored_in_bfloat16(directory, tmp_path / "e")
    encoder = encoders.nli(directory, adapt=what, bf16=True)
    features_, tasks = encoder.features(corpus), ("de", "fr")
    draw = sampler(corpus, tasks, shots=3, queries=3)
    before = {name: p.clone() for name, p in encoder.learner.named_parameters()}
    run = meta_train(
        encoder.learner, encoded(draw, features_.__getitem__), alone(), 2, 1e-5, outer_steps=2, outer_rate=1e-7
    )
    assert [report.step for report in run] == [1, 2]
    dtypes = {p.dtype for p in encoder.learner.parameters()}
    dtypes |= {value.dtype for state in run.optimizer.state.values() for value in state.values()}
    adapted = adapt(encoder.learner, encoded(draw, features_.__getitem__)(0), alone(), 2, 1e-5)
    dtypes |= {value.dtype for value in adapted.parameters.values()}
    assert dtypes == {torch.float32}
    moved, seen_by_bfloat16, stepped = [], [], []
    for name, p in encoder.learner.named_parameters():
        if "embeddings" in name or name.endswith("key.bias"):
            continue  # words and positions that no example has; and what softmax takes away
        moved.append((p != before[name]).flatten())
        seen_by_bfloat16.append((p.bfloat16() != before[name].bfloat16()).flatten())
        stepped.append((adapted.of(0)[name] != p).flatten())
    moved, seen_by_bfloat16, stepped = (torch.cat(part).float().mean() for part in (moved, seen_by_bfloat16, stepped))
    assert moved > 0.99 and seen_by_bfloat16 < 0.01 and stepped > 0.7


def test_episodes_of_few_lengths_have_the_same_outputs(corpus, directory):
    """Padding is masked, so that what a learner makes of an episode does not depend on it."""
    encoder = encoders.nli(directory)
    features = encoder.features(corpus)
    draw = sampler(corpus, "de", shots=3, queries=5, seed=0)
    plain, few = features.episodes(draw, 4), features.episodes(draw, 4, few_lengths=True)
    lengths = set()
    for step in range(4):
        ours, theirs = few(step), plain(step)
        lengths.update(batch["mask"].shape[2] for batch in (*ours.support, ours.query))
        for mine, other in ((ours.query, theirs.query), (ours.support[0], theirs.support[0])):
            assert torch.equal(mine["y"], other["y"])
            found, expected = (
                encoder.learner.outputs({name: value[0] for name, value in batch.items()}) for batch in (mine, other)
            )
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert lengths <= {16, 32, 48}
