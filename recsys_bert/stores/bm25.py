"""BM25 (Robertson and Zaragoza, 2009, https://doi.org/10.1561/1500000019), for databases without it."""

import math
from collections.abc import Iterable, Mapping, Sequence

from recsys_bert.stores.backend import Scored

K1, B = 1.2, 0.75
"""As SQLite's FTS5 and Elasticsearch have them."""


def bm25(
    words: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], frequency: Mapping[str, int], n: int, mean: float
) -> Scored:
    """Score rows that hold some of the words; inverse document frequency as in Lucene, which is never negative.

    Args:
        words: Words of the query, distinct.
        rows: Key and words of each row.
        frequency: Number of texts that hold each word of the query.
        n: Number of texts.
        mean: Mean number of words of a text.

    Returns:
        Keys with scores, best first, equal ones by key.
    """
    weights = {word: math.log(1 + (n - frequency[word] + 0.5) / (frequency[word] + 0.5)) for word in words}
    scored = []
    for key, text in rows:
        length = K1 * (1 - B + B * len(text) / max(mean, 1e-9))
        counts = {word: text.count(word) for word in words}
        score = sum(weights[word] * n_times * (K1 + 1) / (n_times + length) for word, n_times in counts.items())
        scored.append((key, score))
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))
