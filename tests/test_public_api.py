"""The public face: lazy names, frames in, frames out."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import polars as pl
import pyarrow as pa
import pytest

import nlp_tasks
import recsys_bert as rb
from nlp_tasks.classification.classifier import Classifier
from pipelines.examples.text_classification import LABELS, TEXTS
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate

TINY = {"encoder": {"dim": 8, "n_heads": 1, "n_layers": 1, "max_len": 12}, "train": {"epochs": 1}}


def to_pandas(frame: pl.DataFrame) -> Any:
    return pytest.importorskip("pandas").DataFrame(frame.to_dict(as_series=False))


LIBRARIES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "pandas": to_pandas,
    "polars": lambda frame: frame,
    "pyarrow": lambda frame: pa.table(frame),
    "dict": lambda frame: frame.to_dict(as_series=False),
}


@pytest.fixture(scope="module")
def clicks() -> pl.DataFrame:
    log = simulate(SimulateConfig(users=60, items=200, max_events=100))
    return log.clicks.select("user_id", "item_id", "timestamp")


def test_public_names_are_there_and_imported_late():
    program = (
        "import sys, recsys_bert as rb, nlp_tasks\n"
        "heavy = {'torch', 'polars', 'faiss', 'transformers', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert not [name for module in (rb, nlp_tasks) for name in module.__all__ if not hasattr(module, name)]
    with pytest.raises(AttributeError, match="no attribute 'pretain'"):
        _ = rb.pretain
    assert set(rb.__all__) <= set(dir(rb))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_notebook_user_goes_from_a_frame_to_lists_and_a_report(clicks, library, tmp_path):
    dataset = rb.prepare(LIBRARIES[library](clicks))
    model = rb.train_retrieval(dataset, **TINY)
    lists = model.recommend(users=[1, 2, 3], k=3)
    assert lists.columns[:4] == ["user_id", "rank", "item_id", "score"]
    assert lists["user_id"].to_list() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(model.recommend(histories=[[12, 7, 31]], k=3)) == 3
    similar = model.similar([12], k=3)
    assert 12 not in similar["item_id"].to_list()
    evaluation = rb.evaluate(model, dataset, baselines=("popular", "markov"), indexes=())
    assert evaluation.table["kind"].to_list() == ["run", "baseline", "baseline"]
    assert "<table" in evaluation._repr_html_()
    model.save(tmp_path / "model")
    again = rb.load(tmp_path / "model", dataset)
    assert again.recommend(users=[1, 2, 3], k=3).equals(lists)


def test_a_frame_of_any_library_prepares_to_the_same(clicks):
    assert len({rb.prepare(convert(clicks)).fingerprint for convert in LIBRARIES.values()}) == 1


def test_a_classifier_learns_from_two_lists(tmp_path):
    encoder = {"dim": 16, "n_heads": 1, "n_layers": 1}
    classifier = Classifier.train(TEXTS, LABELS, encoder=encoder, train={"epochs": 8, "lr": 5e-3})
    texts = ["the last goal ended the match", "weak shares"]
    assert classifier.predict(texts) == ["sport", "business"]
    classifier.save(tmp_path / "classifier")
    again = Classifier.load(tmp_path / "classifier")
    assert (again.probabilities(texts) == classifier.probabilities(texts)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": "uid"}, "has no column 'user_id'; it has 'uid', 'item_id', 'timestamp'"),
        ({"timestamp": "ts"}, "has no column 'timestamp'"),
    ],
)
def test_a_frame_with_other_columns_is_refused_by_name(clicks, change, message):
    with pytest.raises(rb.InputError, match=message):
        rb.prepare(clicks.rename(change))


def test_what_is_no_frame_is_refused():
    with pytest.raises(rb.InputError, match=r"events is a list; a table is needed|events is a list"):
        rb.prepare([1, 2, 3])


def calls_with_settings():
    """Public functions and methods that take settings by name, with what they must be given."""
    for module in (rb, nlp_tasks):
        for name in module.__all__:
            public = getattr(module, name)
            named = {name: public}
            if inspect.isclass(public):
                named = {f"{name}.{one}": getattr(public, one) for one in vars(public) if one[0] != "_"}
            for path, function in named.items():
                called = inspect.isfunction(function) or inspect.ismethod(function)
                parameters = inspect.signature(function).parameters.values() if called else ()
                if any(one.kind is one.VAR_KEYWORD for one in parameters):
                    needed = {one.name: Mock() for one in parameters if one.default is one.empty}
                    needed.pop("settings")
                    yield pytest.param(function, needed, id=f"{module.__name__}.{path}")


@pytest.mark.parametrize(("function", "needed"), list(calls_with_settings()))
def test_every_misspelt_setting_is_refused_before_any_work(function, needed):
    with pytest.raises(rb.InputError, match=r"no setting is called 'no_such'.* Known: "):
        function(**needed, no_such=1)


def test_a_misspelt_setting_is_refused(clicks):
    dataset = rb.prepare(clicks)
    with pytest.raises(rb.InputError, match="epohcs"):
        rb.train_retrieval(dataset, train={"epohcs": 1})
