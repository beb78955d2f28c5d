"""Every setting of pretrain, changed once: another model, another course of the training, or a refusal."""

import json

import pytest
from safetensors.torch import load_file

from pipelines.support.short_help import all_settings
from recsys_bert.errors import InputError
from recsys_bert.stages.pretrain import PretrainConfig, pretrain

CHANGES = {  # setting → another value
    "objective": "next_item",
    "objective_options": {"mask_prob": 0.4},
    "features": ["kind"],
    "crop": "random",
    "validation_users": 10,
    "init": "elsewhere",
    "encoder_dropout": 0.3,
    "item_init": "ppmi",
    "teacher": "elsewhere",
    "encoder.vocab_size": 9,
    "encoder.dim": 12,
    "encoder.n_layers": 1,
    "encoder.n_heads": 1,
    "encoder.max_len": 6,
    "encoder.dropout": 0.2,
    "encoder.layer": "realformer",
    "encoder.layer_options": {"ffn_dim": 9},
    "encoder.fusion": "scalar_mix",
    "encoder.fusion_options": {"per_token": True},
    "encoder.neck": "bigru",
    "encoder.neck_options": {"dim": 3},
    "encoder.residual": "concat",
    "encoder.causal": True,
    "encoder.position": "start",
    "encoder.position_init": "sinusoidal",
    "encoder.n_segments": 2,
    "encoder.ngrams": 2,
    "encoder.ngram_rows": 50,
    "encoder.exact_match": 2,
    "encoder.embedding_dim": 5,
    "encoder.embedding_norm": True,
    "encoder.features": [],
    "encoder.times": True,
    "encoder.time_gaps": True,
    "encoder.layer_drop": 0.5,
    "encoder.share_layers": True,
    "encoder.init_std": 0.1,
    "encoder.residual_init_scale": 1.0,
    "encoder.norm_eps": 1e-2,
    "loss.name": "gbce",
    "loss.similarity": "dot",
    "loss.temperature": 0.5,
    "loss.calibration": 0.5,
    "loss.negatives.in_batch": 3,
    "loss.negatives.uniform": 7,
    "loss.negatives.popularity_power": 0.5,
    "loss.negatives.log_q": False,
    "loss.negatives.mask_history_hits": True,
    "loss.negatives.hard_negatives": 2,
    "loss.negatives.skip_top": 1,
    "loss.negatives.refresh_steps": 3,
    "distillation.soft_weight": 0.2,
    "distillation.temperature": 1.0,
    "distillation.hidden_weight": 0.5,
    "distillation.layers": [0, -1, 1],
    "train.epochs": 2,
    "train.batch_size": 10,
    "train.accumulate": 2,
    "train.lr": 0.02,
    "train.precision": "bf16",
    "train.monitor": "mrr",
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
    "encoder.gradient_checkpointing": "memory against time; the same numbers",
    "loss.chunk": "memory against time; the same numbers",
}
BASES = {
    "plain": {},
    "sampled": {"loss": {"name": "sampled", "similarity": "cosine", "negatives": {"uniform": 5}}},
    "init": {"init": None},
    "student": {"teacher": None},
}


def base_of(name):
    if name.startswith("loss."):
        return "sampled"
    return "student" if name.startswith("distillation.") else "plain"


CASES = [(base_of(name), name) for name in CHANGES]
CASES += [("init", name) for name in CHANGES if name.startswith(("encoder", "item_init", "features"))]


@pytest.fixture(scope="module")
def run(side_log, tmp_path_factory):
    """Train with one setting changed; returns weights and metrics.jsonl, or the refusal."""
    encoder = {"dim": 8, "n_layers": 2, "n_heads": 2, "max_len": 8}
    train = {"epochs": 6, "batch_size": 20, "lr": 0.05, "device": "cpu", "precision": "fp32", "log_steps": 1}
    source = tmp_path_factory.mktemp("source") / "run"
    pretrain(side_log, out=source, encoder=encoder, train=train | {"epochs": 1})

    def run(base, name=None):
        settings = {"encoder": dict(encoder), "train": dict(train), **BASES[base]}
        if base == "init":
            settings = {"init": source, "train": dict(train)}
        if base == "student":
            settings["teacher"] = source
        if name:
            *tables, last = name.split(".")
            group = settings
            for table in tables:
                group[table] = dict(group.get(table, {}))
                group = group[table]
            group[last] = CHANGES[name]
        out = tmp_path_factory.mktemp("run") / "run"
        try:
            pretrain(side_log, out=out, **settings)
        except InputError as error:
            return error
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        weights = load_file(out / "encoder" / "model.safetensors")
        return (
            {name: value.tolist() for name, value in weights.items()},
            [{name: value for name, value in line.items() if name != "seconds"} for line in lines],
        )

    return run


@pytest.fixture(scope="module")
def expected(run):
    return {base: run(base) for base in BASES}


def test_every_setting_is_changed_here():
    assert {setting.name for setting in all_settings(PretrainConfig)} == {*CHANGES, *NO_EFFECT}


@pytest.mark.parametrize("base", BASES)
def test_the_same_settings_give_the_same_model(base, run, expected):
    assert run(base) == expected[base]


@pytest.mark.parametrize(("base", "name"), CASES)
def test_a_changed_setting_changes_the_run_or_is_refused(base, name, run, expected):
    outcome = run(base, name)
    if isinstance(outcome, InputError):
        words = [*name.removesuffix("_options").split("."), str(CHANGES[name])]
        assert any(word in str(outcome) for word in words)
    else:
        assert outcome != expected[base]
