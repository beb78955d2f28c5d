"""The embedded store: SQLite is the truth, the FAISS index a cache that catches up."""

import shutil
import sqlite3

import numpy as np
import pytest
from contracts.store_cases import COLUMNS, DIM, holds, make_rows, nearest, recall

from recsys_bert.errors import InputError
from recsys_bert.stores import row_index
from recsys_bert.stores.backend import StoreUnavailable
from recsys_bert.stores.opening import open_store


@pytest.fixture
def graphs(monkeypatch):
    """Indexes are graphs from 500 rows on."""
    monkeypatch.setattr(row_index, "FLAT_ROWS", 500)


@pytest.fixture(scope="module")
def rows():
    return make_rows()


def index_of(store):
    return store._backend._index


def test_a_graph_is_exact_under_narrow_filters_and_good_under_wide_ones(tmp_path, rows, graphs):
    queries = np.random.default_rng(5).normal(size=(60, DIM)).astype(np.float32)
    with open_store(tmp_path / "s", dim=DIM, columns=COLUMNS) as store:
        store.put(**rows)
        assert recall(store.search(queries, 10), [nearest(rows, query, 10) for query in queries]) >= 0.95
        assert "HNSW" in type(index_of(store)._index).__name__
        for source, least, condition in (
            ('brand == "brand 3"', 1.0, lambda brand, **_: brand == "brand 3"),
            ("price < 30", 0.95, lambda price, **_: price is not None and price < 30),
        ):
            keep = holds(rows, condition)
            expected = [nearest(rows, query, 10, keep) for query in queries]
            assert recall(store.search(queries, 10, source), expected) >= least
        assert len(store.search(queries[:1], 2_000)[0]) == 2_000


def test_a_wide_filter_far_from_the_query_gives_k(tmp_path, graphs):
    vectors = np.concatenate([np.tile([1, 0], (1500, 1)), np.tile([-1, 0], (900, 1))]).astype(np.float32)
    vectors += 0.01 * np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    with open_store(tmp_path / "s", dim=2, columns={"far": "bool"}) as store:
        store.put([str(n) for n in range(2400)], vectors, {"far": [n >= 1500 for n in range(2400)]})
        assert len(store.search([[1, 0]], 20, "far")[0]) == 20


def test_the_cache_is_read_when_it_is_there_and_made_again_when_damaged(tmp_path, rows, graphs):
    folder = tmp_path / "s"
    with open_store(folder, dim=DIM, columns=COLUMNS) as store:
        store.put(**rows)
        expected = store.search(rows["vectors"][:5], 5)
    with open_store(folder) as store:
        assert index_of(store).last_row == store._backend._saved == 3000
        store.put(["new"], 9 * rows["vectors"][:1])
    shutil.copytree(folder, tmp_path / "old")
    for damage in (
        lambda: (folder / "index" / "vectors.faiss").write_bytes(b"x" * 100),
        lambda: (folder / "index" / "rows.npy").unlink(),
        lambda: (folder / "index" / "cache.json").write_text("[]"),
        lambda: shutil.rmtree(folder / "index"),
    ):
        damage()
        with open_store(folder) as store:
            assert [[m.id for m in one if m.id != "new"][:4] for one in store.search(rows["vectors"][:5], 5)] == [
                [m.id for m in one][:4] for one in expected
            ]
            assert store.search(rows["vectors"][:1], 1)[0][0].id == "new"


def test_an_older_cache_catches_up_with_puts_updates_and_removals(tmp_path, rows):
    folder = tmp_path / "s"
    with open_store(folder, dim=DIM, columns=COLUMNS) as store:
        store.put(**rows)
    shutil.copytree(folder / "index", tmp_path / "index")
    with open_store(folder) as store:
        store.delete(rows["ids"][:10])
        store.put(rows["ids"][10:20], -rows["vectors"][10:20])
    shutil.rmtree(folder / "index")
    shutil.copytree(tmp_path / "index", folder / "index")
    with open_store(folder) as store:
        assert index_of(store).n_alive == store.count() == 2990
        assert store.search(-rows["vectors"][12:13], 1)[0][0].id == "item 12"
        assert not {match.id for match in store.search(rows["vectors"][:1], 2990)[0]} & set(rows["ids"][:10])


def test_two_openings_see_each_other(tmp_path):
    with open_store(tmp_path / "s", dim=2) as one, open_store(tmp_path / "s") as two:
        one.put(["a"], [[1, 0]])
        assert two.search([[1, 0]], 1)[0][0].id == "a"
        two.put(["a"], [[0, 1]])
        two.put(["b"], [[1, 0]])
        assert [match.id for match in one.search([[1, 0]], 2)[0]] == ["b", "a"]
        one.delete(["b"])
        assert [match.id for match in two.search([[1, 0]], 2)[0]] == ["a"]


def test_removals_that_are_forgotten_are_read_from_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys_bert.stores.faiss_sqlite._TRIM", 2)
    with open_store(tmp_path / "s", dim=2) as one, open_store(tmp_path / "s") as two:
        one.put([str(n) for n in range(20)], np.eye(2, dtype=np.float32)[[0] * 20])
        assert len(two.search([[1, 0]], 50)[0]) == 20
        for n in range(5):
            one.delete([str(n)])
            one.search([[1, 0]], 1)
            one.persist()
        assert {match.id for match in two.search([[1, 0]], 50)[0]} == {str(n) for n in range(5, 20)}


def test_an_index_of_mostly_removed_rows_is_made_again(tmp_path):
    with open_store(tmp_path / "s", dim=2) as store:
        vectors = np.random.default_rng(0).normal(size=(800, 2)).astype(np.float32)
        for _ in range(4):
            store.put([str(n) for n in range(800)], vectors)
            assert len(store.search([[1, 0]], 1000)[0]) == 800
        assert len(index_of(store).rows) <= 1600


def test_a_filter_is_remembered_until_a_row_changes(tmp_path):
    with open_store(tmp_path / "s", dim=2, columns={"price": "int"}) as store:
        store.put(["a", "b"], [[1, 0], [1, 0]], {"price": [1, 2]})
        assert [match.id for match in store.search([[1, 0]], 5, "price < 2")[0]] == ["a"]
        store.put(["b"], [[1, 0]], {"price": [1]})
        assert len(store.search([[1, 0]], 5, "price < 2")[0]) == 2


def test_a_store_that_goes_away_and_comes_back(tmp_path):
    with open_store(tmp_path / "s", dim=2) as store:
        store.put(["a"], [[1, 0]])
        (tmp_path / "s").rename(tmp_path / "away")
        for call in (lambda: store.put(["b"], [[1, 0]]), lambda: store.search([[1, 0]]), store.count):
            with pytest.raises(StoreUnavailable, match="is gone"):
                call()
        (tmp_path / "away").rename(tmp_path / "s")
        store.put(["b"], [[1, 0]])
        assert store.count() == 2


def test_a_store_that_another_process_holds_for_long_says_so(tmp_path):
    with open_store(tmp_path / "s", dim=2) as store:
        store._backend._connection.execute("PRAGMA busy_timeout = 50")
        other = sqlite3.connect(tmp_path / "s" / "rows.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="being written by another process"):
            store.put(["a"], [[1, 0]])
        other.execute("ROLLBACK")
        other.close()
        assert store.put(["a"], [[1, 0]]) == 1


@pytest.mark.parametrize("contents", [b"no database, but some text that is long enough" * 100, b""])
def test_a_file_that_is_no_store_is_refused(tmp_path, contents):
    (tmp_path / "rows.sqlite").write_bytes(contents)
    with pytest.raises(InputError, match="no store"):
        open_store(tmp_path)


def test_a_store_of_another_version_is_refused(tmp_path):
    open_store(tmp_path / "s", dim=2).close()
    connection = sqlite3.connect(tmp_path / "s" / "rows.sqlite")
    connection.execute("UPDATE about SET value = replace(value, '\"version\": 1', '\"version\": 99')")
    connection.commit()
    connection.close()
    with pytest.raises(InputError, match="no vector store of version 1"):
        open_store(tmp_path / "s")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "fais"}, "did you mean 'faiss'"),
        ({"name": "a; b"}, "letters, digits and underscores"),
        ({"dim": 0}, "between 1 and 4,096"),
        ({"dim": 2, "metric": "l2"}, "no metric is called 'l2'"),
        ({"dim": 2, "columns": {"a": "number"}}, "no type of a column"),
        ({"dim": 2, "columns": {"id": "int"}}, "no column can be called 'id'"),
        ({"dim": 2, "columns": {str(n): "int" for n in range(30)}}, "30 columns"),
    ],
)
def test_bad_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        open_store(tmp_path / "s", **settings)
    assert not (tmp_path / "s").exists()
