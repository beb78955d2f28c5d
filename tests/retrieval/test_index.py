"""The FAISS index against brute force."""

import contextlib
import itertools
import json

import numpy as np
import pytest

from recsys_bert.errors import InputError
from recsys_bert.retrieval.index import ItemIndex

DIM = 16
EXACT = ["Flat", "IVF8,Flat", "HNSW16"]  # given the effort of the tests that use them
STORED = ["HNSW16_SQ8", "HNSW16_PQ8x4", "NSG16", "PCA16,Flat", "OPQ8,IVF8,PQ8x4", "IVF8,PQ8x4fs", "IVF8_HNSW8,Flat"]
EVERY = [*EXACT, "IVF8,PQ8x4", "IVF8,PQ8x4,RFlat", "PQ8x4", "SQ8", "LSH128r", "LSH128r,RFlat"]


def metric_for(factory):
    return "cosine" if factory.startswith("LSH") else "ip"


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(600, DIM))
    lengths = np.exp(0.4 * rng.normal(size=(600, 1)))  # an inner product is only told from a cosine by lengths
    return (directions / np.linalg.norm(directions, axis=1, keepdims=True) * lengths).astype(np.float32)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).permutation(2000)[:600]  # not 0, 1, 2 …: positions and rows must not be mixed up


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(2).normal(size=(23, DIM)).astype(np.float32)


def plain_scores(queries, vectors, metric):
    """Every query against every item by the formula; higher is better."""
    if metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if metric == "l2":
        return -((queries[:, None] - vectors[None]) ** 2).sum(2)
    return queries @ vectors.T


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_flat_equals_brute_force(vectors, rows, queries, metric):
    listed, scores = ItemIndex.build(vectors, rows, "Flat", metric).search(queries, 10)
    plain = plain_scores(queries, vectors, metric)
    best = np.argsort(-plain, axis=1)[:, :10]
    np.testing.assert_array_equal(listed, rows[best])
    sign = -1 if metric == "l2" else 1  # squared distances: lower is better
    np.testing.assert_allclose(scores, sign * np.take_along_axis(plain, best, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factory", EVERY)
def test_every_type_finds_most_neighbours(vectors, rows, queries, factory):
    metric = metric_for(factory)
    listed, scores = ItemIndex.build(vectors, rows, factory, metric).search(queries, 10)
    best = rows[np.argsort(-plain_scores(queries, vectors, metric), axis=1)[:, :10]]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(listed, best, strict=True)])
    lowest = {"IVF8,PQ8x4": 0.3, "PQ8x4": 0.3, "LSH128r": 0.3}.get(factory, 0.9)  # by chance: .017
    assert recall >= lowest
    assert (np.diff(scores, axis=1) <= 1e-6).all()


@pytest.mark.parametrize("factory", EVERY)
def test_seen_items_never_come_and_k_others_do(vectors, rows, queries, factory):
    index = ItemIndex.build(vectors, rows, factory, metric_for(factory))
    best = index.search(queries, 300)[0]
    n_seen = np.arange(len(queries)) * 13  # from none to 286 of each query's best 300
    seen_query = np.repeat(np.arange(len(queries)), n_seen)
    seen_rows = np.concatenate([best[query, :n] for query, n in enumerate(n_seen)])
    strangers = np.setdiff1d(np.arange(2000), rows)[: len(queries)]  # seen, but not in the index
    pairs = (np.append(seen_query, np.arange(len(queries))), np.append(seen_rows, strangers))
    listed = index.search(queries, 300, pairs)[0]
    assert (listed >= 0).all()
    for query, n in enumerate(n_seen):
        assert len(set(listed[query])) == 300
        assert not set(listed[query]) & set(best[query, :n])


@pytest.mark.parametrize("factory", EXACT)
def test_search_without_seen_equals_brute_force(vectors, rows, queries, factory):
    index = ItemIndex.build(vectors, rows, factory, nprobe=8 if "IVF" in factory else None)
    rng = np.random.default_rng(3)
    pairs = np.repeat(np.arange(len(queries)), 50), rng.choice(rows, 50 * len(queries))
    plain = plain_scores(queries, vectors, "ip")
    for query, row in zip(*pairs, strict=True):
        plain[query, np.flatnonzero(rows == row)] = -np.inf
    best = rows[np.argsort(-plain, axis=1)[:, :20]]
    listed = index.search(queries, 20, pairs)[0]
    assert np.mean([len(set(a) & set(b)) / 20 for a, b in zip(listed, best, strict=True)]) > 0.99


def test_few_probed_lists_are_made_up_for(vectors, rows, queries):
    index = ItemIndex.build(vectors, rows, "IVF50,Flat", nprobe=1)  # a list holds about 12 items
    listed, scores = index.search(queries, 200)
    assert (listed >= 0).all()
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("factory", EVERY)
def test_places_without_items_are_minus_one(vectors, rows, queries, factory):
    index = ItemIndex.build(vectors, rows, factory, metric_for(factory))
    left = {0: 0, 1: 3, 2: 600}  # query → items that it has not seen
    seen = [(query, row) for query, n in left.items() for row in rows[n:]]
    listed, scores = index.search(queries[:3], 5, tuple(np.array(seen).T))
    assert set(listed[0]) == {-1}
    assert set(listed[1]) == {-1, *rows[:3]}
    assert (listed[1, 3:] == -1).all()
    assert (listed[2] >= 0).all()
    assert (scores[listed < 0] == -np.inf).all()


@pytest.mark.parametrize("factory", EVERY)
def test_saved_index_answers_the_same(vectors, rows, queries, factory, tmp_path):
    built = ItemIndex.build(vectors, rows, factory, metric_for(factory), source={"data": "abc"})
    built.save(tmp_path / "index")
    loaded = ItemIndex.load(tmp_path / "index")
    for before, after in zip(built.search(queries, 7), loaded.search(queries, 7), strict=True):
        np.testing.assert_array_equal(before, after)
    assert (loaded.config, loaded.source, len(loaded)) == (built.config, {"data": "abc"}, 600)
    written = (tmp_path / "index" / "index.faiss").stat().st_size
    assert built.memory == loaded.memory == written


def test_search_effort_survives_saving(vectors, rows, queries, tmp_path):
    ItemIndex.build(vectors, rows, "IVF50,Flat", nprobe=1).save(tmp_path / "one")
    ItemIndex.build(vectors, rows, "IVF50,Flat", nprobe=50).save(tmp_path / "all")
    exact = ItemIndex.build(vectors, rows).search(queries, 5)[0]
    assert (ItemIndex.load(tmp_path / "all").search(queries, 5)[0] == exact).all()
    assert (ItemIndex.load(tmp_path / "one").search(queries, 5)[0] != exact).any()


@pytest.mark.parametrize("factory", EVERY)
def test_items_added_later_are_found(vectors, rows, factory):
    metric = "cosine"  # with it an item is nearest to itself
    index = ItemIndex.build(vectors[:500], rows[:500], factory, metric)
    index.add(vectors[500:], rows[500:])
    listed = index.search(vectors[500:], 20)[0]
    assert len(index) == 600
    assert (listed == rows[500:, None]).any(1).mean() > 0.9


def test_a_graph_that_is_built_once_takes_no_more_items(vectors, rows):
    index = ItemIndex.build(vectors[:500], rows[:500], "NSG16")
    with pytest.raises(InputError, match="is built once and takes no more items"):
        index.add(vectors[500:], rows[500:])
    assert len(index) == 500


def test_rows_cannot_be_added_twice(vectors, rows):
    index = ItemIndex.build(vectors[:10], rows[:10])
    with pytest.raises(InputError, match=f"1 item rows are already in the index, the first is {rows[3]}"):
        index.add(vectors[10:12], np.array([rows[3], 5000]))
    assert len(index) == 10
    assert (index.search(vectors[:2], 10)[0] >= 0).all()


def test_cosine_of_zeros_is_zero(vectors, rows):
    index = ItemIndex.build(np.vstack([vectors[:3], np.zeros((1, DIM), np.float32)]), rows[:4], metric="cosine")
    listed, scores = index.search(vectors[:1], 4)
    assert scores[0, list(listed[0]).index(rows[3])] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factory": "IVF700,Flat"}, "learns 700 centroids but there are only 600 items"),
        ({"factory": "PQ8x10"}, "learns 1024 centroids but there are only 600 items"),
        ({"factory": "PQ7"}, "FAISS cannot build 'PQ7' for 16 dimensions"),
        ({"factory": "Flatt"}, "FAISS cannot build 'Flatt'"),
        ({"factory": "HNSW1"}, "'HNSW1' cannot be built: a graph needs 2 links"),
        ({"factory": "IVF4_HNSW1,Flat"}, "a graph needs 2 links"),
        ({"factory": "NSG2"}, "this graph needs 16 links"),
        ({"factory": "IVF4(HNSW1),Flat"}, r"FAISS cannot build 'IVF4\(HNSW1\),Flat'"),
        ({"factory": "HNSW99999"}, "512 at most"),
        ({"factory": "IVF99999999999,Flat"}, "the lists are 1 at least"),
        ({"factory": "IVF4,RQ2x4"}, "Known forms: Flat, HNSW32"),
        ({"factory": "HNSW16", "ef_search": 2**40}, "below 2"),
        ({"factory": "IVF0,Flat"}, "a number in it is 0"),
        ({"factory": "PQ2x0"}, "a number in it is 0"),
        ({"factory": "PQ4x1"}, "needs 3 bits"),
        ({"factory": "IDMap,Flat"}, "leave IDMap out"),
        ({"factory": "LSH64"}, "compares directions only"),
        ({"metric": "dot"}, "no metric is called 'dot'"),
        ({"nprobe": 4}, "nprobe = 4 means nothing to index 'Flat'"),
        ({"seed": 4}, "seed = 4 draws the vectors that an index is trained on, and 'Flat' is not"),
        ({"factory": "IVF8,Flat", "ef_search": 64}, "ef_search = 64 means nothing"),
        ({"factory": "HNSW16", "refine_factor": 2}, "refine_factor = 2 means nothing"),
        ({"factory": "IVF8,Flat", "nprobe": 0}, "nprobe is 0; it must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(vectors, rows, change, message):
    with pytest.raises(InputError, match=message):
        ItemIndex.build(vectors, rows, **change)


def test_few_items_to_learn_from_are_said_once(vectors, rows, capfd):
    ItemIndex.build(vectors, rows, "PQ4x8")
    err = capfd.readouterr().err
    assert err == "index 'PQ4x8' learns from 600 items; FAISS advises 9,984 or more.\n"
    ItemIndex.build(vectors, rows, "IVF10,Flat")
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v, r: (np.where(v > 1, np.nan, v), r), "hold NaN or infinite"),
        (lambda v, r: (v[:, 0], r), "must be floats"),
        (lambda v, r: (v[:0], r[:0]), "no item vectors"),
        (lambda v, r: (v, r[1:]), "must be 600 whole numbers"),
        (lambda v, r: (v, r.astype(float)), "must be 600 whole numbers"),
        (lambda v, r: (v, r - 100), "item rows go from -"),
        (lambda v, r: (v, np.zeros_like(r)), "1 item rows are repeated, the first is 0"),
    ],
)
def test_bad_vectors_and_rows_are_refused(vectors, rows, spoil, message):
    with pytest.raises(InputError, match=message):
        ItemIndex.build(*spoil(vectors, rows))


def test_bad_searches_are_refused(vectors, rows, queries):
    index = ItemIndex.build(vectors, rows)
    for k in (0, 601):
        with pytest.raises(InputError, match=f"k is {k}; it must be between 1 and the 600 items"):
            index.search(queries, k)
    with pytest.raises(InputError, match="vectors have 15 numbers; this index has 16"):
        index.search(queries[:, 1:], 5)
    with pytest.raises(InputError, match="there are 23 queries"):
        index.search(queries, 5, (np.array([23]), np.array([1])))


def test_folders_that_are_not_ours_are_refused(vectors, rows, tmp_path):
    with pytest.raises(InputError, match="is not an item index"):
        ItemIndex.load(tmp_path)
    saved = tmp_path / "index"
    ItemIndex.build(vectors, rows).save(saved)
    about = json.loads((saved / "index.json").read_text())

    (saved / "index.json").write_text(json.dumps({**about, "version": 99}))
    with pytest.raises(InputError, match="version 2"):
        ItemIndex.load(saved)

    (saved / "index.json").write_text(json.dumps(about))
    content = (saved / "index.faiss").read_bytes()
    (saved / "index.faiss").write_bytes(content[:-100])
    with pytest.raises(InputError, match="is damaged"):
        ItemIndex.load(saved)

    (saved / "index.faiss").unlink()
    with pytest.raises(InputError, match=r"index.faiss is missing, .*\. Put it back, or make the index again"):
        ItemIndex.load(saved)


def test_a_failed_save_leaves_the_old_index(vectors, rows, tmp_path, monkeypatch):
    index = ItemIndex.build(vectors, rows)
    index.save(tmp_path / "index")
    monkeypatch.setattr(np, "save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match="disk full"):
        ItemIndex.build(vectors[:5], rows[:5]).save(tmp_path / "index")
    assert len(ItemIndex.load(tmp_path / "index")) == 600
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def filtered_pairs(queries, rows):
    """Seen pairs: 40 random rows a query."""
    return np.repeat(np.arange(len(queries)), 40), np.random.default_rng(5).choice(rows, 40 * len(queries))


@pytest.mark.parametrize("factory", [*EVERY, *STORED, "RaBitQ", "IVF8,RaBitQ"])
def test_nothing_denied_comes_back_and_lists_are_full(vectors, rows, queries, factory):
    index = ItemIndex.build(vectors, rows, factory, metric_for(factory))
    pairs = filtered_pairs(queries, rows)
    for share, seen in itertools.product((0.9, 0.5, 0.2, 0.05), (None, pairs)):
        allowed = np.zeros(1990, bool)  # shorter than the rows of the index: what lies beyond is denied
        allowed[np.random.default_rng(4).choice(rows[rows < 1990], int(share * 600), replace=False)] = True
        listed, scores = index.search(queries, 15, seen, allowed)
        for query, line in enumerate(listed):
            left = set(np.flatnonzero(allowed)) - (set(pairs[1][pairs[0] == query]) if seen else set())
            assert len(set(line) - {-1}) == min(15, len(left))
            assert set(line) - {-1} <= left
        assert np.isfinite(scores[listed >= 0]).all()


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF8,Flat", "SQfp16", "PCA16,HNSW16"])
@pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
def test_a_filtered_search_finds_the_best_of_what_is_left(vectors, rows, queries, factory, share):
    index = ItemIndex.build(vectors, rows, factory, "ip", nprobe=8 if "IVF" in factory else None)
    inside = np.random.default_rng(4).random(600) < share
    allowed = np.zeros(2000, bool)
    allowed[rows[inside]] = True
    best = rows[inside][np.argsort(-(queries @ vectors[inside].T), axis=1)[:, :10]]
    listed = index.search(queries, 10, None, allowed)[0]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(listed, best, strict=True)]) > 0.97


@pytest.mark.parametrize("factory", [*EVERY, *STORED, "RaBitQ", "IVF8,RaBitQ", "RR16,SQfp16", "PQ8x4fs"])
def test_catalogues_of_a_few_items_are_indexed_or_refused(vectors, rows, factory):
    """FAISS is never handed what it crashes on."""
    for n in (1, 2, 20):
        with contextlib.suppress(InputError):
            index = ItemIndex.build(vectors[:n], rows[:n], factory, metric_for(factory))
            assert set(index.search(vectors[:3], n)[0].ravel()) <= {-1, *rows[:n]}


def test_nothing_allowed_is_an_empty_list(vectors, rows, queries):
    for factory in ("Flat", "HNSW16", "PQ8x4"):
        listed, scores = ItemIndex.build(vectors, rows, factory).search(queries, 3, None, np.zeros(2000, bool))
        assert (listed == -1).all()
        assert (scores == -np.inf).all()
