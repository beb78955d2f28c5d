"""Every setting of training a classifier, changed once: another model, other metrics, or a refusal."""

import os
from pathlib import Path

import pytest
from contracts.settings_contract import (
    Outcome,
    Runs,
    SettingsContract,
    check_change,
    check_effects,
    check_exempt,
    hash_files,
    metric_lines,
    nested,
    parametrize,
    part_options,
    read_config_toml,
)
from contracts.text_runs import (
    CONTEXTS,
    EXEMPT,
    OF_START,
    ONLY_STARTS,
    READING_VALUES,
    REFUSED,
    SMALL,
    STARTS,
    TAUGHT,
    TRAIN,
    VALUES,
    topic_texts,
    write_start,
)

from nlp_tasks import Classifier
from nlp_tasks.classification.config import ClassificationTrainConfig
from nlp_tasks.heads import TEXT_HEADS

pytestmark = pytest.mark.slow
CONTRACT = SettingsContract(
    ClassificationTrainConfig,
    bases={
        **STARTS,
        "plain": SMALL,
        "two_labels": {**SMALL, "labels": "two"},
        "multi_label": {**SMALL, "labels": "several", "task.multi_label": True},
        "windows": {**SMALL, "length.long": "windows"},
        "key_sentences": {**SMALL, "length.long": "key_sentences"},
        "init": {**TRAIN, "init": "start"},
        "teacher": TAUGHT,
        "only_taught": {**TAUGHT, "distillation.soft_weight": 1.0},
    },
    only={
        **ONLY_STARTS,
        "two_labels": ("train.monitor",),
        "multi_label": ("task.", "train.monitor"),
        **dict.fromkeys(("windows", "key_sentences"), ("length.",)),
        "init": ("encoder.", "tokenizer.", "init", "train.optimiser"),
        "teacher": ("distillation.", "task."),
        "only_taught": ("distillation.", "task.", "train.auxiliary"),
    },
    values={
        **VALUES,
        **READING_VALUES,
        "init_layers": [[0]],
        "task.weights": [{"sport": 3.0}],
        "task.down_sample": [1.0],
        "train.monitor": ["macro_f1", "f1", "auc", "exact", "average_precision"],
    },
    contexts={**CONTEXTS, "head.options": {"head.name": "attention"}},
    detected={"plain": {"tokenizer.kind": ("wordpiece",)}, "init": OF_START},
    exempt=EXEMPT,
)
HEAD_OPTIONS = {"hidden": [4], "width": [4]}
CHANGES = CONTRACT.changes()
OPTIONS = part_options("plain", "head.name", "head", TEXT_HEADS, HEAD_OPTIONS, options="head.options")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Runs ``start`` and ``teacher`` in the working directory."""
    here = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("runs"))
    write_start(Path())
    Classifier.train(*topic_texts(80), out=Path("teacher"), **nested({**SMALL, "encoder.n_layers": 2}))
    yield
    os.chdir(here)


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
        results = {name: value for name, value in classifier.results.items() if name != "seconds"}
        output = (results, metric_lines(out), classifier.predict(texts), classifier.probabilities(texts).tolist())
        weights = hash_files(out / "classifier" / "model.safetensors")
        return Outcome(weights, output, read_config_toml(out, ClassificationTrainConfig))

    return Runs(CONTRACT, train)


@parametrize(CHANGES + OPTIONS)
def test_a_changed_setting_changes_the_run_or_is_refused(runs, change):
    check_change(runs, change)


@pytest.mark.parametrize("base", CONTRACT.bases)
def test_the_same_settings_give_the_same_run(runs, base):
    assert Runs(CONTRACT, runs.train).of(CONTRACT.bases[base]) == runs.of(CONTRACT.bases[base])


@pytest.mark.parametrize("name", ["encoder.dim", "encoder.n_layers", "encoder.ngrams"])
def test_a_default_that_init_overrides_is_refused(runs, name):
    default = CONTRACT.defaults("init")[name]
    assert "start" in str(runs.of(CONTRACT.bases["init"], {name: default}))


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED | {"encoder.exact_match"})  # reads pairs


def test_exempt_settings_exist():
    check_exempt(CONTRACT)
