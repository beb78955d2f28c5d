"""Every setting of pretraining on text, changed once: another model, other metrics, or a refusal."""

from pathlib import Path

import pytest
from contracts.settings_contract import Runs, check_effects, check_named_defaults, nested, part_options
from contracts.settings_tests import (  # noqa: F401, what every contract is tested by
    contract,
    pytest_generate_tests,
    test_a_changed_setting_changes_the_run_or_is_refused,
    test_exempt_settings_exist,
    test_the_same_settings_give_the_same_run,
)
from contracts.text_runs import REFUSED, SMALL, TAUGHT, folder_of_runs, outcome, text_contract, topic_texts

import nlp_tasks
from nlp_tasks.pretraining.config import TextPretrainConfig
from recsys_bert.files import read_json
from recsys_bert.objectives import OBJECTIVES, SECOND_LOSSES
from recsys_bert.training.run_folder import only_checking

pytestmark = pytest.mark.slow
BASE = {
    **SMALL,
    "tokenizer.vocab_size": 60,
    "train.schedule.warmup_steps": 2,
    "train.lr": 0.1,
    "train.monitor": "accuracy",
}
PAIRS = {"second_loss": "sentence_order"}
CONTRACT = text_contract(
    TextPretrainConfig,
    bases={
        **{name: {**BASE, "objective": name} for name in OBJECTIVES},
        "pairs": {**BASE, **PAIRS},
        "teacher": TAUGHT,
        "only_taught": {**TAUGHT, "distillation.soft_weight": 1.0},
    },
    only={
        # two attentions see every setting of the encoder, so that other objectives need not
        **{name: ("objective", "second", "max_len") for name in OBJECTIVES if name not in ("masked", "next_item")},
        "next_item": ("objective", "second", "whole_words", "max_len", "encoder.", "init"),
        "pairs": ("second", "max_len", "encoder.exact_match", "encoder.n_segments", "train.auxiliary"),
        "teacher": ("distillation.", "second_loss"),
        "only_taught": ("distillation.", "second_loss", "train.auxiliary"),
    },
    values={
        "objective_options": [{"mask_prob": 0.4}],
        "second_loss_options": [{"weight": 0.5}],
        "train.schedule.warmup_steps": [5],
        "whole_words": ["none"],  # jieba's words are of Chinese texts
        "max_len": [10],
        "train.monitor": ["log_likelihood"],
    },
    detected={
        "masked": {"tokenizer.kind": ("wordpiece",), "output_head": ("tied",)},
        "teacher": {},
    },
)
CHANGES = CONTRACT.changes()
OPTION_VALUES = {"generator_size": [0.5]}
OPTIONS = [
    *part_options("masked", "objective", "objective", OBJECTIVES, OPTION_VALUES),
    *part_options("masked", "second_loss", "second loss", SECOND_LOSSES, {}),
]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Runs ``start`` and ``teacher`` in the working directory."""
    with folder_of_runs(tmp_path_factory):
        nlp_tasks.pretrain(topic_texts(60)[0], out=Path("teacher"), **nested({**BASE, "encoder.n_layers": 2}))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    texts = topic_texts(60)[0]

    def train(settings):
        out = tmp_path_factory.mktemp("run") / "run"
        validation = {} if "validation_share" in settings else {"validation": topic_texts(20, seed=3)[0]}
        encoder = nlp_tasks.pretrain(texts, out=out, **validation, **settings)
        return outcome(
            out, "encoder", TextPretrainConfig, read_json(out / "metrics.json"), encoder.encode(texts[:3]).tolist()
        )

    return Runs(CONTRACT, train)


@pytest.mark.parametrize("base", ["masked", "init"])
def test_a_default_named_by_hand_is_trained_with_or_refused(runs, base):
    def accepts(settings):
        with only_checking():
            nlp_tasks.pretrain(topic_texts(60)[0], **settings)

    check_named_defaults(runs, base, accepts)


def test_every_setting_has_an_effect_in_some_run(runs):
    # tokens are scored against all tokens; the validation texts are given
    check_effects(runs, CHANGES, REFUSED | {"train.optimiser.sparse_adam"})
