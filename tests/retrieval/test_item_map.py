"""Items in the plane."""

import sys

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from recsys_bert.errors import InputError
from recsys_bert.retrieval import item_map
from recsys_bert.retrieval.item_map import item_positions, nearest_items


@pytest.fixture(scope="module")
def clustered():
    random = np.random.default_rng(0)
    clusters = np.repeat(np.arange(6), 40)
    return (random.normal(size=(6, 12))[clusters] + 0.2 * random.normal(size=(240, 12))).astype(np.float32), clusters


@pytest.mark.parametrize("sample", [1_000, 120])
def test_neighbours_stay_together(clustered, sample):
    vectors, clusters = clustered
    positions, n_placed = item_positions(vectors, sample=sample, perplexity=15)
    assert n_placed == min(sample, 240)
    assert positions.min() >= 0
    assert positions.max() <= 1
    distances = np.linalg.norm(positions[:, None] - positions, axis=2) + 9 * np.eye(240)
    assert (clusters[distances.argmin(1)] == clusters).mean() > 0.95
    if sample > 240:
        directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        assert trustworthiness(directions, positions, n_neighbors=10) > 0.93


@pytest.mark.slow
def test_umap_keeps_neighbours_together(clustered):
    pytest.importorskip("umap", reason="extra 'umap' is not installed")  # compiles for half a minute
    vectors, clusters = clustered
    positions, n_placed = item_positions(vectors, "umap", sample=120)
    assert n_placed == 120
    distances = np.linalg.norm(positions[:, None] - positions, axis=2) + 9 * np.eye(240)
    assert (clusters[distances.argmin(1)] == clusters).mean() > 0.95
    np.testing.assert_array_equal(item_positions(vectors, "umap", sample=120)[0], positions)
    assert not np.allclose(item_positions(vectors, "umap", sample=120, perplexity=5.0)[0], positions)


def test_umap_that_is_not_installed_is_said(clustered, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"umap is missing: pip install 'recsys-bert\[umap\]', or take tsne"):
        item_positions(clustered[0], "umap")


def test_settings_change_the_map(clustered):
    vectors, _ = clustered
    base, _ = item_positions(vectors, sample=100, perplexity=10)
    changes = ({"seed": 1}, {"perplexity": 20.0}, {"sample": 90})
    for settings in ({"method": "pca"}, *({"sample": 100, "perplexity": 10.0} | change for change in changes)):
        other, _ = item_positions(vectors, **settings)
        assert not np.allclose(other, base)
    again, _ = item_positions(vectors, sample=100, perplexity=10)
    np.testing.assert_array_equal(again, base)


@pytest.mark.parametrize("flat", [20_000, 100])
def test_nearest_items_are_those_of_brute_force(clustered, monkeypatch, flat):
    monkeypatch.setattr(item_map, "_FLAT", flat)
    vectors, _ = clustered
    nearest, cosines = nearest_items(vectors, 5)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = directions @ directions.T - 9 * np.eye(240)
    expected = np.sort(scores, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(cosines, expected, atol=1e-5)
    assert not (nearest == np.arange(240)[:, None]).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "tnse"}, "no method of a map is called 'tnse'; did you mean 'tsne'"),
        ({"method": "pca", "perplexity": 10.0}, "perplexity is for tsne and umap and has no effect on pca"),
        ({"method": "pca", "sample": 100}, "sample is for tsne and umap"),
        ({"method": "pca", "seed": 1}, "seed is for tsne and umap"),
    ],
)
def test_what_would_have_no_effect_is_refused(clustered, settings, message):
    with pytest.raises(InputError, match=message):
        item_positions(clustered[0], **settings)


def test_too_little_is_refused(clustered):
    with pytest.raises(InputError, match="too few"):
        item_positions(clustered[0][:4])
    with pytest.raises(InputError, match="perplexity is 300"):
        item_positions(clustered[0], perplexity=300)
