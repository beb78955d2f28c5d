"""Every setting of training a classifier, changed once: another model, other metrics, or a refusal."""

from pathlib import Path

import pytest
from contracts.settings_contract import Runs, check_effects, nested, part_options
from contracts.settings_tests import (  # noqa: F401, what every contract is tested by
    contract,
    pytest_generate_tests,
    test_a_changed_setting_changes_the_run_or_is_refused,
    test_a_default_that_init_overrides_is_refused,
    test_exempt_settings_exist,
    test_the_same_settings_give_the_same_run,
)
from contracts.text_runs import REFUSED, SMALL, TAUGHT, folder_of_runs, outcome, text_contract, topic_texts

from nlp_tasks import Classifier
from nlp_tasks.classification.config import ClassificationTrainConfig
from nlp_tasks.heads import TEXT_HEADS

pytestmark = pytest.mark.slow
CONTRACT = text_contract(
    ClassificationTrainConfig,
    bases={
        "plain": SMALL,
        "two_labels": {**SMALL, "labels": "two"},
        "multi_label": {**SMALL, "labels": "several", "task.multi_label": True},
        "windows": {**SMALL, "length.long": "windows"},
        "key_sentences": {**SMALL, "length.long": "key_sentences"},
        "teacher": TAUGHT,
        "only_taught": {**TAUGHT, "distillation.soft_weight": 1.0},
    },
    only={
        "two_labels": ("train.monitor",),
        "multi_label": ("task.", "train.monitor"),
        **dict.fromkeys(("windows", "key_sentences"), ("length.",)),
        "init": ("encoder.", "tokenizer.", "init", "train.optimiser"),
        "teacher": ("distillation.", "task."),
        "only_taught": ("distillation.", "task.", "train.auxiliary"),
    },
    values={
        "init_layers": [[0]],
        "task.weights": [{"sport": 3.0}],
        "task.down_sample": [1.0],
        "train.monitor": ["macro_f1", "f1", "auc", "exact", "average_precision"],
    },
    contexts={"head.options": {"head.name": "attention"}},
    detected={"plain": {"tokenizer.kind": ("wordpiece",)}},
)
HEAD_OPTIONS = {"hidden": [4], "width": [4]}
CHANGES = CONTRACT.changes()
OPTIONS = part_options("plain", "head.name", "head", TEXT_HEADS, HEAD_OPTIONS, options="head.options")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Runs ``start`` and ``teacher`` in the working directory."""
    with folder_of_runs(tmp_path_factory):
        Classifier.train(*topic_texts(80), out=Path("teacher"), **nested({**SMALL, "encoder.n_layers": 2}))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    texts, topics = topic_texts(80)
    labels = {
        "one": topics,
        "two": [str(topic == "sport") for topic in topics],
        "several": [[topic, "long"] if len(text) > 40 else [topic] for text, topic in zip(texts, topics, strict=True)],
    }

    def train(settings):
        out = tmp_path_factory.mktemp("run") / "run"
        classifier = Classifier.train(
            texts, labels[settings.pop("labels", "one")], validation=0.25, out=out, **settings
        )
        return outcome(
            out,
            "classifier",
            ClassificationTrainConfig,
            classifier.results,
            classifier.predict(texts),
            classifier.probabilities(texts).tolist(),
        )

    return Runs(CONTRACT, train)


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED | {"encoder.exact_match"})  # reads pairs
