"""Items put into an index and removed from it, in every type, against brute force."""

import json

import numpy as np
import pytest

from recsys_bert.errors import InputError
from recsys_bert.retrieval.index import ItemIndex

DIM = 16
FACTORIES = [
    *("Flat", "SQ8", "SQfp16", "PQ8x4", "PQ8x4fs", "LSH128r", "LSH128r,RFlat", "RaBitQ", "HNSW16", "HNSW16_SQ8"),
    *("HNSW16_PQ8x4", "NSG16", "IVF8,Flat", "IVF8,SQ8", "IVF8,PQ8x4", "IVF8,PQ8x4fs", "IVF8,RaBitQ", "IVF8_HNSW8,Flat"),
    *("PCA16,Flat", "RR16,SQfp16", "OPQ8,IVF8,PQ8x4", "IVF8,PQ8x4,RFlat", "PQ8x4,Refine(SQ8)", "PCA16,HNSW16"),
    *("PCA16,HNSW16,RFlat", "HNSW16,RFlat"),
]


def metric_for(factory):
    return "cosine" if factory.startswith("LSH") else "ip"


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def plain_scores(queries, vectors, metric):
    if metric == "l2":
        return ((queries[:, None] - vectors[None]) ** 2).sum(2)
    return unit(queries) @ unit(vectors).T if metric == "cosine" else queries @ vectors.T


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(420, DIM)) * np.exp(0.3 * rng.normal(size=(420, 1)))).astype(np.float32)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).permutation(1500)[:420]


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(2).normal(size=(9, DIM)).astype(np.float32)


@pytest.mark.parametrize("factory", FACTORIES)
def test_the_life_of_an_item(vectors, rows, queries, factory, tmp_path):
    """Put in: in the next search, at its exact score. Removed: never again. Put again: with the other vector."""
    metric = metric_for(factory)
    index = ItemIndex.build(vectors[:400], rows[:400], factory, metric)
    strong = (queries[:3] * 50).astype(np.float32)  # nearest of all to its own query
    index.put(strong, np.array([2000, 2001, 2002]))
    assert (len(index), index.n_put) == (403, 3)
    listed, scores = index.search(queries, 5)
    assert listed[[0, 1, 2], 0].tolist() == [2000, 2001, 2002]
    np.testing.assert_allclose(scores[[0, 1, 2], 0], np.diag(plain_scores(queries[:3], strong, metric)), rtol=1e-4)
    assert (np.diff(scores, axis=1) <= 1e-5).all()

    best = [row for row in index.search(queries, 8)[0][4].tolist() if row < 2000][:5]
    assert index.remove(np.array([2001, *best, 77777])) == 6
    index.put(-strong[:1], np.array([2000]))  # the worst of all now
    index.save(tmp_path / "index")
    for one in (index, ItemIndex.load(tmp_path / "index")):
        listed = one.search(queries, len(one))[0]
        assert len(one) == len(set(listed[0])) == len(set(one.rows))
        assert not {2001, *best} & set(listed.ravel().tolist())
        assert listed[2, 0] == 2002
        assert list(listed[0]).index(2000) > 300
        assert set(one.removed_rows.tolist()) == {2001, *best}
        assert not one.is_worn

    index.put(strong[1:2], np.array([2001]))  # what was removed may come again
    assert index.search(queries[1:2], 1)[0].tolist() == [[2001]]
    assert 2001 not in index.removed_rows


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("factory", ["Flat", "HNSW32", "IVF8,Flat"])
def test_changed_indexes_equal_brute_force(vectors, rows, queries, factory, metric):
    """Put, replaced and removed items under seen pairs and an allow list."""
    index = ItemIndex.build(vectors[:380], rows[:380], factory, metric, nprobe=8 if "IVF" in factory else None)
    index.put(vectors[380:], rows[380:])
    index.put(vectors[:10] + 1, rows[:10])
    index.remove(rows[[5, 20, 21, 400]])
    now = vectors.copy()
    now[:10] += 1
    left = np.setdiff1d(np.arange(420), [5, 20, 21, 400])
    rng = np.random.default_rng(3)
    seen = np.repeat(np.arange(len(queries)), 60), rng.choice(rows, 60 * len(queries))
    allowed = np.zeros(1400, bool)  # shorter than the rows: what lies beyond is denied
    allowed[rows[rows < 1400]] = rng.random((rows < 1400).sum()) < 0.6
    order = 1 if metric == "l2" else -1
    for pairs, mask in ((None, None), (seen, None), (None, allowed), (seen, allowed)):
        listed, scores = index.search(queries, 12, pairs, mask)
        plain = plain_scores(queries, now, metric)
        for query in range(len(queries)):
            barred = set() if pairs is None else set(pairs[1][pairs[0] == query])
            candidates = [
                at for at in left if rows[at] not in barred and (mask is None or (rows[at] < 1400 and mask[rows[at]]))
            ]
            best = sorted(candidates, key=lambda at: order * plain[query, at])[:12]
            assert listed[query].tolist() == rows[best].tolist()
            np.testing.assert_allclose(scores[query], plain[query, best], rtol=1e-3, atol=1e-4)


def test_everything_can_be_removed(vectors, rows, queries):
    for factory in ("Flat", "HNSW16", "PQ8x4"):
        index = ItemIndex.build(vectors, rows, factory)
        assert index.remove(rows) == 420
        assert len(index) == 0
        index.put(vectors[:2], rows[:2])
        listed, scores = index.search(queries, 2)
        assert (np.sort(listed) == np.sort(rows[:2])).all()
        np.testing.assert_allclose(scores[:, 0], (queries @ vectors[:2].T).max(1), rtol=1e-5)


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "NSG16", "IVF8,PQ8x4,RFlat"])
def test_a_rebuilt_index_is_that_of_the_items_of_now(vectors, rows, queries, factory):
    index = ItemIndex.build(vectors[:400], rows[:400], factory, source={"data": "abc"})
    index.put(vectors[400:] + 1, rows[400:])
    index.put(vectors[:3] * 2, rows[:3])
    index.remove(rows[3:60])
    by_row = np.zeros((1500, DIM), np.float32)
    by_row[rows] = vectors  # as the model has them
    again = index.rebuilt(by_row)
    now = np.concatenate([vectors[:3] * 2, vectors[60:400], vectors[400:] + 1])
    ids = np.concatenate([rows[:3], rows[60:]])
    order = np.argsort(ids, kind="stable")
    expected = ItemIndex.build(now[order], ids[order], factory)
    for result, by_hand in zip(again.search(queries, 9), expected.search(queries, 9), strict=True):
        np.testing.assert_array_equal(result, by_hand)
    assert (again.n_put, again.source) == (0, {"data": "abc"})
    assert set(again.removed_rows) == set(rows[3:60])
    with pytest.raises(InputError, match="but there are vectors of 10 rows"):
        index.rebuilt(by_row[:10])


def test_many_changes_wear_an_index(vectors, rows):
    index = ItemIndex.build(vectors, rows)
    index.remove(rows[:400])
    index.put(np.ones((599, DIM), np.float32), np.arange(3000, 3599))
    assert not index.is_worn
    index.remove(rows[400:401])
    assert index.is_worn


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v, r: (np.where(v > 0, np.nan, v), r), "2 of 2 item vectors hold NaN"),
        (lambda v, r: (v[:, 1:], r), "vectors have 15 numbers; this index has 16"),
        (lambda v, r: (v, r[:1]), "must be 2 whole numbers"),
        (lambda v, r: (v, -r - 1), "item rows go from -"),
        (lambda v, r: (v, np.array([7, 7])), "1 item rows are repeated, the first is 7"),
    ],
)
def test_what_cannot_be_put_changes_nothing(vectors, rows, queries, spoil, message):
    index = ItemIndex.build(vectors, rows)
    before = index.search(queries, 5)
    with pytest.raises(InputError, match=message):
        index.put(*spoil(vectors[:2], rows[:2]))
    assert index.n_put == 0
    np.testing.assert_array_equal(index.search(queries, 5)[0], before[0])


def test_lists_beside_a_saved_index_are_checked(vectors, rows, tmp_path):
    index = ItemIndex.build(vectors, rows)
    index.put(vectors[:2] * 3, rows[:2])
    index.save(tmp_path / "index")
    about = json.loads((tmp_path / "index" / "index.json").read_text())
    assert about["n_rows"] == 420
    path = tmp_path / "index" / "put.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="is damaged"):
        ItemIndex.load(tmp_path / "index")
