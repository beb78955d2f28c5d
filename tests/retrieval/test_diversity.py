"""MMR and caps against a greedy loop by the formula."""

import numpy as np
import pytest

from recsys_bert.errors import InputError
from recsys_bert.retrieval import diversity as module
from recsys_bert.retrieval.diversity import Cap, caps, diverse_lists
from recsys_bert.retrieval.exact import exact_top_k
from recsys_bert.retrieval.lister import ListSettings


@pytest.fixture
def vectors():
    random = np.random.default_rng(0)
    return random.normal(size=(7, 6)).astype(np.float32), random.normal(size=(240, 6)).astype(np.float32)


def by_hand(scores, items, k, diversity, groups, most):
    """One greedy list over all items."""
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    listed = []
    while len(listed) < k:
        best, best_value = None, -np.inf
        for item in range(len(items)):
            same = sum(bool(set(groups[item]) & {group}) for other in listed for group in groups[other])
            full = any(sum(group in groups[other] for other in listed) >= most for group in groups[item])
            redundancy = max((float(unit[item] @ unit[other]) for other in listed), default=0.0)
            value = (1 - diversity) * relevance[item] - diversity * redundancy
            if item not in listed and not full and value > best_value:
                best, best_value = item, value
            assert same >= 0
        if best is None:
            break
        listed.append(best)
    return listed


@pytest.mark.parametrize(("diversity", "most"), [(0.0, 2), (0.5, 99), (0.3, 1), (0.95, 3)])
def test_lists_are_those_of_the_greedy_loop(vectors, diversity, most, monkeypatch):
    users, items = vectors
    monkeypatch.setattr(module, "_CELLS", 240 * 6 * 2)
    monkeypatch.setattr(module, "_POOL", 240)  # every item is a candidate, as in the loop
    groups = [{item % 4, 4 + item % 3} if item % 7 else set() for item in range(240)]
    codes = np.array([sorted(group) if group else [-1, -1] for group in groups], np.int32)
    rows, scores = diverse_lists(
        lambda size: exact_top_k(users, items, size), items, 6, 240, diversity, [Cap(most, codes)]
    )
    for user, line in enumerate(rows):
        assert line.tolist() == by_hand(users[user] @ items.T, items, 6, diversity, groups, most)
        np.testing.assert_allclose(scores[user], (users[user] @ items.T)[line], rtol=1e-5)


def test_more_candidates_are_searched_where_a_cap_leaves_lists_short(vectors):
    users, items = vectors[0][:1], vectors[1]
    codes = np.zeros((240, 1), np.int32)
    codes[np.argsort(-(users @ items.T)[0])[200:]] = 1  # the other value is far down
    sizes = []

    def search(size):
        sizes.append(size)
        return exact_top_k(users, items, size)

    rows, _ = diverse_lists(search, items, 4, 240, 0.0, [Cap(2, codes)])
    assert sizes == [100, 240]
    assert (np.sort(codes[rows, 0], axis=1) == [0, 0, 1, 1]).all()
    rows, scores = diverse_lists(search, items, 6, 240, 0.0, [Cap(2, codes)])
    assert ((rows >= 0).sum(axis=1) == 4).all()  # no more can be had
    assert (scores[rows < 0] == -np.inf).all()


def test_caps_know_every_value_of_an_item(side_log):
    (cap,) = caps(side_log, {"tags": 1})
    first = side_log.vocabulary.first_item
    values = [set(line[line >= 0]) for line in cap.codes[first:]]
    by_item = side_log.items.select("item_id", "tags").to_dicts()
    for one in by_item:
        for other in by_item:
            rows = [side_log.rows([line["item_id"]])[0] - first for line in (one, other)]
            shared = set(one["tags"].split("|")) & set(other["tags"].split("|"))
            assert bool(values[rows[0]] & values[rows[1]]) == bool(shared)


def test_settings_that_make_no_list_are_refused(side_log):
    with pytest.raises(InputError, match=r"diversity is 1.0; it must lie in \[0, 1\)"):
        ListSettings(diversity=1.0)
    with pytest.raises(InputError, match="max_per of kind is 0"):
        caps(side_log, {"kind": 0})
