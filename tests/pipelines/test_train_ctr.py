"""train-ctr and predict-ctr on a small simulated log whose best possible AUC is known."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file, save_file

from pipelines import predict_ctr, prepare, pretrain, train_ctr
from pipelines.benchmarks import multi_task
from pipelines.cli import main
from recsys_bert.checksums import write_checksums
from recsys_bert.clicks.prepare.config import LogConfig, SplitConfig
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import best_auc, simulate
from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.ctr.config import ColumnsConfig, FeaturesConfig, FilesConfig
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.multi_task import MULTI_TASK
from recsys_bert.ctr.split_config import TimeSplitConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.files import read_json
from recsys_bert.training.config import AdversarialConfig, AuxiliaryConfig, AveragingConfig, TrainConfig


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clicks prepared by time under ``data``, and ``impressions.parquet``."""
    folder = tmp_path_factory.mktemp("log")
    world = simulate(
        SimulateConfig(users=300, items=160, categories=3, leaves=3, styles=3, max_events=60, mean_events=20)
    )
    for name in ("clicks", "items", "users", "impressions"):
        getattr(world, name).write_parquet(folder / f"{name}.parquet")
    prepare.run(
        prepare.Config(
            events=str(folder / "clicks.parquet"),
            out=folder / "data",
            split=SplitConfig(kind="time"),
            items=folder / "items.parquet",
            item_features=SideFeaturesConfig(categorical=("category",)),
            users=folder / "users.parquet",
            user_features=SideFeaturesConfig(categorical=("age_group",)),
        )
    )
    return folder


@pytest.fixture(scope="module")
def encoder(log: Path) -> Path:
    """A run of pretrain, hardly trained; it reads times, so that every later stage has to feed them."""
    settings = EncoderConfig(dim=16, n_layers=1, max_len=20, layer="hstu", times=True, time_gaps=True)
    train = TrainConfig(epochs=1, device="cpu", precision="fp32")
    pretrain.run(
        pretrain.Config(data=log / "data", out=log / "encoder", objective="masked", encoder=settings, train=train)
    )
    return log / "encoder"


@pytest.fixture
def config(log: Path, tmp_path: Path) -> train_ctr.Config:
    return train_ctr.Config(
        out=tmp_path / "run",
        data=log / "data",
        impressions=log / "impressions.parquet",
        columns=ColumnsConfig(user="user_id", item="item_id", time="timestamp", label="click"),
        features=FeaturesConfig(categorical=("device",), numeric=("position",)),
        model=CTRModelConfig(head="dcn_v2", head_options={"hidden": [32]}, dim=8, history_len=19),
        train=TrainConfig(epochs=3, batch_size=256, lr=5e-3, monitor="auc", device="cpu", precision="fp32"),
    )


def _with(config: train_ctr.Config, **model: Any) -> train_ctr.Config:
    return replace(config, model=replace(config.model, **model))


@pytest.mark.slow
def test_averaged_and_attacked_models_are_as_good(config: train_ctr.Config, log: Path):
    """With batch norm, whose statistics belong to the average then."""
    averaging = AveragingConfig(method="swa", first_epoch=3)
    adversarial = AdversarialConfig(method="fgm", table="table", epsilon=0.1)
    config = _with(config, head_options={"hidden": [32], "batch_norm": True})
    train = replace(config.train, epochs=6, averaging=averaging, adversarial=adversarial)
    results = train_ctr.run(replace(config, train=train))
    assert results["test"]["auc"] > 0.62
    assert results["test"]["calibration_error"] < 0.1


def test_techniques_that_cannot_be_are_refused_and_leave_no_folder(config: train_ctr.Config):
    with pytest.raises(InputError, match=r"train\.auxiliary\.weight is for encoders"):
        replace(config, train=replace(config.train, auxiliary=AuxiliaryConfig(weight=0.8)))
    with pytest.raises(InputError, match=r"'embeddings\.token' is no embedding table here; this model has table"):
        train_ctr.run(replace(config, train=replace(config.train, adversarial=AdversarialConfig(method="fgm"))))
    assert not config.out.exists()


@pytest.mark.slow
def test_a_model_with_history_learns_what_can_be_known(config: train_ctr.Config, log: Path):
    results = train_ctr.run(replace(config, train=replace(config.train, epochs=8)))
    best = best_auc(pl.read_parquet(log / "impressions.parquet")["click_probability"].to_numpy())
    assert 0.62 < results["test"]["auc"] < best + 0.05
    assert results == read_json(config.out / "metrics.json", sealed=True)
    assert results["fields"][:5] == ["target item", "history", "match", "user_id", "item_id"]
    assert results["fields"][-2:] == ["item.category", "user.age_group"]
    lines = [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]
    assert max(line["auc"] for line in lines if "auc" in line) == results["validation"]["auc"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [None, "frozen", "fine_tuned"])
def test_scoring_repeats_the_test_metrics(config: train_ctr.Config, encoder: Path, tmp_path: Path, mode: str | None):
    pretrained = {} if mode is None else {"encoder": encoder, "encoder_mode": mode}
    config = _with(config, head="din", head_options={"hidden": [16]}, **pretrained)
    results = train_ctr.run(config)
    impressions = pl.read_parquet(config.impressions)
    borders = json.loads((config.data / "manifest.json").read_text())["split"]
    test = impressions.filter(pl.col("timestamp") >= borders["test_from"])
    test.drop("click").write_parquet(tmp_path / "new.parquet")
    predict_ctr.run(
        predict_ctr.Config(run=config.out, impressions=tmp_path / "new.parquet", out=tmp_path / "scores.parquet")
    )
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores.columns == ["user_id", "item_id", "timestamp", "device", "position", "probability"]
    assert scores["item_id"].equals(test["item_id"])
    labels, p = test["click"].to_numpy(), scores["probability"].to_numpy()
    log_loss = -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p)))
    assert results["impressions"]["test"] == len(test)
    assert results["test"]["log_loss"] == pytest.approx(log_loss, rel=1e-6)


def test_impressions_alone_need_no_prepared_log(config: train_ctr.Config):
    results = train_ctr.run(replace(config, data=None, model=CTRModelConfig(head="deepfm", dim=8)))
    assert results["fields"] == ["user_id", "item_id", "device", "position"]
    assert json.loads((config.out / "ctr" / "ctr.json").read_text())["dataset"] is None


def test_scoring_counts_unseen_values_and_keeps_a_column_called_probability(
    config: train_ctr.Config, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    impressions = pl.read_parquet(config.impressions).rename({"position": "probability"})
    impressions.write_parquet(tmp_path / "impressions.parquet")
    config = replace(
        config,
        data=None,
        impressions=tmp_path / "impressions.parquet",
        columns=ColumnsConfig(time="timestamp", label="click"),
        features=FeaturesConfig(ids=(), categorical=("device",), numeric=("probability",)),
        model=CTRModelConfig(dim=8),
        train=replace(config.train, epochs=1),
    )
    train_ctr.run(config)
    few = impressions.head(5).with_columns(device=pl.lit("toaster"))
    few.write_parquet(tmp_path / "new.parquet")
    capsys.readouterr()
    predict_ctr.run(
        predict_ctr.Config(run=config.out, impressions=tmp_path / "new.parquet", out=tmp_path / "scores.parquet")
    )
    assert "5 impressions scored in" in (err := capsys.readouterr().err)
    assert "device: unseen in training: 5" in err
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores["probability_read"].equals(few["probability"])
    assert scores["probability"].is_between(0, 1, closed="none").all()


def test_without_history_the_prepared_log_gives_side_features_and_no_time_is_read(
    config: train_ctr.Config, log: Path, tmp_path: Path
):
    results = train_ctr.run(_with(config, history_len=0, head="lr", head_options={}))
    assert results["fields"][-2:] == ["item.category", "user.age_group"]
    assert "target item" not in results["fields"]
    new = pl.read_parquet(config.impressions).drop("timestamp", "click").head(7)
    new.write_csv(tmp_path / "new.csv")
    out = tmp_path / "scores.parquet"
    predict_ctr.run(predict_ctr.Config(run=config.out, impressions=tmp_path / "new.csv", out=out))
    assert pl.read_parquet(out).columns == ["user_id", "item_id", "device", "position", "probability"]
    new.drop("device").write_csv(tmp_path / "new.csv")
    with pytest.raises(InputError, match=r"no column 'device'; it has .* The model reads these columns; name them as"):
        predict_ctr.run(predict_ctr.Config(run=config.out, impressions=tmp_path / "new.csv", out=out))


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted(MULTI_TASK))
def test_every_label_is_learned_and_no_better_than_can_be_known(config: train_ctr.Config, log: Path, part: str):
    columns = ColumnsConfig(user="user_id", item="item_id", time="timestamp", labels=("click", "like", "buy"))
    model = CTRModelConfig(head="mlp", head_options={"hidden": [32]}, dim=8, multi_task=part, history_len=19)
    results = train_ctr.run(replace(config, columns=columns, model=model, train=replace(config.train, epochs=6)))
    impressions = pl.read_parquet(log / "impressions.parquet")
    test = impressions.filter(
        pl.col("timestamp") >= json.loads((log / "data" / "manifest.json").read_text())["split"]["test_from"]
    )
    for task in columns.labels:
        best = best_auc(test[f"{task}_probability"].to_numpy())
        assert 0.6 < results["test"][f"{task}.auc"] < best + 0.03, task


def test_the_benchmark_of_several_labels_writes_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = "--users 120 --impressions 12 --seeds 1 --epochs 1 --head mlp --out"
    result = multi_task.main([*arguments.split(), str(tmp_path / "table")])
    assert list(result["runs"]) == ["single", *MULTI_TASK]
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[2] == "| model | click, AUC | like, AUC | buy, AUC | seconds |"
    assert lines[-1].startswith(f"| best possible | {result['best']['click']:.4f} |")


def test_several_labels_are_trained_and_scored_by_the_commands(
    config: train_ctr.Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    columns = ColumnsConfig(user="user_id", item="item_id", time="timestamp", labels=("click", "like", "buy"))
    train = replace(config.train, epochs=1, monitor="click.auc")
    model = CTRModelConfig(head="din", head_options={"hidden": [8]}, dim=4, multi_task="mmoe", history_len=5)
    results = train_ctr.run(replace(config, columns=columns, model=model, train=train))
    border = json.loads((config.data / "manifest.json").read_text())["split"]["test_from"]
    pl.read_parquet(config.impressions).filter(pl.col("timestamp") >= border).write_parquet(tmp_path / "test.parquet")
    again = predict_ctr.run(
        predict_ctr.Config(
            run=config.out, impressions=tmp_path / "test.parquet", out=tmp_path / "test_scores.parquet", evaluate=True
        )
    )
    assert again["metrics"] == pytest.approx(results["test"])
    assert f"buy: AUC {results['test']['buy.auc']:.4f}" in capsys.readouterr().err
    assert {"click.auc", "like.auc", "buy.auc", "auc", "buy.calibration_error"} <= results["test"].keys()
    predict_ctr.run(predict_ctr.Config(run=config.out, impressions=config.impressions, out=tmp_path / "scores.parquet"))
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores.columns[-3:] == ["click_probability", "like_probability", "buy_probability"]
    assert scores[:, -3:].to_numpy().std(0).min() > 0


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(config: train_ctr.Config, tmp_path: Path):
    whole = train_ctr.run(replace(config, out=tmp_path / "whole"))
    part = replace(config, train=replace(config.train, epochs=1))
    train_ctr.run(part)
    again = train_ctr.run(config)
    for results in (whole, again):
        del results["seconds"]
    assert again == whole


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["impressions", "encoder", "data"])
def test_a_run_whose_inputs_were_changed_is_left_as_it_was(
    config: train_ctr.Config, encoder: Path, tmp_path: Path, what: str
):
    shutil.copytree(config.data, tmp_path / "data")
    shutil.copytree(encoder, tmp_path / "encoder")
    shutil.copy(config.impressions, tmp_path / "impressions")
    files, impressions = FilesConfig(format="parquet"), tmp_path / "impressions"
    config = replace(config, data=tmp_path / "data", impressions=impressions, files=files)
    config = replace(config, train=replace(config.train, epochs=1))
    config = _with(config, encoder=tmp_path / "encoder")
    train_ctr.run(config)
    before = _contents(config.out)
    train_ctr.run(config)  # nothing was changed
    assert _contents(config.out).keys() == before.keys()
    if what == "impressions":
        pl.read_parquet(impressions).reverse().write_parquet(impressions)
    elif what == "encoder":
        weights = tmp_path / "encoder" / "encoder" / "model.safetensors"
        save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
        write_checksums(weights.parent)
    else:
        manifest = tmp_path / "data" / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"sha256": "', '"sha256": "0'))
        write_checksums(manifest.parent)
    before = _contents(config.out)
    with pytest.raises(InputError, match=rf"{what} is not what .* was begun with"):
        train_ctr.run(config)
    assert _contents(config.out) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"data": None, "model": CTRModelConfig(), "columns": ColumnsConfig(user="user_id", label="click")},
            "cutting impressions by time needs columns.time",
        ),
        ({"data": None, "model": CTRModelConfig(encoder=Path("run"))}, "model.encoder reads histories"),
        ({"columns": ColumnsConfig(user="user_id", label="click")}, "joining a prepared log needs"),
        ({"features": FeaturesConfig(categorical=("click",))}, "'click' gives the label"),
        (
            {
                "data": None,
                "model": CTRModelConfig(),
                "features": FeaturesConfig(),
                "columns": ColumnsConfig(time="t", label="click"),
            },
            "no column is a feature",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_once(config: train_ctr.Config, change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        replace(config, **change)


def test_the_column_of_a_label_rule_cannot_be_a_feature(config: train_ctr.Config):
    with pytest.raises(InputError, match="'rating' gives the label"):
        replace(
            config,
            columns=replace(config.columns, label="rating>=4"),
            features=FeaturesConfig(numeric=("rating",)),
        )


def test_bad_input_leaves_no_run_folder(config: train_ctr.Config, encoder: Path, tmp_path: Path):
    cases = {
        "no column 'mood'": replace(config, features=FeaturesConfig(categorical=("mood",))),
        "no CTR head is called": _with(config, head="dcnv3", head_options={}),
        "impressions of train are non-clicks": replace(config, columns=replace(config.columns, label="click >= 2")),
        "has no option 'width'": _with(config, head_options={"width": 3}),
        "reads 19 items at most": _with(config, encoder=encoder, history_len=20),
        "holds no pretrained encoder": _with(config, encoder=tmp_path),
        "some of which hold a single one": replace(config, train=replace(config.train, batch_size=1)),
        "is not a folder": replace(config, data=tmp_path / "nowhere"),
        "would know their future": replace(config, split=TimeSplitConfig(validation_from=0.3)),
    }
    for message, bad in cases.items():
        with pytest.raises(InputError, match=message):
            train_ctr.run(bad)
        assert not bad.out.exists()


def test_an_encoder_of_another_vocabulary_is_refused(
    config: train_ctr.Config, encoder: Path, log: Path, tmp_path: Path
):
    prepare.run(
        prepare.Config(
            events=str(log / "clicks.parquet"),
            log=LogConfig(event="event", events={"purchase": 1.0}),
            out=tmp_path / "other",
            split=SplitConfig(kind="time"),
        )
    )
    with pytest.raises(InputError, match="trained on the vocabulary"):
        train_ctr.run(_with(replace(config, data=tmp_path / "other"), encoder=encoder))


def test_a_log_that_was_not_cut_by_time_is_warned_of(
    config: train_ctr.Config, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    prepare.run(prepare.Config(events=str(log / "clicks.parquet"), out=tmp_path / "loo"))
    train_ctr.run(replace(config, data=tmp_path / "loo", train=replace(config.train, epochs=1)))
    assert "was not cut by time" in capsys.readouterr().err


def test_new_impressions_may_be_written_in_another_way(config: train_ctr.Config, tmp_path: Path):
    config = replace(config, data=None, model=CTRModelConfig(head="lr", dim=2), train=replace(config.train, epochs=1))
    train_ctr.run(config)
    new = pl.read_parquet(config.impressions).head(9)
    new.write_csv(tmp_path / "new.txt", separator=";")
    settings = {"run": config.out, "impressions": tmp_path / "new.txt", "out": tmp_path / "scores.parquet"}
    with pytest.raises(InputError) as error:
        predict_ctr.run(predict_ctr.Config(**settings))
    assert "--files.format csv --files.separator ';'" in str(error.value)
    assert not re.search(r"--(?!files\.(format|separator))", str(error.value))  # no flag that the command lacks
    predict_ctr.run(predict_ctr.Config(**settings, files=FilesConfig(format="csv", separator=";")))
    expected = CTRModel.load(config.out).predict(new)
    assert pl.read_parquet(tmp_path / "scores.parquet")["probability"].equals(expected["probability"])
    with pytest.raises(InputError, match="libfm_fields names the fields of libFM files"):
        predict_ctr.Config(**settings, files=FilesConfig(libfm_fields=tmp_path / "fields"))


def test_scoring_refuses_what_is_no_finished_run(config: train_ctr.Config, tmp_path: Path):
    with pytest.raises(InputError, match="holds no trained CTR model"):
        predict_ctr.run(predict_ctr.Config(run=tmp_path, impressions=tmp_path / "a", out=tmp_path / "b.parquet"))


def test_compare_trains_every_start_of_items_and_tests_aucs_in_pairs(log, tmp_path):
    recipe = tmp_path / "ctr.toml"
    recipe.write_text(
        f"""
impressions = "{log / "impressions.parquet"}"
data = "{log / "data"}"
baselines = ["popularity", "ppmi_linear"]
columns = {{ user = "user_id", item = "item_id", time = "timestamp", label = "click" }}
model = {{ head = "lr", dim = 4, history_len = 5 }}
train = {{ epochs = 1, batch_size = 256, device = "cpu", precision = "fp32" }}
"""
    )
    flags = ["--grid", "model.item_init=random,ppmi", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main(["compare", "train-ctr", str(recipe), *flags]) == 0
    results = read_json(tmp_path / "out" / "compare.json")
    aucs = []
    for one in results["configurations"]:
        saved = read_json(
            tmp_path / "out" / "runs" / one["name"].replace("model.", "") / "seed-0" / "metrics.json", sealed=True
        )
        aucs.append(one["metrics"]["auc"]["mean"])
        assert aucs[-1] == pytest.approx(saved["test"]["auc"])
        assert one["metrics"]["log_likelihood"]["mean"] == pytest.approx(-saved["test"]["log_loss"])
        for baseline in ("popularity", "ppmi_linear"):
            expected, metrics = saved["baselines"][baseline]["test"], one["metrics"]
            assert metrics[f"auc of {baseline}"]["mean"] == pytest.approx(expected["auc"])
            assert metrics[f"log_likelihood of {baseline}"]["mean"] == pytest.approx(-expected["log_loss"])
    assert "auc of ppmi_linear" in (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    (test,) = results["comparisons"]
    assert test["difference"] == pytest.approx(aucs[1] - aucs[0])
    assert aucs[0] != aucs[1]
