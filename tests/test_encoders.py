"""Encoders: the split into trunk and head changes no logit, features are cached, and bad checkpoints are refused."""

import itertools
import json
import logging
import shutil
import warnings

import pytest
import small_world
import torch
from datasets import Dataset
from torch.func import functional_call
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from minimeta.clusters import task_losses
from minimeta.errors import InputError
from minimeta.grouping import alone
from minimeta.inner import adapt
from minimeta.tasks import Episode
from minimeta.text import corpora, encoders, finetune

KINDS = ("bert", "xlm-roberta")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpora.CORPORA["XNLI"].rows(small_world.write_xnli(tmp_path_factory.mktemp("xnli")), splits=("dev",))


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    return {kind: small_world.write_encoder(tmp_path_factory.mktemp("encoder") / kind, kind) for kind in KINDS}


@pytest.fixture(params=KINDS)
def directory(request, directories):
    return directories[request.param]


def huggingface_logits(directory, rows, max_length=128, token_types=True):
    """The logits of the checkpoint as Hugging Face computes them, padded to the longest of the rows."""
    model = AutoModelForSequenceClassification.from_pretrained(directory, attn_implementation="eager").eval()
    tokens = AutoTokenizer.from_pretrained(directory)(
        list(rows["premise"]),
        list(rows["hypothesis"]),
        padding=True,
        truncation=True,
        max_length=max_length,
        return_tensors="pt",
    )
    if not token_types:
        tokens.pop("token_type_ids", None)
    with torch.no_grad():
        return model(**tokens).logits


def our_logits(encoder, corpus, rows):
    batch = encoder.features(corpus)[torch.tensor(rows)[None]]
    with torch.no_grad():
        return encoder.learner.outputs({name: value[0] for name, value in batch.items()})


def far(left, right):
    return (left - right).abs().max().item()


def rewrite_config(directory, target, **changes):
    """A copy of an encoder's directory with another config.json."""
    shutil.copytree(directory, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | changes))
    return target


def complaint(name, *parts, **options):
    small_world.complaint(lambda: encoders.nli(name, **options), str(name), *parts)


# The split


@pytest.mark.parametrize("what", ["head", "all"])
def test_logits_are_those_of_hugging_face(directory, corpus, what):
    rows = list(range(0, 1500, 37))
    expected = huggingface_logits(directory, corpus.select(rows))
    encoder = encoders.nli(directory, adapt=what)
    assert encoder.features(corpus)[torch.tensor([rows])]["mask"].min() == 0  # or padding was not tried
    assert expected.std(0).min() > 0.1  # rows differ, so equality says something
    assert far(our_logits(encoder, corpus, rows), expected) < 1e-5


CONFIGURATIONS = {
    "one layer": {"num_hidden_layers": 1},
    "eight heads": {"num_attention_heads": 8},
    "relu": {"hidden_act": "relu"},
    "gelu_new": {"hidden_act": "gelu_new"},
    "norms": {"layer_norm_eps": 0.1},
    "dropout": {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5, "classifier_dropout": 0.9},
    "token types": {"type_vocab_size": 4},
    "one token type": {"type_vocab_size": 1},
    "many positions": {"max_position_embeddings": 300},
    "another padding": {"pad_token_id": 3},
    "loose ends": {"use_cache": True, "tie_word_embeddings": False, "problem_type": "multi_label_classification"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_logits_are_those_of_hugging_face_whatever_the_configuration(tmp_path, corpus, kind, name):
    rows = list(range(0, 1500, 97))
    directory = small_world.write_encoder(tmp_path / "e", kind, **CONFIGURATIONS[name])
    expected = huggingface_logits(directory, corpus.select(rows), token_types=name != "one token type")
    for what in ("head", "all"):
        assert far(our_logits(encoders.nli(directory, adapt=what), corpus, rows), expected) < 1e-5


def test_token_types_matter_to_bert(directories, corpus):
    encoder = encoders.nli(directories["bert"], adapt="all")
    batch = {name: value[0] for name, value in encoder.features(corpus)[torch.arange(6)[None]].items()}
    assert set(batch["token_type_ids"].flatten().tolist()) == {0, 1}
    with torch.no_grad():
        given = encoder.learner.outputs(batch)
        flat = encoder.learner.outputs(batch | {"token_type_ids": torch.zeros_like(batch["token_type_ids"])})
    assert far(given, flat) > 1e-3


@pytest.mark.parametrize("max_length", [8, 12])
def test_long_examples_are_cut_as_hugging_face_cuts_them(directory, corpus, max_length):
    rows = list(range(12))
    encoder = encoders.nli(directory, max_length=max_length)
    batch = encoder.features(corpus)[torch.tensor(rows)[None]]
    assert batch["mask"].shape[-1] == max_length
    assert batch["mask"].sum(-1).max() == max_length
    assert far(our_logits(encoder, corpus, rows), huggingface_logits(directory, corpus.select(rows), max_length)) < 1e-5


@pytest.mark.parametrize("max_length", [-1, 0, 1, 3])
def test_a_length_without_room_for_two_texts(directory, max_length):
    """Hugging Face does not cut at all where the special tokens alone are longer."""
    special = 3 if directory.name == "bert" else 4
    for load in (encoders.nli, encoders.qa):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*was not trained for")
            small_world.complaint(
                lambda load=load: load(directory, max_length=max_length), f"{max_length} tokens", f"{special} special"
            )
    assert encoders.nli(directory, max_length=special + 2).max_length == special + 2


def test_the_tokenizer_limits_the_length_too(tmp_path, corpus):
    encoder = encoders.nli(small_world.write_encoder(tmp_path / "short", model_max_length=10))
    assert encoder.max_length == 10
    assert encoder.features(corpus)[torch.arange(9)[None]]["mask"].shape[-1] == 10


def test_texts_longer_than_the_encoder_has_positions_are_cut(directory, tmp_path, corpus):
    kind = directory.name
    target = small_world.write_encoder(tmp_path / "boundless", kind, model_max_length=None)
    long = Dataset.from_dict({"premise": ["aad " * 150], "hypothesis": ["aad."], "label": [0]})
    batch = encoders.nli(target).features(long)[torch.tensor([[0]])]
    assert batch["mask"].shape[-1] == 64


def test_trunk_is_frozen_and_the_head_is_not(directory):
    encoder = encoders.nli(directory)
    assert not any(p.requires_grad for p in encoder.trunk.parameters())
    assert all(p.requires_grad for p in encoder.learner.parameters())
    names = {name.split(".")[1] for name, _ in encoder.learner.named_parameters()}
    assert names == {"layer", "classifier"} | ({"pooler"} if directory.name == "bert" else set())
    assert len(list(encoder.trunk.layers)) == 2


def test_adapting_all_leaves_no_trunk(directory):
    encoder = encoders.nli(directory, adapt="all")
    assert encoder.trunk is None
    assert all(p.requires_grad for p in encoder.learner.parameters())
    head = sum(p.numel() for p in encoders.nli(directory).learner.parameters())
    trunk = sum(p.numel() for p in encoders.nli(directory).trunk.parameters())
    assert sum(p.numel() for p in encoder.learner.parameters()) == head + trunk


def test_dropout_is_off(directory, corpus):
    encoder = encoders.nli(directory)
    dropouts = [part for part in (*encoder.learner.modules(), *encoder.trunk.modules()) if "Dropout" in str(type(part))]
    assert dropouts and not any(part.training for part in dropouts)
    assert torch.equal(our_logits(encoder, corpus, [0, 1, 2]), our_logits(encoder, corpus, [0, 1, 2]))


# Adapting it


def pair_episode(features, fresh=1):
    """Two tasks with 4 support and 3 query rows each, of different lengths."""
    rows = torch.arange(300, 300 + 2 * (4 * fresh + 3)).reshape(2, -1)
    support = tuple(features[rows[:, 4 * i : 4 * i + 4]] for i in range(fresh))
    return Episode(("bg", "ru"), support, features[rows[:, -3:]])


def single(episode, task):
    return Episode(
        (episode.tasks[task],),
        tuple({name: value[task : task + 1] for name, value in batch.items()} for batch in episode.support),
        {name: value[task : task + 1] for name, value in episode.query.items()},
    )


def meta_gradient(learner, episode, first_order=False):
    adapted = adapt(learner, episode, alone(), 2, 0.05, first_order)
    loss = task_losses(learner, adapted.parameters, adapted.labels, episode.query).mean()
    parameters = list(learner.parameters())
    return adapted, torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, materialize_grads=True)])


@pytest.mark.parametrize("what", ["head", "all"])
def test_two_clusters_at_once_are_two_clusters_one_by_one(directory, corpus, what):
    encoder = encoders.nli(directory, adapt=what)
    episode = pair_episode(encoder.features(corpus), fresh=2)
    both, gradient = meta_gradient(encoder.learner, episode)
    apart = [meta_gradient(encoder.learner, single(episode, task)) for task in range(2)]
    for task, (adapted, _) in enumerate(apart):
        for name, value in both.of(task).items():
            assert far(value, adapted.of(0)[name]) < 1e-5, name
    assert far(gradient, (apart[0][1] + apart[1][1]) / 2) < 1e-4 * gradient.abs().max()
    assert gradient.isfinite().all()
    _, first = meta_gradient(encoder.learner, episode, first_order=True)
    assert far(gradient, first) > 1e-3 * gradient.abs().max()  # the second derivative is there


def test_adapting_lowers_the_support_loss_and_leaves_omega(directory, corpus):
    encoder = encoders.nli(directory)
    before = {name: p.clone() for name, p in encoder.learner.named_parameters()}
    episode = pair_episode(encoder.features(corpus))
    steps = adapt(encoder.learner, episode, alone(), 8, 0.02).steps
    assert (steps[-1].losses < steps[0].losses).all()
    assert all(torch.equal(p, before[name]) for name, p in encoder.learner.named_parameters())


def test_the_whole_encoder_moves_when_all_is_adapted(directories, corpus):
    encoder = encoders.nli(directories["bert"], adapt="all")
    adapted = adapt(encoder.learner, pair_episode(encoder.features(corpus)), alone(), 1, 0.1)
    moved = {name for name, p in encoder.learner.named_parameters() if not torch.equal(adapted.of(0)[name], p)}
    assert any("word_embeddings" in name for name in moved)
    assert any("trunk.layers.0" in name for name in moved)
    assert any("classifier" in name for name in moved)


def test_the_head_sees_a_change_of_its_parameters(directory, corpus):
    encoder = encoders.nli(directory)
    batch = {name: value[0] for name, value in encoder.features(corpus)[torch.arange(5)[None]].items()}
    losses = encoder.learner(batch)
    assert losses.shape == (5,)
    for name, p in encoder.learner.named_parameters():
        if name.endswith("key.bias"):
            continue  # adds the same to all scores of a query, which softmax takes away
        noise = 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
        assert far(functional_call(encoder.learner, {name: p + noise}, (batch,)), losses) > 1e-6, name


# Features


def test_the_trunk_sees_every_row_once(directory, corpus):
    encoder = encoders.nli(directory)
    seen = []
    encoder.trunk.register_forward_hook(lambda module, given, result: seen.append(given[0]))
    features = encoder.features(corpus)
    assert seen == []  # nothing before it is asked for
    features[torch.tensor([[3, 4, 5], [3, 9, 700]])]
    assert len(small_world.different_rows(seen, encoder)) == 5
    batches = len(seen)
    features[torch.tensor([[700, 9], [4, 4]])]
    assert len(seen) == batches
    features[torch.tensor([[3, 10]])]
    assert len(small_world.different_rows(seen, encoder)) == 6 and len(seen) == batches + 1


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_features_are_the_same_in_any_company(directory, corpus, bf16):
    """Bit for bit, however rows are asked for: a run that goes on from a checkpoint depends on it."""
    encoder = encoders.nli(directory, bf16=bf16)
    rows = list(range(0, 60, 3))
    together, alone, pairs = (encoder.features(corpus) for _ in range(3))
    together[torch.tensor([rows])]
    for row in rows:
        alone[torch.tensor([[row]])]
    for row in reversed(rows[1:]):
        pairs[torch.tensor([[row, 700 + row]])]
    for row in rows[1:]:
        for other in (alone, pairs):
            assert torch.equal(together.rows[row, 0]["hidden"], other.rows[row, 0]["hidden"])


def test_features_do_not_depend_on_their_batch(directory, corpus):
    encoder = encoders.nli(directory)
    together = encoder.features(corpus)
    together[torch.arange(0, 1500, 7)[None]]
    for row in (0, 7, 70, 700, 1400):
        alone_ = encoder.features(corpus)[torch.tensor([[row]])]["hidden"][0, 0]
        among = together[torch.tensor([[row]])]["hidden"][0, 0]
        assert alone_.shape == among.shape
        assert far(alone_, among) < 1e-5


def test_padding_changes_no_logit(directory, corpus):
    encoder = encoders.nli(directory)
    lengths = [len(premise) for premise in corpus["premise"]]
    short, long = lengths.index(min(lengths)), lengths.index(max(lengths))
    assert far(our_logits(encoder, corpus, [short, long])[0], our_logits(encoder, corpus, [short])[0]) < 1e-5


def test_a_batch_has_the_shape_of_its_rows(directories, corpus):
    rows = torch.tensor([[0, 40, 80], [7, 7, 1]])
    head = encoders.nli(directories["bert"]).features(corpus)[rows]
    assert list(head) == ["hidden", "mask", "y"]
    assert head["hidden"].shape == (*head["mask"].shape, 16)
    assert head["mask"].shape[:2] == head["y"].shape == (2, 3)
    assert head["y"].tolist() == [[corpus[row]["label"] for row in task] for task in rows.tolist()]
    assert head["mask"].sum(-1).max() == head["mask"].shape[-1]
    whole = encoders.nli(directories["bert"], adapt="all").features(corpus)[rows]
    assert list(whole) == ["input_ids", "mask", "token_type_ids", "y"]
    assert torch.equal(whole["mask"], head["mask"])


def test_features_hold_no_graph(directory, corpus):
    assert not encoders.nli(directory).features(corpus)[torch.arange(3)[None]]["hidden"].requires_grad


# Labels


@pytest.mark.parametrize(
    "order",
    [
        ("contradiction", "entailment", "neutral"),
        ("neutral", "contradiction", "entailment"),
        ("NEUTRAL", "Entailment", "contradiction"),
    ],
)
def test_another_order_of_labels_is_put_right(tmp_path, corpus, order):
    for kind in KINDS:
        directory = small_world.write_encoder(tmp_path / kind, kind, labels=order)
        rows = list(range(60, 90))
        theirs = huggingface_logits(directory, corpus.select(rows))
        names = [name.lower() for name in order]
        expected = theirs[:, [names.index(label) for label in corpora.LABELS]]
        assert far(our_logits(encoders.nli(directory), corpus, rows), expected) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_classes_without_names_are_refused_in_any_order(tmp_path, kind):
    """Numbers tell no order: `LABEL_0` is entailment in one checkpoint and contradiction in the next."""
    directory = small_world.write_encoder(tmp_path / "e", kind, labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    complaint(directory, "label_0, label_1, label_2", "expected entailment, neutral", "id2label", "config.json")
    named = rewrite_config(directory, tmp_path / "named", id2label=dict(enumerate(corpora.LABELS)), label2id=None)
    encoders.nli(named)  # what the sentence says is enough


def test_names_that_contradict_themselves_are_refused(directories, tmp_path):
    """Hugging Face writes both; where only one was mended by hand, nobody can tell which is right."""
    order = ("contradiction", "neutral", "entailment")
    directory = rewrite_config(directories["bert"], tmp_path / "e", id2label=dict(enumerate(order)))
    complaint(directory, "id2label that contradicts its label2id", "config.json")


def test_a_trained_classifier_gives_no_warning(directory):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoders.nli(directory)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_classifier_is_drawn_from_the_seed_with_a_warning(tmp_path, corpus, kind, capfd):
    directory = small_world.write_encoder(tmp_path / kind, kind, classifier=False)
    logits = []
    for seed in (0, 0, 1):
        with pytest.warns(UserWarning, match="was not trained for NLI") as caught:
            encoder = encoders.nli(directory, seed=seed)
        assert str(directory) in str(caught[0].message)
        logits.append(our_logits(encoder, corpus, [0, 1, 2]))
    assert logits[0].shape == (3, 3)
    assert torch.equal(logits[0], logits[1])
    assert far(logits[0], logits[2]) > 1e-3
    assert capfd.readouterr() == ("", "")  # our warning is all that is said


def test_what_others_log_is_kept_quiet_for_a_while(capfd):
    names = ("huggingface_hub.utils._http", "transformers.modeling_utils")
    levels = [logging.getLogger(name).getEffectiveLevel() for name in names]
    with encoders.quiet():
        for name in names:
            logging.getLogger(name).warning("Retrying in 8s")
    assert capfd.readouterr() == ("", "")
    assert [logging.getLogger(name).getEffectiveLevel() for name in names] == levels


# The tokenizer

TEXTS = [
    "plain words",
    "two  blanks, and one\u00a0that does not break",
    "ＦＵＬＬ width ½",
    "Việt, Äpfel, Cafe\u0301",
    "การแปล ไทย",
    "दुनिया क़",
    "中文 的句子。",
    "don't-stop (now)",
]


def written_tokenizer(directory, kind, **told):
    """Another tokenizer for an encoder: letter by letter, its own normaliser and pre-tokeniser, no class by name."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    bert = kind == "bert"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] if bert else ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    start, end = (special[2], special[3]) if bert else (special[0], special[2])
    letters = sorted(set("".join(TEXTS)) | set("abcdefghijklmnopqrstuvwxyz"))
    if bert:
        pieces = [*special, *letters, *(f"##{letter}" for letter in letters)]
        made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
        made.normalizer = normalizers.NFC()
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        made = Tokenizer(models.Unigram([(piece, -1.0) for piece in [*special, "▁", *letters]], unk_id=3))
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    made.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1" if bert else f"{start} $A {end} {end} $B {end}",
        special_tokens=[(token, made.token_to_id(token)) for token in (start, end)],
    )
    made.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 50} | told))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokenizer_is_that_of_tokenizer_json(tmp_path, corpus, kind):
    """With no class by name, or the usual one, AutoTokenizer makes a normaliser and a pre-tokeniser of its own."""
    usual = {"bert": "BertTokenizer", "xlm-roberta": "XLMRobertaTokenizer"}[kind]
    for place, told in (("unnamed", {}), ("named", {"tokenizer_class": usual})):
        directory = small_world.write_encoder(tmp_path / place, kind)
        made = written_tokenizer(directory, kind, **told)
        encoder = encoders.nli(directory)
        assert encoder.max_length == 50 and encoder.tokenizer.pad_token_id == made.token_to_id(
            "[PAD]" if kind == "bert" else "<pad>"
        )
        encoder.tokenizer.save_pretrained(tmp_path / f"{place}-saved")
        shutil.copy(directory / "config.json", tmp_path / f"{place}-saved")
        for found in (encoder.tokenizer, AutoTokenizer.from_pretrained(tmp_path / f"{place}-saved")):
            for one, other in itertools.product(TEXTS, TEXTS):
                expected = made.encode(one, other)
                tokens = found(one, other, return_offsets_mapping=True)
                assert tokens["input_ids"] == expected.ids
                assert tokens["offset_mapping"] == expected.offsets
                assert tokens.get("token_type_ids", expected.type_ids) == expected.type_ids


@pytest.mark.parametrize("task", ["nli", "qa"])
def test_a_fine_tuned_encoder_keeps_its_tokenizer(tmp_path, task):
    directory = small_world.write_encoder(tmp_path / "e", "xlm-roberta", classifier=False)
    made = written_tokenizer(directory, "xlm-roberta")
    rows = {"nli": corpora.mini_nli, "qa": corpora.mini_qa}[task](["en"], ["dev"]).select(range(4))
    finetune.train(directory, rows, tmp_path / "out", finetune.Settings(1, 1e-3, max_length=50))
    tokenizer = getattr(encoders, task)(tmp_path / "out").tokenizer
    assert [tokenizer(text)["input_ids"] for text in TEXTS] == [made.encode(text).ids for text in TEXTS]


def test_a_tokenizer_that_says_two_things_about_capitals(tmp_path):
    from tokenizers import normalizers

    directory = small_world.write_encoder(tmp_path / "e")
    made = written_tokenizer(directory, "bert", do_lower_case=False)
    encoders.nli(directory)  # which the file does not contradict
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.save(str(directory / "tokenizer.json"))
    complaint(directory, "do_lower_case=False in tokenizer_config.json", "lowercase=True in tokenizer.json")


@pytest.mark.parametrize("named", [None, "BertTokenizer", "TokenizersBackend"])
@pytest.mark.parametrize("wrong", [{"normalizer": {"type": "Unheard"}}, {"model": {}}, [], 7])
def test_a_tokenizer_file_that_cannot_be_understood(directories, tmp_path, named, wrong):
    directory = rewrite_config(directories["bert"], tmp_path / "e")
    content = json.loads((directory / "tokenizer.json").read_text())
    (directory / "tokenizer.json").write_text(json.dumps(content | wrong if isinstance(wrong, dict) else wrong))
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": named} if named else {}))
    complaint(directory, "could not be loaded")


# Attention


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("what", ["head", "all"])
def test_sdpa_is_refused_for_the_second_order_and_works_for_the_first(directory, corpus, what):
    encoder = encoders.nli(directory, adapt=what, attention="sdpa")
    episode = pair_episode(encoder.features(corpus))
    with pytest.raises(InputError, match='attn_implementation="eager"') as caught:
        adapt(encoder.learner, episode, alone(), 2, 0.05)
    assert "sdpa" in str(caught.value)
    adapted, gradient = meta_gradient(encoder.learner, episode, first_order=True)
    eager = encoders.nli(directory, adapt=what)
    expected, expected_gradient = meta_gradient(eager.learner, pair_episode(eager.features(corpus)), first_order=True)
    assert far(gradient, expected_gradient) < 1e-4
    assert all(far(adapted.parameters[name], value) < 1e-5 for name, value in expected.parameters.items())


def test_unknown_attention_is_refused(directory):
    complaint(directory, "could not be loaded", attention="flesh")


# Checkpoints that cannot be used


@pytest.mark.parametrize("kind", ["distilbert", "gpt2"])
def test_another_architecture(directories, tmp_path, kind):
    complaint(rewrite_config(directories["bert"], tmp_path / kind, model_type=kind), kind, "bert and xlm-roberta")


def test_a_distilbert_as_saved(tmp_path):
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=16, num_labels=3)
    DistilBertForSequenceClassification(config).save_pretrained(tmp_path / "other")
    complaint(tmp_path / "other", "distilbert", "bert and xlm-roberta")


def test_a_missing_directory(tmp_path):
    complaint(tmp_path / "nowhere", "There is no encoder", "config.json")
    complaint("./nowhere", "There is no encoder")
    complaint("~/nowhere/at/all", "There is no encoder")


def test_a_directory_without_a_config(tmp_path):
    complaint(tmp_path, "There is no encoder", "config.json")


def test_a_config_that_is_no_json(directories, tmp_path):
    target = rewrite_config(directories["bert"], tmp_path / "e")
    small_world.cut(target / "config.json")
    complaint(target, "could not be loaded")


def test_a_directory_without_weights(directories, tmp_path):
    target = rewrite_config(directories["bert"], tmp_path / "e")
    (target / "model.safetensors").unlink()
    complaint(target, "could not be loaded")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_weights_cut_short(directories, tmp_path, share):
    target = rewrite_config(directories["bert"], tmp_path / "e")
    small_world.cut(target / "model.safetensors", share)
    complaint(target)


def test_a_directory_without_a_tokenizer(directories, tmp_path):
    target = rewrite_config(directories["bert"], tmp_path / "e")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (target / name).unlink()
    complaint(target, "has no tokenizer")


def test_a_tokenizer_cut_short(directories, tmp_path):
    target = rewrite_config(directories["bert"], tmp_path / "e")
    small_world.cut(target / "tokenizer.json")
    complaint(target, "could not be loaded")


def test_missing_layers(directories, tmp_path):
    complaint(rewrite_config(directories["bert"], tmp_path / "e", num_hidden_layers=5), "lacks weights")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("is_decoder", True),  # attends backwards only
        ("position_embedding_type", "relative_key"),  # transformers 5 takes the positions for absolute ones
        ("chunk_size_feed_forward", 7),
        ("quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True}),
    ],
)
def test_settings_that_trunk_and_head_do_not_honour(directories, tmp_path, kind, setting, value):
    directory = rewrite_config(directories[kind], tmp_path / "e", **{setting: value})
    complaint(directory, f"{setting}={value}"[:20], "config.json")


def test_more_layers_than_the_config_says(directories, tmp_path):
    complaint(rewrite_config(directories["bert"], tmp_path / "e", num_hidden_layers=2), "layer.2", "belong together")


def test_another_size_than_the_config_says(directories, tmp_path):
    directory = rewrite_config(directories["bert"], tmp_path / "e", intermediate_size=48)
    complaint(directory, "weights of another size than its config.json says", "layer.0.intermediate.dense")


@pytest.mark.parametrize("labels", [("no", "yes"), ("a", "b", "c", "d")])
def test_a_wrong_number_of_classes(tmp_path, labels):
    complaint(small_world.write_encoder(tmp_path / "e", labels=labels), f"{len(labels)} classes", "NLI needs 3")


@pytest.mark.parametrize("labels", [("yes", "no", "maybe"), ("entailment", "neutral", "LABEL_2")])
def test_unknown_class_names(tmp_path, labels):
    complaint(small_world.write_encoder(tmp_path / "e", labels=labels), labels[0], "expected entailment, neutral")


def test_an_unknown_choice_of_what_is_adapted(directories):
    with pytest.raises(InputError, match="'head' or 'all'"):
        encoders.nli(directories["bert"], adapt="layers")
