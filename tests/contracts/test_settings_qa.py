"""Every setting of training a question answerer, changed once: another model, other metrics, or a refusal."""

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
    read_config_toml,
)
from contracts.text_runs import (
    CONTEXTS,
    EXEMPT,
    OF_START,
    ONLY_STARTS,
    REFUSED,
    SMALL,
    STARTS,
    TAUGHT,
    TOPICS,
    TRAIN,
    VALUES,
    topic_texts,
    write_start,
)

from nlp_tasks import QuestionAnswerer
from nlp_tasks.qa.config import QATrainConfig

pytestmark = pytest.mark.slow
LONG = {"encoder.max_len": 26, "train.lr": 0.1}
CONTRACT = SettingsContract(
    QATrainConfig,
    bases={
        **STARTS,
        "plain": {**SMALL, **LONG},
        "no_answer": {**SMALL, **LONG, "task.no_answer": True, "answered": False},
        "init": {**TRAIN, "init": "start"},
        "teacher": {**TAUGHT, **LONG},
        "only_taught": {**TAUGHT, **LONG, "distillation.soft_weight": 1.0},
    },
    only={
        **ONLY_STARTS,
        "no_answer": ("task.", "train.monitor"),
        "init": ("encoder.", "tokenizer.", "init"),
        "teacher": ("distillation.", "task."),
        "only_taught": ("distillation.", "task.", "train.auxiliary"),
    },
    values={
        **VALUES,
        "encoder.max_len": [24],
        "task.max_len": [23],
        "task.overlap": [0.75],
        "task.max_question": [2],
        "task.max_answer": [1],
        "train.monitor": ["em"],
    },
    contexts=CONTEXTS,
    detected={
        "plain": {"tokenizer.kind": ("wordpiece",), "task.language": ("english",)},
        "no_answer": {"task.language": ("english",)},
        "teacher": {"task.language": ("english",)},
        "only_taught": {"task.language": ("english",)},
        "init": OF_START,
    },
    exempt=EXEMPT,
)
CHANGES = CONTRACT.changes()


def questions(n):
    """Questions, passages and answers of one or two words; one text in four has no answer."""
    passages, topics = topic_texts(n, seed=1)
    answers = []
    for passage, topic in zip(passages, topics, strict=True):
        words = passage.split(" ")
        position = next((i for i, word in enumerate(words) if word.strip(".") in TOPICS[topic]), 0)
        two = " ".join(words[position : position + 2])
        answers.append(two if len(two) < 8 else words[position])
    return [f"which {topic} is there now ?" for topic in topics], passages, answers


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Runs ``start`` and ``teacher`` in the working directory."""
    here = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("runs"))
    write_start(Path())
    QuestionAnswerer.train(*questions(60), out=Path("teacher"), **nested({**SMALL, **LONG, "encoder.n_layers": 2}))
    yield
    os.chdir(here)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    asking, passages, answers = questions(60)

    def train(settings):
        out = tmp_path_factory.mktemp("run") / "run"
        some = answers if settings.pop("answered", True) else [a if n % 4 else None for n, a in enumerate(answers)]
        answerer = QuestionAnswerer.train(asking, passages, some, validation=0.25, out=out, **settings)
        results = {name: value for name, value in answerer.results.items() if name != "seconds"}
        output = (results, metric_lines(out), answerer.predict(asking, passages), answerer.threshold)
        weights = hash_files(out / "question_answerer" / "model.safetensors")
        return Outcome(weights, output, read_config_toml(out, QATrainConfig))

    return Runs(CONTRACT, train)


@parametrize(CHANGES)
def test_a_changed_setting_changes_the_run_or_is_refused(runs, change):
    check_change(runs, change)


@pytest.mark.parametrize("base", CONTRACT.bases)
def test_the_same_settings_give_the_same_run(runs, base):
    assert Runs(CONTRACT, runs.train).of(CONTRACT.bases[base]) == runs.of(CONTRACT.bases[base])


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED | {"task.no_answer"})  # it is as the data are


def test_exempt_settings_exist():
    check_exempt(CONTRACT)
