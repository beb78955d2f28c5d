"""Items of four topics in words, a log of them, and a text encoder that counts words."""

import hashlib

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb

TOPICS = {
    "nails": "red nail polish lacquer gloss shimmer",
    "hair": "hair shampoo curl brush shine dryer",
    "tools": "steel drill hammer screw wrench saw",
    "print": "filament printer plastic spool nozzle resin",
}


def item_table(n=24):
    """One row an item: four words of its topic, an own number, and brands as lists."""
    random, names = np.random.default_rng(0), list(TOPICS)
    rows = []
    for item in range(n):
        words = TOPICS[names[item % 4]].split()
        title = " ".join(random.permutation(words)[:4])
        rows.append((item, names[item % 4], f"<b>{title}</b> &amp; model {item}", [f"brand{item % 3}", None, "co"]))
    schema = {"item_id": pl.Int64, "topic": pl.String, "title": pl.String, "brands": pl.List(pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def topic_log(n_users=40, n_items=20, seed=0):
    """Users who stay with one topic; items from ``n_items`` on are not in the log."""
    random, rows = np.random.default_rng(seed), []
    for user in range(n_users):
        mine = np.arange(user % 4, n_items, 4)
        rows += [(user, int(item), 100 * at) for at, item in enumerate(random.permutation(mine))]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@pytest.fixture(scope="session")
def texts_log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts") / "data"
    return rb.prepare(topic_log(), items=item_table(), item_features={"text": ["title", "brands"]}, out=folder)


class CountingEncoder:
    """Vectors of texts by the hashes of their words, with a common part, as raw sentence vectors have."""

    def __init__(self, digest="one", scale=1.0):
        self.digest, self.scale, self.n_encoded = digest, scale, 0

    def encode(self, texts):
        self.n_encoded += len(texts)
        vectors = np.ones((len(texts), 16), np.float32) * 5
        for row, text in enumerate(texts):
            for word in text.lower().split():
                seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little")
                vectors[row] += np.random.default_rng(seed).normal(size=16) * self.scale
        return vectors


@pytest.fixture
def encoder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return CountingEncoder()
