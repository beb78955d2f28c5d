import numpy as np
import pytest
import torch

from nlp_tasks.artefacts import record_artefact
from nlp_tasks.classification.classifier import Classifier
from nlp_tasks.classification.config import ClassificationConfig
from nlp_tasks.classification.data import (
    class_names,
    class_weights,
    down_sampling,
    encode_labels,
    known_labels,
    unseen,
)
from nlp_tasks.classification.model import ClassificationLoss
from nlp_tasks.config import HeadConfig, LengthConfig
from nlp_tasks.model import TextModel
from recsys_bert.checksums import write_checksums
from recsys_bert.errors import InputError
from recsys_bert.losses.classification import multiclass_cross_entropy


def one(*labels):
    return [(label,) for label in labels]


def test_labels_are_in_order_of_size_or_alphabet():
    assert known_labels(one("10", "9", "9", "0"), False) == ["0", "9", "10"]
    assert known_labels(one("pos", "neg", "10"), False) == ["10", "neg", "pos"]
    assert known_labels([("b", "a"), (), ("b",)], True) == ["a", "b"]


@pytest.mark.parametrize(("labels", "multi"), [(one("a", "a"), False), ([(), ()], True)])
def test_one_class_is_nothing_to_learn(labels, multi):
    with pytest.raises(InputError, match=r"too few labels among the 2 training examples"):
        known_labels(labels, multi)


def test_labels_become_numbers():
    np.testing.assert_array_equal(encode_labels(one("b", "a", "b"), ["a", "b"], False), [1, 0, 1])
    targets = encode_labels([("c", "a"), ()], ["a", "b", "c"], True)
    np.testing.assert_array_equal(targets, [[1, 0, 1], [0, 0, 0]])
    assert unseen([("a",), ("z",), (), ("a", "y")], ["a"]) == [
        "",
        "label 'z' does not occur in training",
        "",
        "label 'y' does not occur in training",
    ]


def test_names_of_numbers(write):
    file = write("class.txt", "finance\nrealty\n\n")
    assert class_names(["0", "1"], file) == ["finance", "realty"]
    assert class_names(["x"], None) == ["x"]
    for label in ("2", "3", "x", "-1"):
        with pytest.raises(InputError, match=f"label '{label}' is no number of a line"):
            class_names([label], file)


def test_balanced_weights():
    targets = np.array([0, 0, 0, 1])
    weights = class_weights(targets, ["a", "b"], ClassificationConfig(class_weights="balanced"))
    np.testing.assert_allclose(weights, [4 / 6, 2])
    assert np.mean(weights[targets]) == pytest.approx(1)
    many = np.array([[1, 0], [1, 1], [0, 0], [1, 0]])
    balanced = ClassificationConfig(multi_label=True, class_weights="balanced")
    np.testing.assert_allclose(class_weights(many, ["a", "b"], balanced), [1 / 3, 3])


def test_weights_by_hand_multiply():
    config = ClassificationConfig(class_weights="balanced", weights={"b": 3.0})
    np.testing.assert_allclose(class_weights(np.array([0, 0, 0, 1]), ["a", "b"], config), [4 / 6, 6])
    with pytest.raises(InputError, match=r"task\.weights names 'c'; the labels are a, b"):
        class_weights(np.array([0, 1]), ["a", "b"], ClassificationConfig(weights={"c": 2.0}))


def test_down_sampling_keeps_the_rarest_class_whole_and_draws_the_rest_anew():
    targets = np.array([0] * 50 + [1] * 4 + [2] * 9)
    choose = down_sampling(targets, 2.0)
    first, second = choose(np.random.default_rng(0)), choose(np.random.default_rng(1))
    assert np.bincount(targets[first]).tolist() == np.bincount(targets[second]).tolist() == [8, 4, 8]
    assert len(set(first.tolist())) == 20
    assert not np.array_equal(first, second)
    assert len(down_sampling(targets, 100.0)(np.random.default_rng(0))) == 63


@pytest.fixture
def classifier(encoder, tokenizer):
    def build(multi_label=False, auxiliary=False):
        torch.manual_seed(1)
        model = TextModel(encoder, HeadConfig(), 3, auxiliary=auxiliary).eval()
        names = ["Food", "Money", "Sport"]
        thresholds = np.array([0.5, 0.4, 0.6]) if multi_label else None
        return Classifier(model, tokenizer, ["0", "1", "2"], names, LengthConfig(), multi_label, thresholds)

    return build


def test_probabilities_are_softmax_or_sigmoid_of_the_outputs(classifier, topics):
    texts = topics(5)[0]
    single, multi = classifier(), classifier(multi_label=True)
    batch = {"owner": np.arange(5), **single.inputs(texts).gather(np.arange(5))}
    logits = single.model({name: torch.from_numpy(value) for name, value in batch.items()}).detach().double()
    np.testing.assert_allclose(single.probabilities(texts), logits.softmax(dim=1), atol=1e-6)
    np.testing.assert_allclose(multi.probabilities(texts), logits.sigmoid(), atol=1e-6)


def test_predictions_have_names(classifier, topics):
    texts = topics(8)[0]
    single, multi = classifier(), classifier(multi_label=True)
    best = single.probabilities(texts).argmax(axis=1)
    assert single.predict(texts) == [single.names[n] for n in best]
    for labels, row in zip(multi.predict(texts), multi.probabilities(texts), strict=True):
        above = [n for n in np.argsort(-row) if row[n] >= multi.thresholds[n]]
        assert labels == tuple(multi.names[n] for n in above)


@pytest.mark.parametrize("multi_label", [False, True])
def test_saved_and_loaded_it_says_the_same(classifier, topics, tmp_path, multi_label):
    texts = topics(20)[0]
    before = classifier(multi_label, auxiliary=True)
    before.save(record_artefact(tmp_path / "run", "classifier"))
    after = Classifier.load(tmp_path / "run")
    np.testing.assert_array_equal(after.probabilities(texts), before.probabilities(texts))
    assert after.predict(texts) == before.predict(texts)
    assert (after.labels, after.length, after.multi_label) == (before.labels, before.length, before.multi_label)


def test_other_folders_are_refused(tmp_path, encoder, tokenizer):
    from nlp_tasks.encoders import save_text_encoder

    with pytest.raises(InputError, match="holds no encoder"):
        Classifier.load(tmp_path)
    save_text_encoder(record_artefact(tmp_path, "encoder"), encoder, tokenizer)
    with pytest.raises(InputError, match="an encoder but no trained classifier"):
        Classifier.load(tmp_path)
    (tmp_path / "encoder" / "task.json").write_text('{"format": "recsys_bert.text_task/2", "task": "matcher"}')
    write_checksums(tmp_path / "encoder")
    with pytest.raises(InputError, match="holds a matcher, no classifier"):
        Classifier.load(tmp_path)


def test_the_loss_is_that_of_the_outputs(classifier, topics):
    built = classifier()
    config = ClassificationConfig(label_smoothing=0.1, focal_gamma=2.0)
    weights = np.array([1.0, 2.0, 3.0], np.float32)
    labels = torch.tensor([0, 2, 1, 1])
    rows = built.inputs(topics(4)[0]).gather(np.arange(4)) | {"owner": np.arange(4)}
    batch = {name: torch.from_numpy(value) for name, value in rows.items()} | {"labels": labels}
    expected = multiclass_cross_entropy(
        built.model(batch), labels, weights=torch.tensor(weights), smoothing=0.1, gamma=2.0
    )
    torch.testing.assert_close(ClassificationLoss(built.model, config, weights)(batch), expected)


def test_the_auxiliary_loss_is_weighed_in(classifier, topics):
    built = classifier(auxiliary=True)
    labels = torch.tensor([0, 2, 1, 1])
    rows = built.inputs(topics(4)[0]).gather(np.arange(4)) | {"owner": np.arange(4)}
    batch = {name: torch.from_numpy(value) for name, value in rows.items()} | {"labels": labels}
    loss = ClassificationLoss(built.model, ClassificationConfig(), np.ones(3, np.float32), 0.7)(batch)
    encoded = built.model.encode(batch)
    last = built.model.auxiliary.last.norm(encoded.states[-1])
    mean = (last * encoded.mask[:, :, None]).sum(dim=1) / encoded.mask.sum(dim=1, keepdim=True)
    raw = multiclass_cross_entropy(built.model.auxiliary.output(mean), labels)
    torch.testing.assert_close(loss, 0.7 * raw + 0.3 * multiclass_cross_entropy(built.model(batch), labels))
    loss.backward()
    assert all(weight.grad is not None for weight in built.model.auxiliary.parameters())
