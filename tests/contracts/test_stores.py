"""The contract of stores: every system in the table answers alike."""

import subprocess
import sys
import threading

import numpy as np
import polars as pl
import pytest
from contracts.store_cases import COLUMNS, DIM, HARD_IDS, PUTS, holds, make_rows, nearest, recall, repository
from contracts.store_servers import PARAMETERS, place

from recsys_bert.errors import InputError
from recsys_bert.stores.columns import MAX_COMPARISONS

FILTERS = {
    "price < 20": lambda price, **_: price is not None and price < 20,
    "price <= 19.5 or price > 90": lambda price, **_: price is not None and (price <= 19.5 or price > 90),
    "not price < 20": lambda price, **_: not (price is not None and price < 20),
    "10 <= price < 20": lambda price, **_: price is not None and 10 <= price < 20,
    "price is missing": lambda price, **_: price is None,
    "price is not missing and stock > 500": lambda price, stock, **_: price is not None and stock > 500,
    "price != 50": lambda price, **_: price is not None and price != 50,
    "price in (3, 4.0, 70)": lambda price, **_: price in (3, 4, 70),
    "stock == 500 or 990 < stock": lambda stock, **_: stock == 500 or stock > 990,
    "stock >= 499.5 and stock < 510.5": lambda stock, **_: 499.5 <= stock < 510.5,
    "stock not in (1, 2, 3)": lambda stock, **_: stock not in (1, 2, 3),
    'brand == "brand 3"': lambda brand, **_: brand == "brand 3",
    "brand != 'brand 3' and sold_out": lambda brand, sold_out, **_: brand != "brand 3" and sold_out is True,
    'brand in ("brand 1", "brand 2", "no brand")': lambda brand, **_: brand in ("brand 1", "brand 2"),
    'brand not in ("brand 1")': lambda brand, **_: brand != "brand 1",
    "not sold_out": lambda sold_out, **_: sold_out is not True,
    "sold_out == false": lambda sold_out, **_: sold_out is False,
    "sold_out != true": lambda sold_out, **_: sold_out is False,
    "sold_out is missing": lambda sold_out, **_: sold_out is None,
    '"genre 1" in genres': lambda genres, **_: "genre 1" in (genres or []),
    'genres in ("genre 0", "genre 4")': lambda genres, **_: bool({"genre 0", "genre 4"} & set(genres or [])),
    '"genre 1" not in genres and "genre 2" in genres': lambda genres, **_: (
        bool(genres) and "genre 1" not in genres and "genre 2" in genres
    ),
    'price < 20 and brand in ("brand 1", "brand 2") and not sold_out': lambda price, brand, sold_out, **_: (
        price is not None and price < 20 and brand in ("brand 1", "brand 2") and sold_out is not True
    ),
    "genres is missing": lambda genres, **_: genres is None,
    "not (price < 20 or (stock > 100 and not sold_out))": lambda price, stock, sold_out, **_: (
        not ((price is not None and price < 20) or (stock > 100 and sold_out is not True))
    ),
}


@pytest.fixture(params=PARAMETERS)
def where(request, tmp_path):
    yield from place(request.param, tmp_path, request)


@pytest.fixture(scope="module")
def rows():
    return make_rows()


@pytest.fixture(scope="module", params=PARAMETERS)
def full(request, tmp_path_factory, rows):
    """Store of all rows, which tests only read."""
    for one in place(request.param, tmp_path_factory.mktemp("full"), request):
        with one.open(dim=DIM, columns=COLUMNS) as store:
            texts = [f"red shoe {n}" if n % 10 == 0 else f"blue hat {n}" for n in range(len(rows["ids"]))]
            assert store.put(**rows, texts=texts) == len(rows["ids"])
            yield store


@pytest.fixture
def small(where):
    """Empty store of four columns."""
    with where.open(dim=4, columns={"price": "float", "brand": "str", "sold_out": "bool", "genres": "tags"}) as store:
        yield store


def unit(*at, dim=4):
    vectors = np.zeros((len(at), dim), np.float32)
    vectors[range(len(at)), at] = 1
    return vectors


def test_most_of_the_nearest_are_there(full, rows):
    queries = np.random.default_rng(1).normal(size=(40, DIM)).astype(np.float32)
    results = full.search(queries, 10)
    assert recall(results, [nearest(rows, query, 10) for query in queries]) >= 0.95
    for query, result in zip(queries, results, strict=True):
        scores = dict(zip(rows["ids"], rows["vectors"] @ query, strict=True))
        np.testing.assert_allclose([m.score for m in result], [scores[m.id] for m in result], rtol=1e-4, atol=1e-4)
        assert [m.score for m in result] == sorted((m.score for m in result), reverse=True)


@pytest.mark.parametrize("source", ['brand == "brand 3"', "price < 25", "stock < 3"])
def test_a_filter_that_leaves_little_loses_nothing(full, rows, source):
    condition = {
        'brand == "brand 3"': lambda brand, **_: brand == "brand 3",
        "price < 25": lambda price, **_: price is not None and price < 25,
        "stock < 3": lambda stock, **_: stock < 3,
    }[source]
    queries = np.random.default_rng(2).normal(size=(40, DIM)).astype(np.float32)
    keep = holds(rows, condition)
    results = full.search(queries, 10, source)
    assert recall(results, [nearest(rows, query, 10, keep) for query in queries]) >= (0.95 if keep.mean() >= 0.1 else 1)


@pytest.mark.parametrize("source", FILTERS)
def test_filters_hold_as_in_python(full, rows, source):
    keep = holds(rows, FILTERS[source])
    assert 0 < keep.sum() < len(keep)
    assert full.count(source) == keep.sum()
    results = full.search(rows["vectors"][:1], 30, source)
    assert {match.id for match in results[0]} <= {id_ for id_, one in zip(rows["ids"], keep, strict=True) if one}
    assert len(results[0]) == min(30, keep.sum())


def test_the_longest_and_deepest_filter_is_answered(full):
    every = " or ".join(["stock >= 0", *["price == -1"] * (MAX_COMPARISONS - 1)])
    assert full.count("not (not (" * 12 + every + "))" * 12) == full.count("stock >= 0")


def test_words_are_searched_under_filters(full, rows):
    (result,) = full.search_text(["RED boots"], 10_000)
    assert {match.id for match in result} == {f"item {n}" for n in range(0, len(rows["ids"]), 10)}
    (result,) = full.search_text(["red 20"], 5)
    assert result[0].id == "item 20"
    keep = holds(rows, lambda price, **_: price is not None and price < 20)
    (result,) = full.search_text(["red"], 10_000, "price < 20")
    assert {match.id for match in result} == {f"item {n}" for n in range(0, len(keep), 10) if keep[n]}
    assert full.search_text(["nothing", "", "!?"], 5) == [[], [], []]


def test_rows_come_back_as_they_were_put(full, rows):
    for number in (0, 1, 2, 17, 299):
        (item,) = full.get([rows["ids"][number]])
        assert item.columns == {name: values[number] for name, values in rows["columns"].items()}
        assert item.text is not None
        np.testing.assert_allclose(item.vector, rows["vectors"][number], rtol=1e-6)
    assert full.get(["item 1", "no item", "item 0"])[1] is None


def test_an_update_replaces_the_row_whole(small):
    small.put(["a", "b"], unit(0, 1), {"price": [1.0, 2.0], "brand": ["x", "y"]}, ["old words", "other"])
    small.put(["a"], unit(2), [{"price": 5.0}], ["fresh words"])
    assert small.count() == 2
    assert [match.id for match in small.search(unit(2), 1)[0]] == ["a"]
    assert small.search(unit(0), 1)[0][0].score == 0
    assert small.get(["a"])[0].columns == {"price": 5.0, "brand": None, "sold_out": None, "genres": None}
    assert [match.id for match in small.search_text(["old"], 5)[0]] == []
    assert [match.id for match in small.search_text(["fresh"], 5)[0]] == ["a"]
    assert small.count("price < 4") == 1
    small.put(["a"], unit(3))
    assert small.search_text(["fresh"], 5) == [[]]
    assert small.get(["a"])[0].text is None


def test_deleted_rows_are_gone(small):
    small.put(["a", "b", "c"], unit(0, 1, 2), texts=["one word", "two word", "three word"])
    assert small.delete(["b", "no such id"]) == 1
    assert small.delete(["b"]) == 0
    assert small.count() == 2
    assert small.get(["b"]) == [None]
    assert {match.id for match in small.search(unit(1), 10)[0]} == {"a", "c"}
    assert {match.id for match in small.search_text(["word"], 10)[0]} == {"a", "c"}
    small.put(["b"], unit(3))
    assert small.search(unit(3), 1)[0][0].id == "b"


def test_hard_ids_and_values_come_back(small):
    vectors = np.random.default_rng(0).normal(size=(len(HARD_IDS), 4)).astype(np.float32)
    small.put(HARD_IDS, vectors, {"brand": HARD_IDS, "genres": [[id_] for id_ in HARD_IDS]}, HARD_IDS)
    for number, id_ in enumerate(HARD_IDS):
        (item,) = small.get([id_])
        assert (item.id, item.columns["brand"], item.columns["genres"], item.text) == (id_, id_, [id_], id_)
        tree = {"and": [{"==": ["brand", id_]}, {"in": ["genres", [id_]]}, {"in": ["id", [id_]]}]}
        assert [match.id for match in small.search(vectors[number : number + 1], 5, tree)[0]] == [id_]
        assert small.count({"==": ["id", id_]}) == 1
    assert small.delete(HARD_IDS) == len(HARD_IDS)


def test_whole_numbers_as_ids(where):
    with where.open(dim=4, ids="int") as store:
        store.put(np.array([5, -3, 2**60]), unit(0, 1, 2))
        assert [match.id for match in store.search(unit(2), 1)[0]] == [2**60]
        assert store.count("id in (5, 7) or id == -3") == 2
        assert store.get([5])[0].id == 5
        with pytest.raises(InputError, match="whole numbers"):
            store.get(["5"])


def test_cosine_ignores_lengths(where):
    with where.open(dim=4, metric="cosine") as store:
        store.put(["short", "long", "zero"], [[0.1, 0, 0, 0], [50.0, 50, 0, 0], [0, 0, 0, 0]])
        matches = store.search([[2.0, 0, 0, 0]], 2)[0]
        assert [match.id for match in matches] == ["short", "long"]
        np.testing.assert_allclose([match.score for match in matches], [1, 2**-0.5], rtol=1e-5)


def test_hybrid_merges_both_ranks(small):
    small.put(["a", "b", "c"], [[1, 0, 0, 0], [0.9, 0, 0, 0], [0, 1, 0, 0]], texts=["plum", "pear tree", "pear"])
    ids = [match.id for match in small.hybrid([[1, 0, 0, 0]], ["pear tree"], 3)[0]]
    assert ids[0] == "b"  # second by its vector, first by its words
    assert small.hybrid([[1, 0, 0, 0]], ["pear"], 3, weights=(1, 0))[0][0].id == "a"
    assert small.hybrid([[1, 0, 0, 0]], ["pear"], 3, 'id == "c"')[0][0].id == "c"


def test_reopening_finds_all(where):
    with where.open(dim=4, columns={"price": "float"}, source={"run": "abc"}) as store:
        store.put(["a", "b"], unit(0, 1), {"price": [1.0, 2.0]}, ["pear", "plum"])
        store.delete(["b"])
    with where.open() as store:
        assert (store.count(), store.about.dim, store.about.source) == (1, 4, {"run": "abc"})
        assert store.about.columns == {"price": "float"}
        assert store.search(unit(0), 5)[0][0].id == "a"
        assert len(store.search_text(["pear plum"], 5)[0]) == 1
        store.put(["c"], unit(2))
        assert store.count() == 2


def test_another_store_is_not_opened(where):
    where.open(dim=4, columns={"price": "float"}).close()
    with pytest.raises(InputError, match="dim 4, not 5"):
        where.open(dim=5)
    with pytest.raises(InputError, match="metric 'ip', not 'cosine'"):
        where.open(dim=4, metric="cosine")
    with pytest.raises(InputError, match="columns"):
        where.open(dim=4, columns={})


def test_no_store_is_made_without_a_width(where):
    with pytest.raises(InputError, match="dim"):
        where.open()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda store: store.put(["a"], [[1, 2, 3]]), "vectors have 3 numbers"),
        (lambda store: store.put(["a"], [[np.nan] * DIM]), "1 of 1 vectors hold NaN"),
        (lambda store: store.put(["a"], [[1e39] * DIM]), "infinite"),
        (lambda store: store.put(["a", "a"], unit(0, 1, dim=DIM)), "1 ids are given more than once"),
        (lambda store: store.put(["a"], unit(0, 1, dim=DIM)), "2 vectors and 1 ids"),
        (lambda store: store.put([1], unit(0, dim=DIM)), "ids of this store are strings"),
        (lambda store: store.put([""], unit(0, dim=DIM)), "0 bytes"),
        (lambda store: store.put(["é" * 300], unit(0, dim=DIM)), "600 bytes"),
        (lambda store: store.put(["a\0b"], unit(0, dim=DIM)), "U\\+0000"),
        (lambda store: store.put(["\ud800"], unit(0, dim=DIM)), "half a character"),
        (lambda store: store.put(["a"], unit(0, dim=DIM), {"price": ["cheap"]}), "the value 'cheap', a str"),
        (lambda store: store.put(["a"], unit(0, dim=DIM), {"price": [np.nan]}), "finite"),
        (lambda store: store.put(["a"], unit(0, dim=DIM), {"prize": [1.0]}), "did you mean 'price'"),
        (lambda store: store.put(["a"], unit(0, dim=DIM), texts=[5]), "text '5' is a int"),
        (lambda store: store.search([[np.inf] * DIM]), "NaN or infinite"),
        (lambda store: store.search(unit(0, dim=5)), "vectors have 5 numbers"),
        (lambda store: store.search(unit(0, dim=DIM), 10**9), "between 1 and 10,000"),
        (lambda store: store.search(unit(0, dim=DIM), 0), "between 1 and"),
        (lambda store: store.search_text("pear"), "one string"),
        (lambda store: store.search(unit(0, dim=DIM), 5, "prize < 5"), "did you mean 'price'"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_and_change_nothing(full, call, message):
    n = full.count()
    with pytest.raises(InputError, match=message):
        call(full)
    assert full.count() == n


def test_more_than_there_is_gives_all(small):
    assert small.search(unit(0), 10_000) == [[]]
    small.put(["a", "b"], unit(0, 1), pl.DataFrame({"price": [1.0, None]}))
    assert len(small.search(unit(0), 10_000)[0]) == 2
    assert len(small.search(unit(0), 10_000, "price is missing")[0]) == 1


def test_threads_share_a_store(small):
    def work(number):
        for n in range(10):
            small.put([f"{number} {n}"], unit(n % 4), texts=["pear"])
            assert small.search(unit(0), 3)[0]

    errors = []
    threads = [threading.Thread(target=lambda number=number: _noting(errors, work, number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert small.count() == 40


def _noting(errors, work, *arguments):
    try:
        work(*arguments)
    except Exception as error:
        errors.append(error)


def test_a_killed_process_loses_nothing_that_was_acknowledged(where):
    where.open(dim=4).close()
    command = [sys.executable, "-c", PUTS, where.address, where.kind, where.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=repository()) as process:
        acknowledged = [int(process.stdout.readline()) for _ in range(25)][-1]
        process.kill()
        left = process.stdout.read().split()
    acknowledged = int(left[-1]) if left else acknowledged
    with where.open() as store:
        expected = [f"item {number}" for number in range(acknowledged + 1)]
        assert all(item is not None for item in store.get(expected))
        assert store.count() in (acknowledged + 1, acknowledged + 2)  # one may have been stored and not yet said
        assert store.search_text([f"text {acknowledged}"], 1)[0][0].id == expected[-1]
        assert expected[-1] in {match.id for match in store.search(np.ones((1, 4)), 2)[0]}
        store.put(["afterwards"], unit(0))
        assert store.get(["afterwards"])[0] is not None
