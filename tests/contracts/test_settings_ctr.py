"""Every setting of train_ctr, changed once: another model, another course of the training, or a refusal."""

import json

import numpy as np
import polars as pl
import pytest

from pipelines import pretrain
from pipelines.support.short_help import all_settings
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.stages.prepare import prepare
from recsys_bert.stages.train_ctr import train_ctr
from recsys_bert.stages.train_ctr_config import TrainCTRConfig
from recsys_bert.training.config import TrainConfig

CHANGES = {  # setting → another value
    "train_fraction": 0.5,
    "pretrain.objective": "masked_feature",
    "pretrain.options": {"mask_prob": 0.5},
    "pretrain.epochs": 2,
    "pretrain.lr": 0.01,
    "text": "tfidf",
    "text_dim": 3,
    "baselines": ["item_rate"],
    "columns.label": "other_label",
    "columns.labels": ["label", "other_label"],
    "columns.user": "other_user",
    "columns.item": "other_item",
    "columns.history": "past",
    "columns.time": "other_time",
    "columns.time_unit": "ms",
    "files.format": "csv",
    "files.libfm_fields": "fields.tsv",
    "files.separator": ";",
    "files.columns": ["a", "b"],
    "files.encoding": "latin-1",
    "files.quote": "none",
    "files.missing": ["tv"],
    "files.bad_rows": "drop",
    "columns.time_format": "%Y",
    "features.ids": ["item"],
    "features.categorical": [],
    "features.numeric": [],
    "features.multi": [],
    "features.separator": ",",
    "features.separators": {"tags": ","},
    "features.multi_max": 1,
    "features.numeric_as": "standardise",
    "features.n_buckets": 3,
    "features.min_count": 13,
    "features.item_side": False,
    "features.user_side": False,
    "model.head": "fm",
    "model.head_options": {"n_cross": 2, "hidden": [4]},
    "model.multi_task": "mmoe",
    "model.multi_task_options": {"tower": [4]},
    "model.task_weights": {"bought": 3.0},
    "model.dim": 4,
    "model.init_std": 0.2,
    "model.item_init": "ppmi",
    "model.wide": "ppmi",
    "model.embedding_l2": 0.01,
    "model.history_len": 2,
    "model.encoder": "elsewhere",
    "model.encoder_mode": "fine_tuned",
    "model.encoder_lr": 0.01,
    "split.validation_from": 0.7,
    "split.test_from": 0.95,
    "train.epochs": 2,
    "train.batch_size": 50,
    "train.accumulate": 2,
    "train.lr": 0.02,
    "train.precision": "bf16",
    "train.monitor": "log_loss",
    "train.patience": 1,
    "train.validate_every": 2,
    "train.log_steps": 2,
    "train.seed": 1,
    "train.optimiser.weight_decay": 0.1,
    "train.optimiser.layer_decay": 0.5,
    "train.optimiser.clip_norm": 0.01,
    "train.optimiser.sparse_adam": True,
    "train.schedule.name": "linear",
    "train.schedule.warmup_steps": 5,
    "train.schedule.floor": 0.1,
    "train.schedule.cycles": 3,
    "train.schedule.power": 1.0,
    "train.averaging.method": "swa",
    "train.averaging.first_epoch": 2,
    "train.averaging.decay": 0.9,
    "train.averaging.every_steps": 1,
    "train.adversarial.method": "fgm",
    "train.adversarial.table": "other",
    "train.adversarial.epsilon": 2.0,
    "train.adversarial.step_size": 0.1,
    "train.adversarial.steps": 2,
    "train.auxiliary.weight": 0.5,
}
NO_EFFECT = {
    "train.device": "the machine's, not the model's",
    "train.checkpoint_steps": "what an interrupted run loses",
}
BASES = ("impressions", "history", "encoder", "tasks")
CASES = [
    (base, name)
    for name in CHANGES
    for base in BASES[:3]
    if name != "train.monitor"  # two metrics may choose the same epoch; see the test of its own
    if base != ("history" if name.startswith("train.") else "encoder") or name.startswith("model.")
]
CASES += [("tasks", name) for name in CHANGES if "task" in name or "label" in name or name.startswith("model.head")]
EFFECTIVE = ("columns.labels", "model.multi_task", "model.multi_task_options", "model.task_weights")


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    n = 300
    user, item = random.integers(0, 12, n), random.integers(0, 15, n)
    columns = {"user": user, "item": item, "time": 1_000_000 + np.sort(random.integers(0, 600, n))}
    others = {f"other_{name}": random.permutation(values) for name, values in columns.items()}
    device = random.choice(["phone", "tv"], n)
    label = (device == "phone") ^ (random.random(n) < 0.2)
    return pl.DataFrame(
        {
            **columns,
            **others,
            "device": device,
            "price": np.where(random.random(n) < 0.1, np.nan, random.random(n)),
            "tags": random.choice(["a b", "b", "", "c a,b"], n),
            "past": [random.integers(0, 15, 4).tolist() for _ in range(n)],
            "label": label,
            "other_label": ~label,
            "bought": label & (random.random(n) < 0.5),
        }
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    random = np.random.default_rng(1)
    columns = {"user_id": np.repeat(np.arange(12), 20), "item_id": random.integers(0, 15, 240)}
    events = pl.DataFrame({**columns, "timestamp": 1_000_000 + random.integers(0, 600, 240)})
    return prepare(
        events,
        items=pl.DataFrame(
            {"item_id": range(15), "genre": ["x", "y", "z"] * 5, "title": [f"red{n % 4} new{n % 3}" for n in range(15)]}
        ),
        users=pl.DataFrame({"user_id": range(12), "age": ["old", "young"] * 6, "income": range(12)}),
        item_features={"categorical": ["genre"], "text": ["title"]},
        user_features={"categorical": ["age"], "numeric": ["income"]},
        split={"kind": "time"},
        out=tmp_path_factory.mktemp("log") / "data",
    )


@pytest.fixture(scope="module")
def encoder(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("encoder") / "run"
    settings = EncoderConfig(dim=8, n_layers=1, n_heads=2, max_len=8)
    train = TrainConfig(epochs=1, device="cpu", precision="fp32")
    pretrain.run(pretrain.Config(data=dataset.folder, out=out, encoder=settings, train=train))
    return out


@pytest.fixture(scope="module")
def run(frame, dataset, encoder, tmp_path_factory):
    """Train with one setting changed; returns probabilities, metrics and metrics.jsonl, or the refusal."""

    def run(base, name=None):
        settings = {
            "columns": {"user": "user", "item": "item", "time": "time"},
            "features": {"categorical": ["device"], "numeric": ["price"], "multi": ["tags"]},
            "model": {"head_options": {"hidden": [4]}, "dim": 3, "init_std": 0.1},
            "train": {"epochs": 4, "batch_size": 32, "lr": 0.05, "device": "cpu", "precision": "fp32"},
        }
        if base in ("history", "encoder"):
            settings["model"]["history_len"] = 6
        if base == "tasks":
            settings["columns"] = {"user": "user", "time": "time", "labels": ["label", "bought"]}
        if base == "encoder":
            settings["model"] |= {"encoder": str(encoder), "encoder_mode": "fine_tuned"}
        if name:
            *tables, last = name.split(".")
            group = settings
            for table in tables:
                group = group.setdefault(table, {})
            group[last] = "frozen" if group.get(last) == CHANGES[name] else CHANGES[name]
        out = tmp_path_factory.mktemp("run") / "run"
        settings["train"].setdefault("monitor", "auc")
        try:
            model = train_ctr(frame, dataset=dataset if base in ("history", "encoder") else None, out=out, **settings)
        except InputError as error:
            return error
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        for part in (model.metrics, *lines):
            part.pop("seconds", None)
        return model.probabilities(frame).tolist(), model.metrics, lines

    return run


@pytest.fixture(scope="module")
def expected(run):
    return {base: run(base) for base in BASES}


def test_every_setting_is_changed_here():
    assert {setting.name for setting in all_settings(TrainCTRConfig)} == {*CHANGES, *NO_EFFECT}


@pytest.mark.parametrize("base", BASES)
def test_the_same_settings_give_the_same_model(base, run, expected):
    assert run(base) == expected[base]


@pytest.mark.parametrize("name", ["columns.history", "features.separators"])
@pytest.mark.parametrize("base", ["impressions", "history"])
def test_settings_of_lists_change_the_run(base, name, run, expected):
    outcome = run(base, name)
    assert not isinstance(outcome, InputError), outcome
    assert outcome != expected[base]


@pytest.mark.parametrize("name", EFFECTIVE)
def test_settings_of_several_labels_change_the_run(name, run, expected):
    outcome = run("tasks", name)
    assert not isinstance(outcome, InputError), outcome
    assert outcome != expected["tasks"]


@pytest.mark.slow
@pytest.mark.parametrize(("base", "name"), CASES)
def test_a_changed_setting_changes_the_run_or_is_refused(base, name, run, expected):
    group, last = name.split(".")[0], name.split(".")[-1]
    outcome = run(base, name)
    if isinstance(outcome, InputError):
        assert any(word in str(outcome) for word in (group, last, "unix seconds"))
    else:
        assert outcome != expected[base]


@pytest.mark.parametrize("monitor", ["auc", "log_loss"])
def test_the_monitor_chooses_the_epoch(monitor, frame, tmp_path):
    small = {"model": {"dim": 4}, "columns": {"user": "user", "time": "time"}, "out": tmp_path / "run"}
    model = train_ctr(frame, train={"epochs": 4, "batch_size": 50, "lr": 0.02, "monitor": monitor}, **small)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    validated = {line["epoch"]: line[monitor] for line in lines if monitor in line}
    best = max(validated, key=validated.get) if monitor == "auc" else min(validated, key=validated.get)
    assert model.metrics["best_epoch"] == best
