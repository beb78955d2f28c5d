import numpy as np
import pytest
from seqeval.metrics import classification_report
from seqeval.scheme import IOBES

from nlp_tasks.tagging.schemes import SCHEMES, Span, write_tags
from recsys_bert.evaluation.spans import span_metrics

TYPES = ["LOC", "ORG", "PER"]


def test_by_hand():
    true = np.array([[0, 0, 2, 0], [0, 3, 4, 1], [1, 0, 1, 2]])
    predicted = np.array([[0, 3, 4, 1], [0, 0, 2, 1], [0, 3, 4, 1], [2, 1, 2, 0]])  # right, wrong type, twice, too much
    metrics = span_metrics(true, predicted, TYPES, 4)
    assert metrics["precision"] == pytest.approx(1 / 3)
    assert metrics["recall"] == pytest.approx(1 / 3)
    assert metrics["f1"] == pytest.approx(1 / 3)
    assert metrics["exact"] == 0.25  # nothing is in the fourth sentence, and nothing was predicted
    assert [one["f1"] for one in metrics["classes"]] == pytest.approx([0, 2 / 3, 0])
    assert metrics["macro_f1"] == pytest.approx(2 / 9)
    assert [one["examples"] for one in metrics["classes"]] == [1, 1, 1]


def test_nothing_there_and_nothing_predicted():
    none = np.empty((0, 4), np.int64)
    metrics = span_metrics(none, none, TYPES, 3)
    assert (metrics["f1"], metrics["exact"], metrics["macro_f1"]) == (0, 1, 0)


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_seqeval_in_strict_mode(seed):
    random = np.random.default_rng(seed)

    def draw():
        entities, position = [], 0
        while (position := position + int(random.integers(0, 4))) < 20:
            stop = min(20, position + int(random.integers(1, 3)))
            entities.append(Span(position, stop, str(random.choice(TYPES))))
            position = stop
        return entities

    true = [draw() for _ in range(30)]
    predicted = [[one for one in entities if random.random() < 0.6] or draw() for entities in true]
    rows = [
        np.array([(i, a, b, TYPES.index(kind)) for i, own in enumerate(part) for a, b, kind in own])
        for part in (true, predicted)
    ]
    metrics = span_metrics(*rows, TYPES, 30)
    tags = [[write_tags(own, 20, SCHEMES["iobes"]) for own in part] for part in (true, predicted)]
    theirs = classification_report(*tags, mode="strict", scheme=IOBES, output_dict=True, zero_division=0)
    for ours, name in (("f1", "f1-score"), ("precision", "precision"), ("recall", "recall")):
        assert metrics[ours] == pytest.approx(theirs["micro avg"][name])
        for one in metrics["classes"]:
            assert one[ours] == pytest.approx(theirs[one["label"]][name])
    assert metrics["macro_f1"] == pytest.approx(theirs["macro avg"]["f1-score"])
