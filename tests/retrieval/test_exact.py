"""Exact full ranking against sorting everything."""

import numpy as np
import pytest

from recsys_bert.errors import InputError
from recsys_bert.retrieval import exact
from recsys_bert.retrieval.exact import exact_top_k


def plain(users, items, k, first_item, seen):
    """Sort all rows by score, then by row; one user at a time."""
    hidden = set(zip(*(part.tolist() for part in seen), strict=True)) if seen else set()
    rows = np.full((len(users), k), -1)
    for user, vector in enumerate(users):
        left = [row for row in range(first_item, len(items)) if (user, row) not in hidden]
        best = sorted(left, key=lambda row: (-float(vector @ items[row]), row))[:k]
        rows[user, : len(best)] = best
    return rows


@pytest.fixture(params=[(512, 1 << 17), (4, 7), (1, 1), (5, 60)], ids=str)
def chunks(request, monkeypatch):
    """Chunks of users and items, from everything at once to one by one."""
    monkeypatch.setattr(exact, "_USERS", request.param[0])
    monkeypatch.setattr(exact, "_ITEMS", request.param[1])


@pytest.fixture
def vectors():
    """Small whole numbers: exact in float32, and full of ties."""
    random = np.random.default_rng(0)
    return random.integers(-1, 2, (11, 3)).astype(np.float32), random.integers(-2, 3, (60, 3)).astype(np.float32)


@pytest.fixture
def seen():
    """Rows that users 0 to 9 had; user 2 had all but four, and some are special or beyond the table."""
    random = np.random.default_rng(1)
    pairs = {(int(user), int(row)) for user, row in zip(random.integers(0, 10, 150), random.integers(0, 66, 150))}  # noqa: B905
    pairs |= {(2, row) for row in range(56)}
    pairs -= {(2, row) for row in range(56, 66)}
    ordered = np.array(sorted(pairs))
    return ordered[:, 0], ordered[:, 1].astype(np.int32)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("k", [1, 5, 57])
def test_lists_are_those_of_a_full_sort(vectors, seen, k):
    users, items = vectors
    for hidden in (None, seen):
        rows, scores = exact_top_k(users, items, k, first_item=3, seen=hidden)
        np.testing.assert_array_equal(rows, plain(users, items, k, 3, hidden))
        assert rows.dtype == np.int32
        there = rows >= 0
        assert (scores[~there] == -np.inf).all()
        np.testing.assert_array_equal(scores[there], (users @ items.T)[np.nonzero(there)[0], rows[there]])


@pytest.mark.usefixtures("chunks")
def test_equal_scores_go_by_row():
    rows, _ = exact_top_k(np.ones((3, 2), np.float32), np.ones((60, 2), np.float32), 9, first_item=2)
    assert (rows == np.arange(2, 11)).all()


@pytest.mark.usefixtures("chunks")
def test_a_user_who_saw_almost_everything_gets_what_is_left(vectors, seen):
    rows, scores = exact_top_k(*vectors, 10, first_item=3, seen=seen)
    assert sorted(rows[2][:4]) == [56, 57, 58, 59]
    assert (rows[2][4:] == -1).all()
    assert (scores[2][4:] == -np.inf).all()


def test_random_vectors_at_full_width():
    random = np.random.default_rng(2)
    users, items = random.normal(size=(30, 16)).astype(np.float32), random.normal(size=(500, 16)).astype(np.float32)
    rows, _ = exact_top_k(users, items, 20)
    best = np.argsort(-(users.astype(np.float64) @ items.T.astype(np.float64)), axis=1)[:, :20]
    np.testing.assert_array_equal(rows, best)


@pytest.mark.parametrize("k", [0, 58, 1000])
def test_k_beyond_the_catalogue_is_refused(vectors, k):
    with pytest.raises(InputError, match=f"k is {k}; the catalogue has 57 items"):
        exact_top_k(*vectors, k, first_item=3)


@pytest.mark.usefixtures("chunks")
def test_only_allowed_rows_are_listed(vectors, seen):
    users, items = vectors
    allowed = np.random.default_rng(3).random(60) < 0.3
    allowed[0] = True  # a special row, which nothing may list all the same
    denied = np.flatnonzero(~allowed)
    pairs = [*zip(*(part.tolist() for part in seen), strict=True), *((u, int(r)) for u in range(11) for r in denied)]
    every = tuple(np.array(sorted(set(pairs))).T)
    rows, scores = exact_top_k(users, items, 9, first_item=3, seen=seen, allowed=allowed)
    np.testing.assert_array_equal(rows, plain(users, items, 9, 3, every))
    assert (scores[rows < 0] == -np.inf).all()
    n_left = int(allowed[3:].sum())
    with pytest.raises(InputError, match=f"only and without leave {n_left} items"):
        exact_top_k(users, items, n_left + 1, first_item=3, allowed=allowed)
