from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from sklearn.metrics import roc_auc_score

from recsys_bert.checksums import write_checksums
from recsys_bert.ctr.build import build_module
from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.ctr.config import ColumnsConfig, CTRConfig, FeaturesConfig, FilesConfig
from recsys_bert.ctr.features import Features
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.errors import InputError

COLUMNS = ColumnsConfig(user="user_id", item="item_id", time="timestamp", label="rating >= 4")
FEATURES = FeaturesConfig(categorical=("device",), numeric=("price",), multi=("tags",))


def _model(frame, dataset, columns=COLUMNS, features=FEATURES, head="din"):
    """An untrained model whose embeddings are large enough to tell impressions apart."""
    torch.manual_seed(0)
    model = CTRModelConfig(head=head, dim=4, init_std=0.5)
    config = CTRConfig(columns=columns, features=features, model=model).resolved(dataset is not None)
    fitted = Features.fit(frame, features, config.id_columns)
    module = build_module(config, fitted, dataset)
    return CTRModel(module.eval(), fitted, config, dataset)


@pytest.fixture
def frame(impressions):
    return pl.read_parquet(impressions)


@pytest.fixture
def model(frame, dataset):
    return _model(frame, dataset)


def test_a_saved_model_predicts_the_same(model, frame, tmp_path):
    model.save(tmp_path)
    again = CTRModel.load(tmp_path)
    expected = model.probabilities(frame)
    assert again.probabilities(frame.drop("rating")).tolist() == expected.tolist()
    assert again.config == model.config
    assert len(set(expected.tolist())) > 300
    assert ((expected > 0) & (expected < 1)).all()


def test_frames_of_any_library_and_files_give_the_same(model, frame, impressions):
    expected = model.probabilities(frame).tolist()
    for source in (frame.to_pandas(), frame.to_arrow(), frame.to_dict(), impressions, str(impressions)):
        assert model.probabilities(source).tolist() == expected


def test_predictions_keep_ids_and_what_was_read(model, frame, impressions, capsys):
    for source in (frame, frame.to_pandas(), frame.to_arrow(), impressions):
        predictions = model.predict(source)
        assert predictions.columns == ["user_id", "item_id", "timestamp", "device", "price", "tags", "probability"]
        assert predictions["item_id"].to_list() == frame["item_id"].to_list()
        assert predictions["probability"].to_list() == model.probabilities(frame).tolist()
    new = frame.head(3).with_columns(device=pl.lit("toaster"), probability=pl.lit("mine"))
    capsys.readouterr()
    predictions = model.predict(new.drop("rating"))
    assert "3 impressions; device: unseen in training: 3" in capsys.readouterr().err
    assert model.predict(new, quiet=True).equals(predictions)
    assert not capsys.readouterr().err
    assert model.unknown_values(new)["device: unseen in training"] == 3
    assert "probability_read" not in predictions.columns  # a column that the model does not read is left out


def test_a_file_may_be_read_in_its_own_way(model, frame, tmp_path):
    written = frame.drop("rating").with_columns(tags=pl.col("tags").fill_null(""))
    written.write_csv(tmp_path / "new.csv", separator=";")
    settings = {"separator": ";"}
    expected = model.probabilities(frame).tolist()
    for files in (settings, FilesConfig(**settings)):
        assert model.probabilities(tmp_path / "new.csv", files=files).tolist() == expected
    assert model.predict(tmp_path / "new.csv", files=settings, quiet=True)["probability"].to_list() == expected
    assert model.unknown_values(tmp_path / "new.csv", files=settings) == model.unknown_values(frame)
    with pytest.raises(InputError, match="no setting is called 'seperator'"):
        model.predict(tmp_path / "new.csv", files={"seperator": ";"})
    with pytest.raises(InputError, match=r"files\.separator is ';', but the impressions are data frames"):
        model.predict(frame, files=settings)


def test_a_column_named_like_the_prediction_is_renamed(frame):
    named = frame.rename({"device": "probability"})
    model = _model(named, None, ColumnsConfig(label="rating >= 4"), FeaturesConfig(categorical=("probability",)), "fm")
    predictions = model.predict(named)
    assert predictions["probability_read"].to_list() == frame["device"].to_list()
    assert predictions["probability"].dtype == pl.Float64


def test_a_time_that_nothing_reads_is_not_needed(frame, dataset):
    columns = replace(COLUMNS, time=None)
    torch.manual_seed(0)
    config = CTRConfig(columns=COLUMNS, features=FEATURES, model=CTRModelConfig(head="fm", dim=4, history_len=0))
    fitted = Features.fit(frame, FEATURES, config.id_columns)
    module = build_module(config, fitted, dataset)
    model = CTRModel(module.eval(), fitted, config, dataset)
    assert len(model.predict(frame.drop("timestamp"))) == len(model.predict(frame)) == len(frame)
    with pytest.raises(InputError, match=r"needs columns\.time"):
        CTRConfig(columns=columns, features=FEATURES).check_dataset(True)
    replace(config, columns=columns).check_dataset(True)


def test_rows_are_scored_one_by_one(model, frame):
    expected = model.probabilities(frame)
    np.testing.assert_allclose(model.probabilities(frame, batch_size=7), expected, rtol=1e-5)
    np.testing.assert_allclose(model.probabilities(frame[5:6]), expected[5:6], rtol=1e-5)


def test_histories_are_those_before_the_impression(model, frame, dataset):
    known = frame.filter(pl.col("user_id") < 12)
    early = known.with_columns(timestamp=pl.lit(0))  # before every event
    unknown = known.with_columns(user_id=pl.lit(13))
    features = replace(FEATURES, ids=("item",), user_side=False)
    model = _model(frame, dataset, features=features)
    assert (
        model.probabilities(early).tolist()
        == model.probabilities(unknown).tolist()
        != model.probabilities(known).tolist()
    )


def test_metrics_are_those_of_the_probabilities(model, frame):
    metrics = model.evaluate(frame)
    labels = (frame["rating"] >= 4).to_numpy()
    assert metrics["auc"] == pytest.approx(roc_auc_score(labels, model.probabilities(frame)))
    assert metrics["gauc_users"] > 0


def _brute(model, users, items, **columns):
    """Each pair on its own, scored by ``probabilities``."""
    return {
        (user, item): model.probabilities({"user_id": [user], "item_id": [item], **columns})[0]
        for user in users
        for item in items
    }


def test_ranked_candidates_have_the_probabilities_of_single_impressions(model, click_log, capsys):
    users, items = [3, 13, 5], [101, 117, 118, 104]
    rest = {"price": [4.0], "tags": ["x"]}
    table = pl.DataFrame({"user_id": users, "device": ["phone"] * 3, "price": 4.0, "tags": "x"})
    end = int(click_log["timestamp"].max()) + 1
    ranked = model.rank(table, items)
    assert ranked.columns == ["user_id", "rank", "item_id", "probability"]
    assert "user_id: unseen in training" not in capsys.readouterr().err  # 13 has impressions, but no event
    expected = _brute(model, users, items, device=["phone"], timestamp=[end], **rest)
    for user, item, p in ranked.select("user_id", "item_id", "probability").iter_rows():
        assert p == pytest.approx(expected[user, item], rel=1e-5)
    for user in users:
        best = sorted(items, key=lambda item: -expected[user, item])
        assert ranked.filter(pl.col("user_id") == user)["item_id"].to_list() == best
    early = model.rank(table.with_columns(timestamp=pl.lit(0)), items)  # before every event
    expected = _brute(model, users, items, device=["phone"], timestamp=[0], **rest)
    assert early["probability"][0] == pytest.approx(expected[early.row(0)[0], early.row(0)[2]], rel=1e-5)
    assert early["probability"].to_list() != ranked["probability"].to_list()
    candidates = ranked.filter(pl.col("user_id") == 5).select("user_id", "item_id")
    best = ranked.filter((pl.col("user_id") == 5) & (pl.col("rank") < 3))
    assert_frame_equal(model.rank(table, candidates, k=2), best, rel_tol=1e-6)  # batches of other sizes round otherwise
    assert "users without candidates: 2" in capsys.readouterr().err
    with pytest.raises(InputError, match="no column 'device'"):
        model.rank(users, items)
    model.rank(table, candidates, quiet=True)
    assert not capsys.readouterr().err
    with pytest.raises(InputError, match="k is 0"):
        model.rank(table, items, k=0)
    with pytest.raises(InputError, match="no task is called 'buy'"):
        model.rank(table, items, by="buy")


def test_one_of_several_tasks_ranks(frame):
    columns = ColumnsConfig(item="item_id", labels=("rating >= 4", "rating >= 2"))
    torch.manual_seed(0)
    config = CTRConfig(columns=columns, model=CTRModelConfig(head="mlp", dim=4, init_std=0.5))
    fitted = Features.fit(frame, config.features, config.id_columns)
    module = build_module(config, fitted, None)
    model = CTRModel(module.eval(), fitted, config)
    items = list(range(100, 110))
    p = model.probabilities({"item_id": items})
    for number, task in enumerate(columns.labels):
        ranked = model.rank(None, items, by=task)
        assert ranked["item_id"].to_list() == [items[row] for row in (-p[:, number]).argsort()]
    assert ranked.columns == ["rank", "item_id", "rating >= 4_probability", "rating >= 2_probability"]
    with pytest.raises(InputError, match="name the label that ranks with by"):
        model.rank(None, items)


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp", "device", "price", "tags"])
def test_a_missing_column_is_named(model, frame, column):
    with pytest.raises(InputError, match=f"no column '{column}'"):
        model.probabilities(frame.drop(column))


def test_without_a_prepared_log_time_and_user_are_not_needed(frame, dataset, tmp_path):
    columns = ColumnsConfig(user="user_id", time="timestamp", label="rating >= 4")
    model = _model(frame, None, columns=columns, features=replace(FEATURES, ids=()), head="fm")
    assert len(model.probabilities(frame.select("device", "price", "tags"))) == len(frame)
    assert "gauc" in model.evaluate(frame)
    model.save(tmp_path)
    with pytest.raises(InputError, match="trained on impressions alone"):
        CTRModel.load(tmp_path, dataset)


def test_another_log_a_missing_one_and_another_format_are_refused(model, dataset, tmp_path):
    model.save(tmp_path)
    other = replace(dataset, manifest=replace(dataset.manifest, fingerprint="other"))
    with pytest.raises(InputError, match="trained on the vocabulary"):
        CTRModel.load(tmp_path, other)
    about = tmp_path / "ctr" / "ctr.json"
    text = about.read_text()
    about.write_text(text.replace(str(dataset.folder), "gone"))
    write_checksums(about.parent)
    with pytest.raises(InputError, match="gone, which is gone"):
        CTRModel.load(tmp_path)
    assert CTRModel.load(tmp_path, dataset).fields == model.fields
    about.write_text(text.replace('"version": 2', '"version": 1'))
    with pytest.raises(InputError, match="has format 1; this version reads 2"):
        CTRModel.load(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no trained CTR model"):
        CTRModel.load(tmp_path)


def test_it_describes_itself(model):
    assert repr(model) == "CTRModel: head din, 11 fields, last 50 events through item embeddings"
    model.metrics = {"test": {"auc": 0.7, "log_loss": 0.5}}
    assert repr(model).endswith("\n  test: AUC 0.7000, log loss 0.5000")
    assert "<td>AUC 0.7000, log loss 0.5000</td>" in model._repr_html_()
