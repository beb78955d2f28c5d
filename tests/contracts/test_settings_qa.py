"""Every setting of training a question answerer, changed once: another model, other metrics, or a refusal."""

from pathlib import Path

import pytest
from contracts.settings_contract import Runs, check_effects, nested
from contracts.settings_tests import (  # noqa: F401, what every contract is tested by
    contract,
    pytest_generate_tests,
    test_a_changed_setting_changes_the_run_or_is_refused,
    test_exempt_settings_exist,
    test_the_same_settings_give_the_same_run,
)
from contracts.text_runs import REFUSED, SMALL, TAUGHT, TOPICS, folder_of_runs, outcome, text_contract, topic_texts

from nlp_tasks import QuestionAnswerer
from nlp_tasks.qa.config import QATrainConfig

pytestmark = pytest.mark.slow
LONG = {"encoder.max_len": 26, "train.lr": 0.1}
CONTRACT = text_contract(
    QATrainConfig,
    bases={
        "plain": {**SMALL, **LONG},
        "no_answer": {**SMALL, **LONG, "task.no_answer": True, "answered": False},
        "teacher": {**TAUGHT, **LONG},
        "only_taught": {**TAUGHT, **LONG, "distillation.soft_weight": 1.0},
    },
    only={
        "no_answer": ("task.", "train.monitor"),
        "teacher": ("distillation.", "task."),
        "only_taught": ("distillation.", "task.", "train.auxiliary"),
    },
    values={
        "encoder.max_len": [24],
        "task.max_len": [23],
        "task.overlap": [0.75],
        "task.max_question": [2],
        "task.max_answer": [1],
        "train.monitor": ["em"],
    },
    detected={
        "plain": {"tokenizer.kind": ("wordpiece",), "task.language": ("english",)},
        "no_answer": {"task.language": ("english",)},
        "teacher": {"task.language": ("english",)},
        "only_taught": {"task.language": ("english",)},
    },
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
    with folder_of_runs(tmp_path_factory):
        QuestionAnswerer.train(*questions(60), out=Path("teacher"), **nested({**SMALL, **LONG, "encoder.n_layers": 2}))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    asking, passages, answers = questions(60)

    def train(settings):
        out = tmp_path_factory.mktemp("run") / "run"
        some = answers if settings.pop("answered", True) else [a if n % 4 else None for n, a in enumerate(answers)]
        answerer = QuestionAnswerer.train(asking, passages, some, validation=0.25, out=out, **settings)
        return outcome(
            out,
            "question_answerer",
            QATrainConfig,
            answerer.results,
            answerer.predict(asking, passages),
            answerer.threshold,
        )

    return Runs(CONTRACT, train)


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED | {"task.no_answer"})  # it is as the data are
