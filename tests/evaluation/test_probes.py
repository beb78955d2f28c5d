"""Linear probes by layer."""

import numpy as np

from recsys_bert.evaluation.probes import MOST_CLASSES, probe_layers


def test_a_probe_reads_what_a_layer_holds():
    random = np.random.default_rng(0)
    labels, groups = np.repeat(np.arange(3), 60), np.tile(np.arange(30), 6)
    noise = random.normal(size=(180, 6))
    known = noise.copy()
    known[range(180), labels] += 6
    result = probe_layers([noise, known], labels, groups)
    assert result["accuracy"][0] < 0.6
    assert result["accuracy"][1] > 0.95
    assert result["shuffled"] < 0.6
    assert 0.2 < result["majority"] < 0.5


def test_rare_classes_are_left_out_and_counted():
    labels = np.arange(200) % 50
    labels[:30] = 0
    result = probe_layers([np.random.default_rng(0).normal(size=(200, 2))], labels, np.arange(200))
    assert result["classes"] == MOST_CLASSES
    assert result["rows"] + result["left_out"] == 200


def test_one_class_has_no_accuracy():
    assert probe_layers([np.ones((9, 2))], np.zeros(9), np.arange(9))["accuracy"] == [None]
