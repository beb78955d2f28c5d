"""Every setting of training a matcher, changed once: another model, other metrics, or a refusal."""

from pathlib import Path

import numpy as np
import pytest
from contracts.settings_contract import Runs, check_effects, nested
from contracts.settings_tests import (  # noqa: F401, what every contract is tested by
    contract,
    pytest_generate_tests,
    test_a_changed_setting_changes_the_run_or_is_refused,
    test_exempt_settings_exist,
    test_the_same_settings_give_the_same_run,
)
from contracts.text_runs import REFUSED, SMALL, TAUGHT, folder_of_runs, outcome, text_contract, topic_texts

from nlp_tasks import Matcher
from nlp_tasks.matching.config import MatchingTrainConfig

pytestmark = pytest.mark.slow
BI = {"task.form": "bi"}
BI_TAUGHT = {**TAUGHT, **BI, "teacher": "bi_teacher"}
CONTRACT = text_contract(
    MatchingTrainConfig,
    bases={
        "cross": SMALL,
        "bi": {**SMALL, **BI},
        "in_batch": {**SMALL, **BI, "task.loss": "in_batch"},
        "unlabelled": {**SMALL, **BI, "task.loss": "in_batch", "labelled": False},
        "ranking": {**SMALL, **BI, "task.loss": "ranking"},
        "windows": {**SMALL, "length.long": "windows"},
        "bi_windows": {**SMALL, **BI, "length.long": "windows"},
        "teacher": TAUGHT,
        "bi_teacher": BI_TAUGHT,
        "only_taught": {**TAUGHT, "distillation.soft_weight": 1.0},
        "bi_only_taught": {**BI_TAUGHT, "distillation.soft_weight": 1.0},
    },
    only={
        "bi": ("task.", "head.", "train.monitor", "train.optimiser", "train.auxiliary", "encoder.exact_match"),
        **dict.fromkeys(("in_batch", "unlabelled", "ranking"), ("task.", "train.monitor", "train.auxiliary")),
        **dict.fromkeys(("windows", "bi_windows"), ("length.",)),
        **dict.fromkeys(("teacher", "bi_teacher"), ("distillation.", "task.")),
        **dict.fromkeys(("only_taught", "bi_only_taught"), ("distillation.", "task.", "train.auxiliary")),
    },
    values={
        "train.monitor": ["accuracy", "f1", "auc", "hit@1", "hit@10", "mrr"],
    },
    contexts={"head.options": {"head.name": "attention"}},
    detected={
        "cross": {"tokenizer.kind": ("wordpiece",), "train.monitor": ("accuracy",)},
        **{base: {"train.monitor": ("accuracy",)} for base in ("bi", "in_batch", "ranking")},
        "unlabelled": {"train.monitor": ("hit@1",)},
    },
)
CHANGES = CONTRACT.changes()


def pairs(n):
    """Pairs of texts, and 1 where their topics are the same, which is so for every other pair at least."""
    texts, topics = topic_texts(3 * n, seed=1)
    random = np.random.default_rng(2)
    same = random.random(n) < 0.5
    first = list(range(n))
    second = [
        next(j for j in random.permutation(np.arange(n, 3 * n)) if (topics[j] == topics[i]) == same[i]) for i in first
    ]
    return [texts[i] for i in first], [texts[j] for j in second], same.astype(int).tolist()


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Runs ``start``, ``teacher`` and ``bi_teacher`` in the working directory."""
    with folder_of_runs(tmp_path_factory):
        large = {**SMALL, "encoder.n_layers": 2}
        Matcher.train(*pairs(60), out=Path("teacher"), **nested(large))
        tokenizer = {name: value for name, value in large.items() if not name.startswith("tokenizer.")}
        Matcher.train(*pairs(60), out=Path("bi_teacher"), **nested({**tokenizer, **BI, "tokenizer.folder": "teacher"}))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    first, second, labels = pairs(60)

    def train(settings):
        out = tmp_path_factory.mktemp("run") / "run"
        labelled = settings.pop("labelled", True)
        parts = (first, second, labels if labelled else None)
        matcher = Matcher.train(*parts, validation=0.25, out=out, **settings)
        return outcome(
            out,
            "matcher",
            MatchingTrainConfig,
            matcher.results,
            matcher.similarity(first, second).tolist(),
            matcher.threshold,
        )

    return Runs(CONTRACT, train)


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED)
