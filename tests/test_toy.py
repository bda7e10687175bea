"""Toy mode: the tiny encoder is what its record says, and every method runs with nothing but the checkout."""

import hashlib
import json
import os
import resource
import subprocess
import sys

import pytest
import safetensors.torch
import small_world
import torch
import transformers
from small_world import complaint
from transformers import AutoModel

import minimeta.__main__ as cli
from minimeta.files import data_directory
from minimeta.studies import recipes
from minimeta.studies.methods import METHODS, cells
from minimeta.text import corpora, encoders, finetune, pretrain

TINY, CLASSIFIER, ANSWERS = (data_directory() / f"tiny-encoder{task}" for task in ("", "-nli", "-qa"))

# Python starts with this when its folder is on PYTHONPATH: no connection leaves the process.
NO_NETWORK = """
import socket
def closed(*_, **__):
    raise OSError("the network is closed")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = closed
"""


def english(folder):
    """The small MultiNLI, matched."""
    return corpora.STAGE_TWO["MultiNLI"].rows(small_world.write_multinli(folder), splits="dev_matched")


@pytest.mark.parametrize("directory", [TINY, CLASSIFIER, ANSWERS], ids=lambda path: path.name)
def test_the_encoders_are_those_of_their_records(directory):
    record = json.loads((directory / "made.json").read_text())
    assert record["command"] == {TINY: "pretrain-tiny", CLASSIFIER: "finetune", ANSWERS: "finetune"}[directory]
    assert record["seconds"] < 300 or directory == ANSWERS  # made on a busy machine
    assert set(record["versions"]) > {"torch", "transformers", "minimeta"}
    kept = {path.name for path in directory.iterdir()} - {"made.json", "README.md"}
    assert kept == set(record["sha256"]) >= {"config.json", "model.safetensors", "tokenizer.json"}
    for name, digest in record["sha256"].items():
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == digest, name


def test_the_tiny_encoder_has_learned_english_and_something_of_the_others():
    """Aims of the recipe: English at 85 % or more, others above chance and below English."""
    features = encoders.nli(CLASSIFIER).features(corpora.nli())
    baseline = cells(["baseline"], ["de"])[0]
    settings = recipes.settings_for(baseline, "toy")
    english, german, thai = (
        recipes.score(baseline, features.encoder.learner, features, language, "zero-shot", settings, 0)["accuracy"]
        for language in ("en", "de", "th")
    )
    assert english >= 85
    assert 40 <= german < english and 40 <= thai < english


def test_examples_say_which_words_the_texts_share():
    """A word is shared if the other text, in the word's own language, has it."""
    sentences = {"en": [[[10, 11, 12]], [[10, 13]]], "fr": [[[20, 21, 22]], [[20, 23]]]}
    tokenizer = pretrain.train_tokenizer()
    for i in range(0, 40 * pretrain.BATCH, pretrain.BATCH):
        example = pretrain._Examples(sentences, sentences, tokenizer, 10**6, 0)[i]
        words = [word % 10 if word >= 10 else None for word in example["input_ids"]]
        shared = [{0: True, 1: False, 2: False, 3: False}.get(word, -100) for word in words]
        assert example["shared"] == shared
        assert example["token_type_ids"] == [0] * 5 + [1] * 3


def test_the_tiny_encoder_is_small():
    assert sum(path.stat().st_size for path in TINY.rglob("*")) <= 4e6


def test_the_classifier_loads_without_a_warning(recwarn):
    encoder = encoders.nli(CLASSIFIER)
    assert encoder.max_length == 128
    assert not [warning for warning in recwarn if "no trained" in str(warning.message)]


def test_the_first_steps_of_pretraining_repeat_themselves(tmp_path):
    for name in ("one", "two"):
        pretrain.pretrain(tmp_path / name, seed=3, steps=50)
    one, two = (safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert (tmp_path / "one" / "tokenizer.json").read_bytes() == (tmp_path / "two" / "tokenizer.json").read_bytes()


def test_every_language_has_words_and_none_is_unknown():
    tokenizer = pretrain.train_tokenizer()
    types = tokenizer("someone", "nobody")["token_type_ids"]
    assert types == sorted(types) and set(types) == {0, 1}
    corpus = corpora.mini_nli(splits=("dev",))
    ids = tokenizer(corpus["premise"][:] + corpus["hypothesis"][:])["input_ids"]
    assert max(map(len, ids)) < 64
    assert not any(tokenizer.unk_token_id in row for row in ids)


def test_word_vectors_bring_translations_together():
    """Two languages say the same thing in words of their own: a word's nearest neighbour is its translation."""
    rng = torch.Generator().manual_seed(0)
    said = [torch.randperm(20, generator=rng)[:4].tolist() for _ in range(200)]
    vectors = pretrain.word_vectors([said, [[20 + word for word in words] for words in said]], 41, 8, seed=0)
    assert vectors.shape == (41, 8)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(41))
    near = (vectors[:20] @ vectors[20:40].T).argmax(1)
    assert near.tolist() == list(range(20))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_finetune_trains_and_keeps_the_precision(tmp_path, dtype):
    encoder = small_world.write_encoder(tmp_path / "encoder", classifier=False)
    AutoModel.from_pretrained(encoder, dtype=dtype).save_pretrained(encoder)
    corpus = english(tmp_path)
    finetune.train(encoder, corpus, tmp_path / "out", finetune.Settings(epochs=2, rate=1e-2))
    before, after = (safetensors.torch.load_file(path / "model.safetensors") for path in (encoder, tmp_path / "out"))
    after = {name.removeprefix("bert."): value for name, value in after.items()}
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {name for name in before if name.endswith("query.weight")} <= moved
    assert {value.dtype for value in after.values()} == {dtype}
    assert encoders.nli(tmp_path / "out").learner is not None


def test_finetuning_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    """Bit for bit, also if the last checkpoint was not written to its end."""
    encoder = small_world.write_encoder(tmp_path / "encoder", classifier=False)
    corpus = english(tmp_path)
    settings = finetune.Settings(epochs=3, rate=1e-2, batch_size=4)
    finetune.train(encoder, corpus, tmp_path / "whole", settings)
    steps = -(-len(corpus) // 4) * 3
    real, done = transformers.Trainer.training_step, []

    def interrupted(*given, **how):
        done.append(1)
        if len(done) == steps - 2:
            raise KeyboardInterrupt
        return real(*given, **how)

    monkeypatch.setattr(transformers.Trainer, "training_step", interrupted)
    kept = tmp_path / "checkpoints"
    with pytest.raises(KeyboardInterrupt):
        finetune.train(encoder, corpus, tmp_path / "again", settings, checkpoints=kept)
    last, before = sorted(kept.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1]))
    (last / "trainer_state.json").unlink()
    left = steps - int(before.name.split("-")[1])
    done.clear()
    finetune.train(encoder, corpus, tmp_path / "again", settings, checkpoints=kept)
    assert len(done) == left < steps
    ours, theirs = (safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("again", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_finetuning_a_part_and_with_frozen_word_vectors(tmp_path, capsys):
    encoder = small_world.write_encoder(tmp_path / "encoder", classifier=False)
    corpus = english(tmp_path)
    finetune.train(encoder, corpus, tmp_path / "out", finetune.Settings(2, 1e-2, 4, freeze_embeddings=True, bf16=True))
    before, after = (safetensors.torch.load_file(path / "model.safetensors") for path in (encoder, tmp_path / "out"))
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(before[words], after[f"bert.{words}"])
    query = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(before[query], after[f"bert.{query}"])

    command = ["finetune", "nli", "--encoder", str(encoder), "--data", str(tmp_path), "--split", "dev_matched"]
    command += ["--rows", "8", "--epochs", "1", "--out", str(tmp_path / "part")]
    kept = tmp_path / "part.unfinished"
    kept.mkdir()
    (kept / "options.json").write_text("{}")
    assert cli.main(command) == 2 and "other options" in capsys.readouterr().err
    (kept / "options.json").unlink()
    kept.rmdir()
    assert cli.main(command) == 0
    made = json.loads((tmp_path / "part" / "made.json").read_text())
    assert made["options"]["rows"] == 8 and not kept.exists()
    for wrong, said in ((["--rows", "0"], "--rows is 0"), (["--rate", "-1"], "--rate is -1")):
        assert cli.main([*command[:-1], str(tmp_path / "none"), *wrong]) == 2
        assert said in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_fine_tuning_in_bf16_loses_no_update(tmp_path, monkeypatch):
    """Parameters and what AdamW keeps are float32: updates that bfloat16 would swallow are in what is written."""
    train, dtypes = transformers.Trainer.train, set()

    def watched(self, *options, **named):
        done = train(self, *options, **named)
        dtypes.update(p.dtype for p in self.model.parameters())
        dtypes.update(value.dtype for state in self.optimizer.state.values() for value in state.values())
        return done

    monkeypatch.setattr(transformers.Trainer, "train", watched)
    encoder = small_world.write_encoder(tmp_path / "encoder")
    corpus = english(tmp_path)
    finetune.train(encoder, corpus, tmp_path / "out", finetune.Settings(1, 3e-7, 9, freeze_embeddings=True, bf16=True))
    assert dtypes == {torch.float32}
    before, after = (safetensors.torch.load_file(path / "model.safetensors") for path in (encoder, tmp_path / "out"))
    weights = [name for name in before if "layer" in name and not name.endswith("key.bias")]
    moved = torch.cat([(after[name] != before[name]).flatten() for name in weights])
    rounded = torch.cat([(after[name].bfloat16() != before[name].bfloat16()).flatten() for name in weights])
    assert moved.float().mean() > 0.95 and rounded.float().mean() < 0.02


def test_paths_of_home_are_understood(tmp_path, monkeypatch):
    """All of them before the training, which may take days, and none of them as a folder that is called `~`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(small_world.write_encoder(tmp_path / "encoder").parent)
    corpus = english(tmp_path).select(range(4))
    settings = finetune.Settings(1, 1e-3)
    finetune.train("~/encoder", corpus, "~/out", settings, checkpoints="~/kept")
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"encoder", "out", "kept"}
    encoders.nli("~/out")


def test_commands_that_make_a_directory(tmp_path, capsys, monkeypatch):
    """The directory is there whole, with a record, or not at all; one that is there is not touched."""

    def train(out, seed):
        out.mkdir()
        (out / "model.safetensors").write_text(f"weights {seed}")

    monkeypatch.setattr(pretrain, "pretrain", train)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    out = tmp_path / "deep" / "tiny"
    assert cli.main(["pretrain-tiny", "--out", str(out), "--seed", "7"]) == 0
    record = json.loads((out / "made.json").read_text())
    assert (record["command"], record["options"]) == ("pretrain-tiny", {"seed": 7})
    assert (out / "model.safetensors").read_text() == "weights 7"
    assert cli.main(["pretrain-tiny", "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (out / "model.safetensors").read_text() == "weights 7"

    def fail(out, seed):
        out.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "pretrain", fail)
    assert cli.main(["pretrain-tiny", "--out", str(tmp_path / "other")]) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]


def test_finetuning_what_is_not_there(tmp_path):
    corpus = corpora.mini_nli(["en"], ["dev"])
    complaint(
        lambda: finetune.train(tmp_path / "none", corpus, tmp_path / "out", finetune.TOY["nli"]), "none", "config.json"
    )
    assert not (tmp_path / "out").exists()


def test_all_methods_from_a_clean_start_without_network(tmp_path):
    """One target, every method, one seed, from another directory: under four minutes of one processor."""
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    paths = os.pathsep.join([str(tmp_path), str(data_directory().parent)])
    environment = os.environ | {"PYTHONPATH": paths, "HF_HOME": str(tmp_path / "empty")}
    environment.pop("MINIMETA_SCALE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "minimeta", "run", *METHODS, "--target", "de", "--seeds", "1"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "toy scale, mini-NLI" in done.stdout
    records = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/cells/*.json")]
    assert {record["method"] for record in records} == set(METHODS)
    for record in records:
        assert {test["n"] for test in record["results"]["de"].values()} == {2880}
    assert after.ru_utime - before.ru_utime < 240
