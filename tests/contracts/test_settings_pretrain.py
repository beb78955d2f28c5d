"""Every setting of pretrain, changed once: another model, another course of the training, or a refusal."""

import os

import pytest
from contracts.click_runs import (
    CONTEXTS,
    ENCODER,
    EXEMPT,
    SAMPLED,
    TEXT,
    TEXT_EXEMPT,
    TEXT_VALUES,
    TRAIN,
    VALUES,
    make_log,
    tiny_text_encoder,
)
from contracts.settings_contract import (
    Outcome,
    Runs,
    SettingsContract,
    check_change,
    check_effects,
    check_exempt,
    check_named_defaults,
    hash_files,
    metric_lines,
    parametrize,
    part_options,
    read_config_toml,
)

from recsys_bert.encoder.fusions import FUSIONS
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.necks import NECKS
from recsys_bert.objectives import OBJECTIVES
from recsys_bert.objectives.contrast import CONTRASTS
from recsys_bert.stages.pretrain import pretrain
from recsys_bert.stages.pretrain_config import PretrainConfig
from recsys_bert.training.run_folder import only_checking

pytestmark = pytest.mark.slow
SMALL = {**ENCODER, **TRAIN, "objective": "masked"}
NO_LAYERS = {name: value for name, value in SMALL.items() if name != "encoder.n_heads"} | {"encoder.n_layers": 0}
NOT_ENCODER = (
    "objective",
    "features",
    "text",
    "id_dropout",
    "target",
    "event",
    "crop",
    "validation",
    "init",
    "item",
    "teacher",
    "loss.",
    "train.",
)
TAUGHT = {**SMALL, "teacher": "masked"}
CONTRACT = SettingsContract(
    PretrainConfig,
    bases={
        **{name: {**SMALL, "objective": name} for name in OBJECTIVES},
        "sampled": {**SMALL, **SAMPLED},
        "gbce": {**SMALL, **SAMPLED, "loss.name": "gbce"},
        **{name: {**SMALL, "loss.name": name} for name in ("sce", "rece")},
        "text": {**SMALL, **SAMPLED, **TEXT},
        "init": {**TRAIN, "objective": "next_item", "init": "masked"},
        "default_encoder": {**TRAIN, "train.epochs": 1},
        "teacher": TAUGHT,
        "only_taught": {
            **TAUGHT,
            "loss.name": "sampled",
            "loss.negatives.uniform": 8,
            "distillation.soft_weight": 1.0,
        },
        "no_layers": {**NO_LAYERS, "encoder.neck": "bilstm", "encoder.residual": "none"},
        "bert": {**SMALL, "encoder.layer": "bert"},
        "hstu": {**SMALL, "encoder.layer": "hstu"},
    },
    only={
        # two attentions see every setting of the encoder, and three objectives those of the loop: others need not
        **{name: NOT_ENCODER for name in OBJECTIVES if name not in ("masked", "next_item")},
        "last_item": tuple(name for name in NOT_ENCODER if name != "train."),
        "init": (*(name for name in NOT_ENCODER if name != "train."), "encoder"),
        "default_encoder": ("init",),
        "sampled": ("loss.", "train.optimiser.sparse_adam"),
        "text": ("text_training.",),
        "gbce": ("loss.",),
        **dict.fromkeys(("sce", "rece"), ("loss.buckets",)),
        "teacher": ("distillation.", "loss.", "train.auxiliary"),
        "only_taught": ("distillation.", "loss.", "train.auxiliary"),
        **dict.fromkeys(("no_layers", "bert", "hstu"), ("encoder.",)),
    },
    values={
        **VALUES,
        "objective_options": [{"mask_prob": 0.4}],
        "second_loss_options": [{"temperature": 0.5}],
        "features": [["kind"], ["tags"], ["event_type"], ["emb"]],
        **TEXT_VALUES,
        "validation_users": [5],
        "loss.buckets.number": [3],
        "loss.buckets.queries": [5],
        "loss.buckets.items": [7],
        "init": ["masked"],
        "teacher": ["masked"],
        "encoder_dropout": [0.4],
        "distillation.layers": [[0, -1]],
    },
    contexts={
        **CONTEXTS,
        "encoder_dropout": {"init": "masked"},
        "second_loss_options": {"second_loss": "cl4srec"},
    },
    exempt=EXEMPT | TEXT_EXEMPT,
)
REFUSED = {"encoder.vocab_size", "encoder.attention", "encoder.features", "encoder.exact_match"}
REFUSED |= {"train_item_vectors"}  # there are no item vectors; tests/stages/test_text_items.py has some
CHANGES = CONTRACT.changes()
OPTION_VALUES = {
    "generator_size": [0.5],
    "ffn_dim": [12],
    "hidden": [3],
    "channels": [6],
    "activation": ["relu"],
    "transformer.n_heads": [2],
    "how": ["max"],
    "last_n": [1],
    "crop": [0.3],
}
OPTIONS = [
    *part_options("masked", "objective", "objective", OBJECTIVES, OPTION_VALUES),
    *part_options("masked", "second_loss", "second_loss", CONTRASTS, OPTION_VALUES),
    *part_options("masked", "encoder.layer", "layer", LAYERS, OPTION_VALUES),
    *part_options("masked", "encoder.fusion", "fusion", FUSIONS, OPTION_VALUES, encoder__n_layers=2),
    *part_options("masked", "encoder.neck", "neck", NECKS, OPTION_VALUES),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_log(tmp_path_factory.mktemp("log") / "data")


@pytest.fixture(scope="module", autouse=True)
def masked(dataset, tmp_path_factory):
    """Run ``masked`` in the working directory, for init and teacher."""
    folder = tmp_path_factory.mktemp("runs")
    here = os.getcwd()
    os.chdir(folder)
    encoder, train = ({n.split(".")[1]: v for n, v in group.items()} for group in (ENCODER, TRAIN))
    pretrain(dataset, out="masked", objective="masked", encoder={**encoder, "dropout": 0.2}, train=train)
    yield
    os.chdir(here)


@pytest.fixture(scope="module")
def train_encoder(dataset, tmp_path_factory):
    text_encoder = tiny_text_encoder()

    def train(settings):
        extra = {"text_encoder": text_encoder} if settings.get("text") == "trained" else {}
        return pretrain(dataset, **settings, **extra)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield train


@pytest.fixture(scope="module")
def runs(train_encoder):
    def train(settings):
        model = train_encoder(settings)
        summary = {name: value for name, value in model.summary.items() if name != "seconds"}
        weights = hash_files(model.run / "encoder" / "model.safetensors")
        return Outcome(weights, (summary, metric_lines(model.run)), read_config_toml(model.run, PretrainConfig))

    return Runs(CONTRACT, train)


@parametrize(CHANGES + OPTIONS)
def test_a_changed_setting_changes_the_run_or_is_refused(runs, change):
    check_change(runs, change)


@pytest.mark.parametrize("base", CONTRACT.bases)
def test_the_same_settings_give_the_same_run(runs, base):
    assert Runs(CONTRACT, runs.train).of(CONTRACT.bases[base]) == runs.of(CONTRACT.bases[base])


@pytest.mark.parametrize("base", CONTRACT.bases)
def test_a_default_named_by_hand_is_trained_with_or_refused(runs, train_encoder, base):
    def accepts(settings):
        with only_checking():
            train_encoder(settings)

    check_named_defaults(runs, base, accepts)


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED)


def test_exempt_settings_exist():
    check_exempt(CONTRACT)
