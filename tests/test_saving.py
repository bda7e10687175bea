"""Models that are kept: Hugging Face directories whose answers are those of our own scoring, whole or not at all."""

import json
import shutil
from functools import partial

import pytest
import small_world
import torch
from small_world import complaint

import minimeta.__main__ as cli
from minimeta.files import whole_directory
from minimeta.studies import models, study
from minimeta.studies.grids import Run
from minimeta.studies.methods import Cell
from minimeta.studies.world import World
from minimeta.text import encoders, identity, saving
from minimeta.text.episodes import rows_of

MIXED = ("neutral", "contradiction", "entailment")
RUN = Run(Cell("x-maml", ("fr",), False), 0, ("de", "th"), ("zero-shot",))
QUICK = {"outer_steps": 2, "outer_rate": 0.002}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_world.write_xnli(tmp_path_factory.mktemp("xnli"), dev=8).parent


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Encoders by kind; their classes are in another order than the corpus'."""
    folder = tmp_path_factory.mktemp("encoders")
    return {kind: small_world.write_encoder(folder / kind, kind, MIXED) for kind in ("bert", "xlm-roberta")}


def record_of(folder, each=RUN):
    return json.loads((folder / "cells" / f"{each.name}.json").read_text())


def classified(directory, world, target):
    """The classes of a target's test rows by transformers' own pipeline, one digit each."""
    from transformers import pipeline

    classify = pipeline("text-classification", str(directory))
    corpus = world.rows()
    rows = corpus.select(rows_of(corpus, target, "test"))
    asked = [{"text": row["premise"], "text_pair": row["hypothesis"]} for row in rows]
    found = [classify(each, truncation=True)["label"] for each in asked]
    return "".join(str(world.corpus.classes.index(label)) for label in found)


@pytest.mark.parametrize(
    ("kind", "adapt", "max_length"),  # 9 tokens cut texts
    [("bert", "head", 9), ("bert", "all", 64), ("xlm-roberta", "head", 64), ("xlm-roberta", "all", 9)],
)
def test_a_pipeline_gives_the_answers_that_were_scored_and_an_encoder_goes_on_from_it(
    kind, adapt, max_length, data, named, tmp_path
):
    world = World("small", str(data), str(named[kind]), own=QUICK | {"adapt": adapt, "max_length": max_length})
    study.run([RUN], tmp_path / "study", world, save=tmp_path / "kept")
    found, model = record_of(tmp_path / "study")["results"], tmp_path / "kept" / RUN.name
    for target in RUN.targets:
        told = found[target]["zero-shot"]["predicted"]
        assert classified(model, world, target) == told
    assert len({answer for told in found.values() for answer in told["zero-shot"]["predicted"]}) > 1

    untrained = Run(Cell("baseline", (), False), 0, RUN.targets, ("zero-shot",))
    study.run([untrained], tmp_path / "next", World(world.scale, world.data, str(model), own=world.own))
    study.run([untrained], tmp_path / "first", world)
    next_one, first = (record_of(tmp_path / name, untrained)["results"] for name in ("next", "first"))
    assert next_one == {target: {"zero-shot": told["zero-shot"]} for target, told in found.items()} != first


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("adapt", ["head", "all"])
@pytest.mark.parametrize("spans", [False, True])
@pytest.mark.parametrize("bf16", [False, True])
def test_all_weights_are_those_of_the_learner_and_the_tokenizer_is_the_same(kind, adapt, spans, bf16, tmp_path):
    load = encoders.qa if spans else encoders.nli
    given = small_world.write_encoder(tmp_path / "given", kind, MIXED, spans=spans)
    encoder = load(given, adapt, bf16=bf16)
    with torch.no_grad():
        for p in encoder.learner.parameters():
            p.add_(0.01)
    saving.save(encoder.learner, encoder, tmp_path / "kept", "a card", {})
    again = load(tmp_path / "kept", adapt, bf16=bf16)
    parts = ("weights", "tokenizer")
    ours, theirs = ([identity._weights(each), identity._tokenizer(each.tokenizer)] for each in (encoder, again))
    assert dict(zip(parts, ours, strict=True)) == dict(zip(parts, theirs, strict=True))
    assert identity._weights(load(given, adapt)) != ours[0]
    assert (tmp_path / "kept" / "README.md").read_text() == "a card"


def test_span_scores_of_transformers_are_those_of_the_learner(tmp_path):
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    encoder = encoders.qa(small_world.write_encoder(tmp_path / "given", spans=True), "all", 40)
    saving.save(encoder.learner, encoder, tmp_path / "kept", "", {})
    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "kept").eval()
    words = [small_world.word("de", number) for number in range(60)]
    tokens = AutoTokenizer.from_pretrained(tmp_path / "kept")(
        words[0], " ".join(words), truncation="only_second", return_tensors="pt"
    )
    assert tokens["input_ids"].shape == (1, 40)
    with torch.no_grad():
        theirs = model(**tokens)
        ours = encoder.learner.module(*(tokens[name] for name in ("input_ids", "attention_mask", "token_type_ids")))
    torch.testing.assert_close(ours, torch.stack([theirs.start_logits, theirs.end_logits], -1), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def kept(data, named, tmp_path_factory):
    """A study of two methods with its models."""
    folder, world = tmp_path_factory.mktemp("kept"), World("small", str(data), str(named["bert"]), own=QUICK)
    runs = [RUN, Run(Cell("joint", ("fr",), False), 0, ("de",), ("zero-shot",))]
    runs.append(Run(Cell("baseline", (), False), 0, ("de",), ("zero-shot",)))
    study.run(runs, folder, world, save=folder / "models")
    return folder, world, runs


def test_only_trained_learners_are_kept_and_a_card_says_what_they_are(kept):
    folder, world, runs = kept
    assert sorted(path.name for path in folder.glob("models/*")) == sorted(each.name for each in runs[:2])
    assert not list(folder.glob("models/.*"))
    model = folder / "models" / RUN.name
    config = json.loads((model / "config.json").read_text())
    assert config["id2label"] == dict(zip("012", small_world.LABELS, strict=True))
    assert config["label2id"] == {name: number for number, name in enumerate(small_world.LABELS)}
    card = (model / "README.md").read_text()
    for part in (
        "X-MAML",
        "- 'fr'",
        "pipeline_tag: text-classification",
        "seed 0",
        "small scale",
        "| outer_steps | 2 |",
    ):
        assert part in card
    assert "meta-parameters ω, before any adaptation" in card
    accuracy = record_of(folder)["results"]["th"]["zero-shot"]["accuracy"]
    assert f"| th | zero-shot | 24 | {accuracy:.2f} |" in card
    assert str(folder.parent) not in card and f"`{world.data.rsplit('/', 1)[-1]}`" in card
    made = json.loads((model / "made.json").read_text())
    assert made["results"]["th"]["zero-shot"] == {"accuracy": accuracy, "n": 24}


@pytest.mark.parametrize("single", [False, True])
def test_the_example_of_a_card_runs(single, tmp_path, monkeypatch):
    texts = ["text"] if single else ["text", "text2"]
    lines = ["\t".join(["language", "split", *texts, "label"])]
    for number in range(40):
        said = [small_world.word("en", number + place) for place in range(len(texts))]
        place = ["fr", "dev"] if number < 30 else ["de", "test"]
        lines.append("\t".join([*place, *said, "ab"[number % 2]]))
    (tmp_path / "own.tsv").write_text("\n".join(lines))
    encoder = small_world.write_encoder(tmp_path / "encoder", labels=("b", "a"))
    world = World("small", str(tmp_path / "own.tsv"), str(encoder), own={"outer_steps": 1, "shots": 2, "queries": 2})
    each = Run(Cell("joint", ("fr",), False), 0, ("de",), ("zero-shot",))
    study.run([each], tmp_path / "study", world, save=tmp_path / "kept")
    card = (tmp_path / "kept" / each.name / "README.md").read_text()
    example = card.split("```python\n")[1].split("```")[0]
    assert ("text_pair" in example) is not single
    monkeypatch.chdir(tmp_path / "kept")
    exec(example.replace("\nclassify(", "\nanswer = classify("), found := {})
    answer = found["answer"][0] if isinstance(found["answer"], list) else found["answer"]
    assert answer["label"] in ("a", "b") and 0 < answer["score"] < 1


def test_a_run_without_its_model_is_done_again_with_the_same_numbers(kept, tmp_path):
    folder, world, runs = kept
    folder = shutil.copytree(folder, tmp_path / "copy")
    before = record_of(folder)
    weights = (folder / "models" / RUN.name / "model.safetensors").read_bytes()
    seen = []
    again = partial(study.run, runs, folder, world, progress=lambda done, total: seen.append(total) or done)
    again(save=folder / "models")
    shutil.rmtree(folder / "models" / RUN.name)
    again()  # nobody asks for models
    again(save=folder / "models")
    assert seen == [0, 0, 1]
    after = record_of(folder)
    assert all(after[name] == before[name] for name in ("results", "outer_losses", "settings"))
    assert (folder / "models" / RUN.name / "model.safetensors").read_bytes() == weights


def test_another_model_is_not_written_over(kept, tmp_path):
    folder, world, runs = kept
    other = World(world.scale, world.data, world.encoder, own=QUICK | {"outer_steps": 1})
    said = partial(study.run, runs, tmp_path / "other", other, save=folder / "models")
    complaint(said, str(folder / "models"), "is not the model of this run", "another directory")
    (tmp_path / "file").write_text("a file")
    complaint(partial(study.run, runs, tmp_path / "other", world, save=tmp_path / "file"), "file", "no directory")
    complaint(partial(study.run, runs, tmp_path / "other", world, save=tmp_path / "file" / "a"), "no directory")
    assert not (tmp_path / "other").exists()


def test_a_model_with_a_damaged_record_is_made_again_once_it_is_removed(kept, tmp_path):
    folder, world, _ = kept
    folder = shutil.copytree(folder, tmp_path / "copy")
    model = folder / "models" / RUN.name
    (model / "made.json").write_text("{")
    again = partial(study.run, [RUN], folder, world, save=folder / "models")
    complaint(again, f"{model}/made.json is not a whole JSON file", f"remove {model}, and")
    shutil.rmtree(model)
    again()
    assert json.loads((model / "made.json").read_text())["results"]


def test_a_model_that_cannot_be_written_leaves_nothing_and_the_same_command_goes_on(kept, tmp_path, monkeypatch):
    folder, world, _ = kept

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "write_json", full)  # the last file of a model
        said = partial(study.run, [RUN], tmp_path / "study", world, save=tmp_path / "models")
        complaint(said, RUN.name, "could not be written", "No space left on device", "start again")
    assert list((tmp_path / "models").iterdir()) == [] and not list(tmp_path.glob("study/cells/*"))
    study.run([RUN], tmp_path / "study", world, save=tmp_path / "models")
    assert record_of(tmp_path / "study")["results"] == record_of(folder)["results"]


def test_a_directory_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "directory"
    with pytest.raises(KeyboardInterrupt), whole_directory(path) as unfinished:
        (unfinished / "file").write_text("half")
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []
    for text in ("first", "second"):
        with whole_directory(path) as unfinished:
            assert not list(unfinished.iterdir())
            (unfinished / "file").write_text(text)
        assert [each.read_text() for each in path.iterdir()] == [text] and list(path.parent.iterdir()) == [path]


def test_the_commands_keep_models(data, named, tmp_path, capsys):
    words = ["joint", "--target", "de", "--aux", "fr", "--seeds", "1", "--data", str(data), "--scale", "small"]
    words += ["--encoder", str(named["bert"]), "--set", "outer_steps=1"]
    assert cli.main(["run", *words, "--out", str(tmp_path / "runs"), "--save", str(tmp_path / "kept")]) == 0
    assert cli.main(["study", "transfer", *words, "--out", str(tmp_path / "study"), "--save"]) == 0
    names = [[path.name for path in folder.iterdir()] for folder in (tmp_path / "kept", tmp_path / "study" / "models")]
    assert names == [["joint-fr-genres-seed-0"], ["joint-fr-languages-seed-0"]]
    assert cli.main(["run", *words, "--out", str(tmp_path / "runs"), "--save"]) == 2
    assert "--save" in capsys.readouterr().err


def test_models_of_question_answering_are_kept_and_an_encoder_goes_on_from_them(tmp_path):
    data = small_world.write_mlqa(tmp_path, dev=20, test=4)
    encoder = small_world.write_encoder(tmp_path / "bert", spans=True)
    settings = {"outer_steps": 1, "shots": 2, "queries": 2, "max_length": 48, "outer_rate": 0.01}
    world = World("small", str(data), str(encoder), "qa", own=settings)
    run = Run(Cell("x-maml", ("hi",), False), 0, ("de",), ("zero-shot",))
    untrained = Run(Cell("baseline", (), False), 0, ("de",), ("zero-shot",))
    study.run([run, untrained], tmp_path / "study", world, save=tmp_path / "kept")
    model = tmp_path / "kept" / run.name
    study.run([untrained], tmp_path / "next", World("small", str(data), str(model), "qa", own=settings))
    trained, first = (record_of(tmp_path / "study", each)["results"] for each in (run, untrained))
    assert record_of(tmp_path / "next", untrained)["results"] == trained != first
    card = (model / "README.md").read_text()
    assert "pipeline_tag: question-answering" in card and "AutoModelForQuestionAnswering" in card
    score = trained["de"]["zero-shot"]
    assert f"| de | zero-shot | {score['n']} | {score['f1']:.2f} | {score['exact_match']:.2f} |" in card


def test_a_card_says_where_a_score_is_not_that_of_the_model_as_it_is(kept):
    folder, world, _ = kept
    record = record_of(folder) | {"method": "fixed-treemaml", "by_genre": True}
    said = models.card("a-model", record, world.shared)
    assert "a copy of the model after inner steps on training tasks" in said
    assert "a task is a language, and a genre where rows have one." in said
    other = models.card("a-model", record_of(folder), world.shared)
    assert "Zero-shot is the model as it is here" in other and "a task is a language." in other
    in_bf16 = record | {"settings": record["settings"] | {"bf16": True}}
    assert "bfloat16" in models.card("a-model", in_bf16, world.shared)
