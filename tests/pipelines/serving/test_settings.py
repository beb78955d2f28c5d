"""Every setting of `serve`: changed, and its effect seen."""

import asyncio
import dataclasses
import shutil
import socket

import pytest
import torch

import recsys_bert as rb
from pipelines import serve
from pipelines.cli import main
from pipelines.serve import Config
from pipelines.serving.limits import Limits
from recsys_bert.errors import InputError
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.stages.store_items import store_items

KEY = "a-key-of-sixteen-characters"


@pytest.fixture
def towers(click_runs, opened):
    """Open a service of the towers with settings: ``towers(batch=1)``."""

    def build(*, key=None, **settings):
        config = {"runs": (str(click_runs / "towers"),), "data": click_runs / "data", **settings}
        return opened(Config(**config), key=key)

    return build


@pytest.fixture
def commanded(click_runs, monkeypatch):
    """Run the command with settings and see what it would serve: socket, application, seconds to drain."""
    served = {}

    def serve_nothing(app, bound, drain_s):
        served.update(app=app, address=bound.getsockname(), drain_s=drain_s)

    monkeypatch.setattr("pipelines.serving.server.serve", serve_nothing)
    monkeypatch.setattr("pipelines.serving.mcp_tools.serve_mcp", lambda service: served.update(mcp=service))
    monkeypatch.delenv("RECSYS_BERT_API_KEY", raising=False)

    def run(**settings):
        served.clear()
        config = {"runs": (str(click_runs / "towers"),), "data": click_runs / "data", "port": 0, **settings}
        serve.run(Config(**config))
        return dict(served)

    return run


def together(http, n, **body):
    """Statuses of requests that are sent at once."""

    async def send():
        sent = (http.client.post("/recommend", json={"user_id": 1 + user, **body}) for user in range(n))
        return [response.status_code for response in await asyncio.gather(*sent)]

    return http.runner.run(send())


def test_runs(click_runs, towers):
    http = towers(runs=(f"other={click_runs / 'fused'}",))
    assert http.ok("/recommend", user_id=7)["run"] == "other"


def test_data(click_runs):
    with pytest.raises(InputError, match="a recommender needs its prepared log"):
        serve.open_service(Config(runs=(str(click_runs / "towers"),)))


def test_state(towers, tmp_path):
    event = {"user_id": 7, "item_id": 3}
    assert not towers().ok("/events", events=[event])["durable"]
    assert towers(state=tmp_path / "state.db").ok("/events", events=[event])["durable"]
    assert (tmp_path / "state.db").is_file()


def test_store_and_its_kind(click_runs, towers, tmp_path):
    store_items(rb.load(click_runs / "towers", click_runs / "data"), tmp_path / "store").close()
    assert "without a store" in towers().refused("/search", item_id=7)
    http = towers(store=str(tmp_path / "store"))
    assert len(http.ok("/search", item_id=7, k=3)["items"]) == 3
    with pytest.raises(InputError, match="store"):
        towers(store=str(tmp_path / "store"), store_kind="fais")


def test_item_vectors(towers, tmp_path):
    with pytest.raises(InputError, match="empty"):
        towers(item_vectors=tmp_path / "empty")
    assert "opened without text vectors" in towers().refused("/recommend", query="red")


def test_search_by_the_index_of_the_run(click_runs, towers, tmp_path):
    run, data = tmp_path / "towers", click_runs / "data"
    shutil.copytree(click_runs / "towers", run)
    body = {"users": [*range(1, 40)], "k": 3, "exclude_seen": False}
    exact = towers(runs=(str(run),)).ok("/recommend", **body)
    flat = towers(runs=(str(run),), search="index").ok("/recommend", **body)
    assert ids_of(exact) == ids_of(flat)
    flags = ("--run", str(run), "--data", str(data), "--factory", "IVF8,Flat", "--nprobe", "1")
    assert main(["index", *flags, "--out", str(run / "index")]) == 0
    coarse = towers(runs=(str(run),), search="index").ok("/recommend", **body)
    users = [one["user_id"] for one in exact["lists"]]
    expected = Recommender.load(run, data, run / "index").recommend(users, k=3, exclude_seen=False)
    assert ids_of(coarse) == [expected.filter(expected["user_id"] == user)["item_id"].to_list() for user in users]
    assert ids_of(coarse) != ids_of(exact)
    with pytest.raises(InputError, match="none of these runs has a folder 'index'"):
        towers(runs=(str(click_runs / "fused"),), search="index")


def ids_of(answer):
    return [[item["item_id"] for item in one["items"]] for one in answer["lists"]]


@pytest.mark.parametrize(
    ("settings", "largest"), [({}, 8), ({"batch": 3}, 3), ({"batch": 1}, 1), ({"batch_cost": 2}, 2)], ids=str
)
def test_batch_and_its_cost(towers, settings, largest):
    http = towers(wait_ms=60, **settings)
    assert together(http, 16) == [200] * 16
    sizes = http.service.models.counts.sizes
    assert max(sizes) == largest or (largest == 8 and max(sizes) >= 8)


def test_wait_ms(towers):
    http = towers(wait_ms=700)
    assert http.service.models.limits.wait_s == 0.7  # what it does: tests/serving/test_batcher.py


def test_queue(towers):
    assert together(towers(queue=100), 20) == [200] * 20
    assert {200, 503} == {*together(towers(queue=1), 20)}


def test_shed_ms(towers):
    for shed_ms, statuses in ((0, {200}), (0.001, {200, 503})):
        http = towers(shed_ms=shed_ms, batch=1)
        http.ok("/recommend", user_id=7)  # its time is known from here on
        assert {*together(http, 20)} == statuses


def test_timeout_s(towers):
    status, answer = towers(timeout_s=1e-9).post("/recommend", user_id=7)
    assert status == 504, answer


def test_threads(towers):
    before = torch.get_num_threads()
    try:
        towers(threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_host_port_and_drain_s(commanded):
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        free = other.getsockname()[1]
    served = commanded(host="127.0.0.2", port=free, drain_s=7.0)
    assert served["address"] == ("127.0.0.2", free)
    assert served["drain_s"] == 7.0


def test_mcp(commanded):
    assert {*commanded(mcp=True)} == {"mcp"}
    assert "mcp" not in commanded()


def test_keys(commanded, tmp_path, monkeypatch):
    (tmp_path / "key").write_text(KEY)
    guard = commanded(api_key_file=tmp_path / "key")["app"]
    assert guard.settings.key == KEY
    assert commanded()["app"].settings.key is None
    monkeypatch.setattr("pipelines.serving.server.is_loopback", lambda host: False)
    with pytest.raises(InputError, match="there is no API key"):
        commanded()
    assert commanded(without_key=True)["app"].settings.key is None


def test_a_key_is_asked_for(towers):
    http = towers(key=KEY)
    assert http.post("/recommend", user_id=7)[0] == 401
    headers = {"Authorization": f"Bearer {KEY}"}
    assert http("POST", "/recommend", json={"user_id": 7}, headers=headers).status_code == 200


def test_watch_s(click_runs, tmp_path):
    shutil.copytree(click_runs / "towers", tmp_path / "towers")
    config = {"runs": (str(tmp_path / "towers"),), "data": click_runs / "data"}
    for watch_s, reloads in ((0.02, True), (0.0, False)):
        service = serve.open_service(Config(**config, watch_s=watch_s))
        app = serve.build_app(Config(**config, watch_s=watch_s), service)
        assert asyncio.run(generation_after_a_change(app, service, tmp_path / "towers")) == 1 + reloads


async def generation_after_a_change(app, service, run):
    """Generation of the runs some time after a file of a run was written again."""
    sent = asyncio.Queue()
    await sent.put({"type": "lifespan.startup"})
    started = asyncio.Event()

    async def send(message):
        started.set()

    task = asyncio.ensure_future(app({"type": "lifespan"}, sent.get, send))
    await started.wait()
    (seal,) = run.glob("two_tower/checksums.sha256")
    seal.write_bytes(seal.read_bytes())
    for _ in range(60):
        await asyncio.sleep(0.02)
        if service.runs.generation > 1:
            break
    await sent.put({"type": "lifespan.shutdown"})
    await task
    return service.runs.generation


LIMITS = {
    "body_kib": ("/recommend", {"history": [3] * 1000}, 413),
    "texts": ("/events", {"events": [{"user_id": 7, "item_id": 3}] * 2}, 422),
    "characters": ("/recommend", {"query": "red"}, 422),
    "k": ("/recommend", {"user_id": 7, "k": 2}, 422),
    "lists": ("/recommend", {"users": [7, 8]}, 422),
    "history": ("/recommend", {"history": [3, 5], "k": 1}, 422),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(towers, name):
    path, body, refused = LIMITS[name]
    status, answer = towers(limits=Limits(**{name: 1})).post(path, **body)
    assert status == refused, answer
    assert "1" in answer["error"]
    if name != "characters":  # words need text vectors
        assert towers().post(path, **body)[0] == 200


def test_all_settings_are_here():
    tested = {"runs", "data", "item_vectors", "state", "store", "store_kind", "runtime", "search", "host", "port"}
    tested |= {"api_key_file", "without_key", "batch", "batch_cost", "wait_ms", "queue", "shed_ms", "timeout_s"}
    tested |= {"drain_s", "watch_s", "mcp", "threads", "limits", "map"}  # test_onnxruntime.py, test_page.py
    assert tested == {field.name for field in dataclasses.fields(Config)}
    assert {*LIMITS} == {field.name for field in dataclasses.fields(Limits)}
