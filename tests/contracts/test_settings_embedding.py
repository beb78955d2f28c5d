"""Every setting of training sentence vectors, changed once: another model, other metrics, or a refusal."""

import pytest
from contracts.settings_contract import Runs, check_effects
from contracts.settings_tests import (  # noqa: F401, what every contract is tested by
    contract,
    pytest_generate_tests,
    test_a_changed_setting_changes_the_run_or_is_refused,
    test_exempt_settings_exist,
    test_the_same_settings_give_the_same_run,
)
from contracts.text_runs import REFUSED, SMALL, folder_of_runs, outcome, text_contract, topic_texts

from nlp_tasks import TextEncoder
from nlp_tasks.embedding.config import EmbeddingTrainConfig

pytestmark = pytest.mark.slow
CONTRACT = text_contract(
    EmbeddingTrainConfig,
    bases={
        "graded": SMALL,
        "cosine": {**SMALL, "task.loss": "cosine"},
        "matches": {**SMALL, "task.loss": "in_batch", "task.positive_from": 2.0},
        "unlabelled": {**SMALL, "labelled": False},
        "simcse": {**SMALL, "task.loss": "simcse"},
        "windows": {**SMALL, "length.long": "windows"},
    },
    only={
        **dict.fromkeys(("cosine", "matches", "simcse"), ("task.", "train.auxiliary")),
        "unlabelled": ("task.loss", "train.monitor"),
        "windows": ("length.",),
    },
    values={
        "train.monitor": ["spearman", "pearson", "mrr", "hit@1", "hit@10"],
        "task.positive_from": [1.0],
        "task.grade_range": [[0.0, 4.0]],
        "head.dropout": [0.3],
    },
    contexts={"head.options": {"head.name": "attention"}},
    detected={
        "no_init": {"head.name": ()},
        "graded": {
            "tokenizer.kind": ("wordpiece",),
            "train.monitor": ("spearman",),
            "task.loss": ("cosent",),
        },
        "matches": {"task.loss": ()},
        "unlabelled": {"task.loss": ("in_batch",), "train.monitor": ("mrr",)},
    },
)
CHANGES = CONTRACT.changes()


def graded_pairs(n):
    """Pairs of texts with the grades 2 (one topic), 1 and 0; some have a first text in common."""
    texts, topics = topic_texts(2 * n, seed=1)
    first = [texts[i - i % 2] for i in range(n)]
    ones = [topics[i - i % 2] for i in range(n)]
    grades = [2 if one == other else i % 2 for i, (one, other) in enumerate(zip(ones, topics[n:], strict=True))]
    return first, texts[n:], grades


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """The run ``start`` in the working directory."""
    with folder_of_runs(tmp_path_factory):
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    first, second, grades = graded_pairs(60)

    def train(settings):
        out = tmp_path_factory.mktemp("run") / "run"
        parts = (first, second, grades if settings.pop("labelled", True) else None)
        simcse = settings.get("task", {}).get("loss") == "simcse"
        encoder = TextEncoder.train(*parts, validation=parts if simcse else 0.25, out=out, **settings)
        vectors = encoder.encode(first).tolist()
        return outcome(out, "text_encoder", EmbeddingTrainConfig, encoder.results, vectors)

    return Runs(CONTRACT, train)


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED | {"encoder.exact_match"})  # reads pairs
