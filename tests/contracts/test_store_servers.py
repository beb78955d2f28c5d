"""Servers that end by kill -9 while rows are put, and come back."""

import threading

import numpy as np
import pytest
from contracts.store_servers import MODULES, Place

from recsys_bert.stores.backend import StoreUnavailable


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["milvus", "postgres"])
def test_a_server_that_is_killed_loses_nothing_and_comes_back(kind, request):
    pytest.importorskip(MODULES[kind], reason=f"extra '{kind}' is not installed")
    server = request.getfixturevalue(f"{kind}_server")
    place, acknowledged, enough = Place(kind, server.address), [], threading.Event()
    with place.open(dim=4, columns={"price": "int"}) as store:

        def put():
            number = 0
            while True:
                try:
                    store.put([f"item {number}"], np.full((1, 4), number), {"price": [number]}, [f"text {number}"])
                except StoreUnavailable:
                    return
                acknowledged.append(f"item {number}")
                number += 1
                if number == 20:
                    enough.set()

        thread = threading.Thread(target=put)
        thread.start()
        assert enough.wait(60)
        server.kill()
        thread.join(120)
        assert not thread.is_alive()
        for call in (store.count, lambda: store.search(np.ones((1, 4))), lambda: store.put(["a"], np.ones((1, 4)))):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                call()
        server.start()
        assert all(item is not None for item in store.get(acknowledged))
        assert store.count() - len(acknowledged) in (0, 1)
        assert store.search_text([acknowledged[-1].replace("item", "text")], 1)[0][0].id == acknowledged[-1]
        store.put(["new"], np.full((1, 4), 1e4))
        assert store.search(np.ones((1, 4)), 1)[0][0].id == "new"


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("postgres", "postgresql://postgres@127.0.0.1:1/postgres"),
        ("milvus", "http://127.0.0.1:1"),
        ("elastic", "http://127.0.0.1:1"),
    ],
)
def test_a_server_that_is_not_there_is_named(kind, address):
    pytest.importorskip(MODULES[kind], reason=f"extra '{kind}' is not installed")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        Place(kind, address).open(dim=4)
