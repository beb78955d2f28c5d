"""Every setting of train_retrieval, changed once: other towers, another index, or a refusal."""

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
    nested,
    parametrize,
    read_config_toml,
)

from recsys_bert.stages.pretrain import pretrain
from recsys_bert.stages.train_retrieval import train_retrieval
from recsys_bert.stages.train_retrieval_config import TrainRetrievalConfig
from recsys_bert.training.run_folder import only_checking

pytestmark = pytest.mark.slow
SMALL = {**ENCODER, **TRAIN, **SAMPLED}
FEATURES = {"towers.item_features": ["kind"], "towers.user_features": ["age"], "towers.hidden": 6}
CONTRACT = SettingsContract(
    TrainRetrievalConfig,
    bases={  # "init" is an argument
        "sampled": SMALL,
        "full": {**ENCODER, **TRAIN, "loss.name": "full"},
        "gbce": {**SMALL, "loss.name": "gbce"},
        **{name: {**ENCODER, **TRAIN, "loss.name": name, "loss.similarity": "dot"} for name in ("sce", "rece")},
        "dot": {**SMALL, "loss.similarity": "dot"},
        "features": {**SMALL, **FEATURES},
        "text": {**SMALL, **TEXT, "towers.item_features": ["text"]},
        "init": {**TRAIN, **SAMPLED, "init": "masked"},
        "frozen": {**TRAIN, **SAMPLED, **FEATURES, "init": "masked", "encoder_lr": 0.0},
    },
    only={
        "full": ("loss.", "train.optimiser", "train.auxiliary"),
        **dict.fromkeys(("gbce", "dot"), ("loss.",)),
        **dict.fromkeys(("sce", "rece"), ("loss.buckets",)),
        "features": ("towers.",),
        "text": ("text_training.",),
        "init": ("encoder", "item_init", "features", "text", "id_dropout", "target", "event", "towers.", "train."),
        "frozen": ("encoder_", "towers.", "train."),
    },
    values={
        **VALUES,
        "encoder_lr": [0.001, 0.0],
        "encoder_dropout": [0.4],
        "encoder_residual_scale": [0.3],
        "features": [["kind"], ["tags"], ["event_type"], ["emb"]],
        **TEXT_VALUES,
        "validation_users": [5],
        "towers.item_features": [["tags"], ["kind", "tags"], ["emb"]],
        "towers.user_features": [["age"], [], ["income"]],
        "loss.negatives.in_batch": [5, 0],
        "loss.negatives.uniform": [9, 0],
        "loss.buckets.number": [3],
        "loss.buckets.queries": [5],
        "loss.buckets.items": [7],
        "index.factory": ["HNSW8", "IVF4,Flat", "SQ8"],
        "index.nprobe": [1],
        "index.ef_search": [5],
        "index.ef_construction": [2],
        "index.refine_factor": [2],
    },
    contexts={
        **CONTEXTS,
        "loss.temperature": {},
        "towers.id_dropout": {"towers.item_features": ["kind"]},
        "towers.adapter": {"towers.item_features": ["emb"]},
        "index.nprobe": {"index.factory": "IVF4,Flat"},
        "index.ef_search": {"index.factory": "HNSW8"},
        "index.ef_construction": {"index.factory": "HNSW8"},
        "index.refine_factor": {"index.factory": "SQ8,RFlat"},
    },
    exempt=EXEMPT | TEXT_EXEMPT,
)
REFUSED = {
    "encoder.vocab_size",
    "encoder.attention",
    "encoder.features",
    "encoder.exact_match",
    "index.seed",  # draws from more than 65,536 items; refused for Flat, which learns nothing
}
CHANGES = CONTRACT.changes()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_log(tmp_path_factory.mktemp("log") / "data")


@pytest.fixture(scope="module", autouse=True)
def masked(dataset, tmp_path_factory):
    """Run ``masked`` in the working directory, for init."""
    here = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("runs"))
    pretrain(dataset, out="masked", objective="masked", **nested({**ENCODER, **TRAIN, "encoder.dropout": 0.2}))
    yield
    os.chdir(here)


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield tiny_text_encoder()


@pytest.fixture(scope="module")
def train_towers(dataset, text_encoder):
    def train(settings):
        extra = {"text_encoder": text_encoder} if settings.get("text") == "trained" else {}
        return train_retrieval(dataset, **settings, **extra)

    return train


@pytest.fixture(scope="module")
def runs(train_towers):
    def train(settings):
        model = train_towers(settings)
        summary = {name: value for name, value in model.summary.items() if name != "seconds"}
        index = [file for file in (model.run / "index").iterdir() if file.suffix not in (".json", ".parquet")]
        weights = hash_files(model.run / "two_tower" / "model.safetensors", *index)
        return Outcome(weights, (summary, metric_lines(model.run)), read_config_toml(model.run, TrainRetrievalConfig))

    return Runs(CONTRACT, train)


@parametrize(CHANGES)
def test_a_changed_setting_changes_the_run_or_is_refused(runs, change):
    check_change(runs, change)


@pytest.mark.parametrize("base", CONTRACT.bases)
def test_the_same_settings_give_the_same_run(runs, base):
    assert Runs(CONTRACT, runs.train).of(CONTRACT.bases[base]) == runs.of(CONTRACT.bases[base])


@pytest.mark.parametrize("base", CONTRACT.bases)
def test_a_default_named_by_hand_is_trained_with_or_refused(runs, train_towers, base):
    def accepts(settings):
        with only_checking():
            train_towers(settings)

    check_named_defaults(runs, base, accepts)


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED)


def test_exempt_settings_exist():
    check_exempt(CONTRACT)
