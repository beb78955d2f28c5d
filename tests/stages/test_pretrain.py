"""pretrain from Python: a run folder or none, settings as keywords, what follows from init and data."""

import gc

import numpy as np
import pytest

from pipelines import pretrain as command
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.files import read_json
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.settings import read_config
from recsys_bert.stages.pretrain import pretrain
from recsys_bert.stages.pretrain_config import PretrainConfig
from recsys_bert.training.config import TrainConfig

SETTINGS = {
    "encoder": {"dim": 8, "n_layers": 1, "max_len": 10},
    "train": {"epochs": 2, "batch_size": 16, "precision": "fp32", "device": "cpu"},
}


def test_a_call_and_the_command_give_the_same_run(side_log, tmp_path):
    model = pretrain(side_log, out=tmp_path / "call", objective="next_item", **SETTINGS)
    config = command.Config(
        data=side_log.folder,
        out=tmp_path / "command",
        objective="next_item",
        encoder=EncoderConfig(**SETTINGS["encoder"]),
        train=TrainConfig(**SETTINGS["train"]),
    )
    summary = command.run(config)
    assert {**summary, "seconds": 0} == {**model.summary, "seconds": 0}
    names = {str(path.relative_to(tmp_path / "call")) for path in (tmp_path / "call").rglob("*")}
    assert names == {str(path.relative_to(config.out)) for path in config.out.rglob("*")}
    for name in ("model.safetensors", "config.json", "objective.json", "vocabulary.parquet"):
        assert (tmp_path / "call" / "encoder" / name).read_bytes() == (config.out / "encoder" / name).read_bytes()


def test_without_a_run_folder_the_model_still_recommends_and_can_be_saved(side_log, tmp_path):
    model = pretrain(side_log, objective="masked", objective_options={"mask_prob": 0.4}, **SETTINGS)
    folder = model.run
    lists = model.recommend(k=3)
    model.save(tmp_path / "kept")
    loaded = Recommender.load(tmp_path / "kept", side_log)
    assert loaded.recommend(k=3)["item_id"].to_list() == lists["item_id"].to_list()
    assert loaded.ranker.pretrained.objective.mask_prob == 0.4
    del model
    gc.collect()
    assert not folder.exists()


def test_config_toml_is_what_was_trained(side_log, tmp_path):
    first = pretrain(side_log, out=tmp_path / "first", objective="masked", features=["kind"], **SETTINGS)
    train = SETTINGS["train"]
    second = pretrain(side_log, out=tmp_path / "second", init=first, objective="next_item", train=train)
    for run, causal in ((first, False), (second, True)):
        config = read_config(PretrainConfig, run.run / "config.toml")
        trained = run.ranker.pretrained.encoder.config
        assert config.encoder == trained
        assert (trained.dim, trained.causal, trained.vocab_size) == (8, causal, side_log.vocabulary.size)
        assert config.features == ("kind",)
    again = pretrain(side_log, out=tmp_path / "second", init=first, objective="next_item", train=train)
    np.testing.assert_array_equal(again.ranker.item_vectors(), second.ranker.item_vectors())
    resolved = read_config(PretrainConfig, tmp_path / "second" / "config.toml")
    pretrain(side_log, out=tmp_path / "second", config=resolved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": {"dim": 64}}, r"encoder\.dim comes from init"),
        ({"encoder": {"dropout": 0.1}}, r"encoder\.dropout comes from init .* changed by encoder_dropout"),
        ({"features": []}, "features comes from init"),
        ({"item_init": "random"}, "item_init is .random., but init knows all items"),
    ],
)
def test_a_setting_that_init_overrides_is_refused_whatever_its_value(side_log, tmp_path, settings, message):
    pretrain(side_log, out=tmp_path / "run", **SETTINGS)
    with pytest.raises(InputError, match=message):
        pretrain(side_log, init=tmp_path / "run", **settings)


def test_dropout_of_init_can_be_changed(side_log):
    first = pretrain(side_log, **SETTINGS)
    second = pretrain(side_log, init=first, encoder_dropout=0.4, train=SETTINGS["train"])
    assert second.ranker.pretrained.encoder.config.dropout == 0.4
    with pytest.raises(InputError, match=r"for the encoder of init; set encoder\.dropout"):
        pretrain(side_log, encoder_dropout=0.4)


def test_an_encoder_of_an_older_format_is_refused(side_log, tmp_path):
    pretrain(side_log, out=tmp_path / "run", **SETTINGS)
    path = tmp_path / "run" / "encoder" / "objective.json"
    settings = read_json(path)
    del settings["format"]
    path.write_text(str(settings).replace("'", '"').replace("False", "false").replace("True", "true"))
    with pytest.raises(InputError, match=r"has format 1; this version reads .*Pretrain it again"):
        Recommender.load(tmp_path / "run", side_log)


def test_settings_and_config_together_are_refused(side_log):
    with pytest.raises(InputError, match="settings came twice"):
        pretrain(side_log, config=PretrainConfig(), objective="masked")
