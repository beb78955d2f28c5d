"""A service as a process: it ends gracefully, survives a kill, and loads new runs without losing a request."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.cli import main
from pipelines.serve import Config, run
from recsys_bert.errors import InputError

pytestmark = pytest.mark.slow


class Process:
    """`recsys-bert serve` on a free port of the loopback."""

    def __init__(self, *flags):
        command = [sys.executable, "-m", "pipelines.cli", "serve", *map(str, flags), "--port", "0"]
        self.child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.lines = []
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self.lines.append(line)
            if match := re.search(r"on (http://127\.0\.0\.1:\d+)", line):
                self.url = match[1]
                break
        else:
            raise AssertionError("".join(self.lines))
        threading.Thread(target=lambda: self.lines.extend(self.child.stderr), daemon=True).start()

    def post(self, path, **body):
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as response:
            return response.read()

    def end(self, number=signal.SIGTERM):
        self.child.send_signal(number)
        status = self.child.wait(60)
        time.sleep(0.1)
        return status


@pytest.fixture
def started():
    processes = []

    def start(*flags):
        processes.append(Process(*flags))
        return processes[-1]

    yield start
    for process in processes:
        process.child.kill()
        process.child.wait()
        process.child.stderr.close()


def test_events_survive_a_kill_and_sigterm_answers_what_was_accepted(started, click_runs, tmp_path):
    flags = (click_runs / "towers", "--data", click_runs / "data", "--state", tmp_path / "state.db")
    first = started(*flags)
    before = first.post("/recommend", user_id=9, k=3)
    clicked = before["lists"][0]["items"][0]["item_id"]
    assert first.post("/events", events=[{"user_id": 9, "item_id": clicked}])["durable"]
    after = first.post("/recommend", user_id=9, k=3)
    assert after != before
    assert first.end(signal.SIGKILL) == -signal.SIGKILL

    second = started(*flags, "--wait-ms", "0")
    assert second.post("/recommend", user_id=9, k=3) == after
    assert b"recsys_bert_ready 1.0" in second.get("/metrics")
    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(second.post, "/recommend", users=list(range(1, 60)), k=50) for _ in range(16)]
        time.sleep(0.2)
        assert second.end() == 0
        results = [answer.exception() or answer.result() for answer in answers]
    lists = [result for result in results if isinstance(result, dict)]
    assert all(isinstance(result, dict | urllib.error.URLError | ConnectionError) for result in results)
    assert lists
    assert "stopped: every accepted request was answered.\n" in second.lines
    assert not [line for line in second.lines if "Traceback" in line]


def test_a_link_that_moves_loads_the_new_run_without_losing_a_request(started, click_runs, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(click_runs / "towers")
    process = started(link, "--data", click_runs / "data", "--watch-s", "0.1")
    expected = dict.fromkeys(("towers", "fused"))
    expected["towers"] = process.post("/recommend", user_id=9, k=3)
    results, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            results.append(process.post("/recommend", user_id=9, k=3))
            time.sleep(0.02)

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        (tmp_path / "next").symlink_to(click_runs / "fused")
        os.replace(tmp_path / "next", link)
        deadline = time.monotonic() + 200
        while json.loads(process.get("/ready"))["generation"] < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        generation = json.loads(process.get("/ready"))["generation"]
        expected["fused"] = process.post("/recommend", user_id=9, k=3)
        stop.set()
        for one in asking:
            one.result()
    assert generation == 2, process.lines
    assert expected["fused"] != expected["towers"]
    ids = {name: [item["item_id"] for item in answer["lists"][0]["items"]] for name, answer in expected.items()}
    assert {tuple(item["item_id"] for item in answer["lists"][0]["items"]) for answer in results} <= {
        tuple(one) for one in ids.values()
    }
    assert process.end(signal.SIGINT) == 0


def test_a_damaged_run_is_not_loaded_and_the_earlier_one_goes_on(click_runs, opened, tmp_path):
    shutil.copytree(click_runs / "towers", tmp_path / "towers")
    http = opened(Config(runs=(str(tmp_path / "towers"),), data=click_runs / "data"))
    before = http.ok("/recommend", user_id=9)
    weights = tmp_path / "towers" / "two_tower" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    status, answer = http.post("/reload")
    assert status == 409
    assert "the earlier ones go on" in answer["error"]
    assert http.ok("/recommend", user_id=9) == before
    ready = http("GET", "/ready").json()
    assert (ready["ready"], ready["generation"]) == (True, 1)
    assert "model.safetensors" in ready["last_error"]
    shutil.copy2(click_runs / "towers" / "two_tower" / "model.safetensors", weights)
    assert http.post("/reload")[1]["generation"] == 2
    assert http.ok("/recommend", user_id=9) == before


def test_a_fault_while_loading_does_not_end_the_watch(click_runs, opened, tmp_path, monkeypatch):
    shutil.copytree(click_runs / "towers", tmp_path / "towers")
    service = opened(Config(runs=(str(tmp_path / "towers"),), data=click_runs / "data")).service
    seal, open_runs, opened_runs = tmp_path / "towers" / "two_tower" / "checksums.sha256", service._open, []

    def fail_once(generation):
        opened_runs.append(generation)
        if len(opened_runs) == 1:
            raise ValueError("a fault")
        return open_runs(generation)

    async def until(condition):
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)

    async def scene():
        os.utime(seal, (1, 1))  # between the opening and the first look
        watch = asyncio.ensure_future(service.watch(0.01))
        await until(lambda: service.last_error == "a fault")
        os.utime(seal, (2, 2))
        await until(lambda: service.runs.generation == 2)
        watch.cancel()

    monkeypatch.setattr(service, "_open", fail_once)
    asyncio.run(scene())
    assert service.last_error is None


def test_what_cannot_be_served_is_refused_before_any_work(click_runs, text_runs, other_vocabulary, capsys, tmp_path):
    towers, data = str(click_runs / "towers"), click_runs / "data"
    with socket.socket() as taken_port:
        taken_port.bind(("127.0.0.1", 0))
        taken_port.listen()
        with pytest.raises(InputError, match="is in use"):
            run(Config(runs=(towers,), data=data, port=taken_port.getsockname()[1]))
    cases = {
        "no run is named": Config(),
        "two runs are called 'towers'": Config(runs=(towers, f"towers={click_runs / 'fused'}")),
        "there is no run folder": Config(runs=(str(tmp_path / "none"),)),
        "needs its prepared log": Config(runs=(towers,)),
        "trained on the vocabulary": Config(runs=(towers,), data=other_vocabulary),
        "there is no API key": Config(runs=(towers,), data=data, host="0.0.0.0"),
        "cannot be bound": Config(runs=(towers,), data=data, host="192.0.2.1", without_key=True),
        "cannot be used for events": Config(runs=(towers,), data=data, state=tmp_path / "no" / "state.db"),
        "cannot be read": Config(runs=(towers,), data=data, api_key_file=tmp_path / "none"),
    }
    for message, config in cases.items():
        with pytest.raises(InputError, match=message):
            run(Config(**{**vars(config), "port": 0}))
    (tmp_path / "key").write_text("short")
    with pytest.raises(InputError, match="16 or more"):
        run(Config(runs=(towers,), data=data, api_key_file=tmp_path / "key"))
    assert main(["serve", towers, "--data", str(data), "--limits.k", "0"]) == 2
    assert "limits.k is 0" in capsys.readouterr().err
