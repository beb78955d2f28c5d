"""Words of stores, and the fusion of ranks."""

import pytest

from recsys_bert.stores.rank_fusion import fuse_ranks
from recsys_bert.stores.words import MAX_QUERY_WORDS, index_words, query_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red SHOES, red-hot 4½", ["red", "shoes", "red", "hot", "41", "2"]),
        ("Straße ＡＢＣ ﬁne", ["strasse", "abc", "fine"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("红色跑鞋 nike", ["红", "色", "跑", "鞋", "红色", "色跑", "跑鞋", "nike"]),
        ("", []),
        ('"; -- \x00\x1f', []),
    ],
)
def test_texts_are_cut_in_any_language(text, words):
    assert index_words(text) == words


def test_queries_of_scripts_without_spaces_are_pairs():
    assert query_words("跑鞋店 跑鞋店") == ["跑鞋", "鞋店"]
    assert query_words("鞋 Red red") == ["鞋", "red"]
    assert set(query_words("跑鞋")) <= set(index_words("红色跑鞋"))
    assert len(query_words(" ".join(map(str, range(500))))) == MAX_QUERY_WORDS


def test_ranks_are_fused_as_in_the_paper():
    fused = dict(fuse_ranks([["a", "b"], ["b", "c"]], (1.0, 1.0)))
    assert fused == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62})
    assert [one for one, _ in fuse_ranks([["a", "b"], ["b", "c"]], (3.0, 1.0))] == ["b", "a", "c"]
    assert fuse_ranks([["a"], ["b"]], (0.0, 2.0)) == [("b", 2 / 61)]
