"""Trained runs of every kind, and a client that talks to the application without a socket."""

import asyncio
from typing import Any

import httpx2
import pytest

import recsys_bert as rb
from pipelines.serve import Config, build_app, open_service
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate


@pytest.fixture(scope="session")
def click_runs(tmp_path_factory):
    """Prepared log ``data``, and runs ``towers``, ``fused`` and ``clicks`` (a CTR model), in one folder."""
    folder = tmp_path_factory.mktemp("served")
    world = simulate(
        SimulateConfig(users=120, items=60, categories=3, leaves=2, styles=2, max_events=30, mean_events=12, seed=1)
    )
    dataset = rb.prepare(
        world.clicks,
        items=world.items,
        users=world.users,
        item_features={"categorical": ["category"]},
        user_features={"categorical": ["age_group"]},
        out=folder / "data",
    )
    towers = rb.train_retrieval(
        dataset,
        encoder={"dim": 16, "n_layers": 1, "max_len": 12},
        train={"epochs": 2, "lr": 5e-3},
        out=folder / "towers",
    )
    rb.fuse([towers], dataset, out=folder / "fused")
    columns = {"label": "click", "user": "user_id", "item": "item_id", "time": "timestamp"}
    features = {"ids": ["item"], "categorical": ["device"]}
    rb.train_ctr(
        world.impressions,
        dataset=dataset,
        columns=columns,
        features=features,
        train={"epochs": 1},
        out=folder / "clicks",
    )
    return folder


class Http:
    """Requests to an application in one event loop."""

    def __init__(self, app: Any, **client: Any) -> None:
        self.runner = asyncio.Runner()
        transport = httpx2.ASGITransport(app=app)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", **client)

    def __call__(self, method: str, path: str, **request: Any) -> Any:
        return self.runner.run(self.client.request(method, path, **request))

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        """Status and answer of a JSON request."""
        response = self("POST", path, json=body)
        return response.status_code, response.json()

    def ok(self, path: str, **body: Any) -> Any:
        """Answer of a request that is accepted."""
        status, answer = self.post(path, **body)
        assert status == 200, answer
        return answer

    def refused(self, path: str, **body: Any) -> str:
        """Message of a request that is refused as bad."""
        status, answer = self.post(path, **body)
        assert status in (404, 422), (status, answer)
        return answer["error"]

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()


@pytest.fixture(scope="session")
def opened():
    """Open an application: ``opened(Config(…), key=…)`` → ``Http`` with its ``service``; all are closed at the end."""
    clients = []

    def build(config: Config, key: str | None = None, hosts: tuple[str, ...] = (), **client: Any) -> Http:
        service = open_service(config)
        http = Http(build_app(config, service, key, hosts), **client)
        http.service = service
        clients.append(http)
        return http

    yield build
    for http in clients:
        http.service.close(30)
        http.close()


@pytest.fixture(scope="session")
def clicks(click_runs, opened):
    """A service of all click runs."""
    runs = tuple(str(click_runs / name) for name in ("towers", "fused", "clicks"))
    return opened(Config(runs=runs, data=click_runs / "data"))


@pytest.fixture(scope="session")
def text_runs(tmp_path_factory):
    """Runs ``topics`` (classifier), ``bi`` and ``cross`` (matchers), ``answers``, ``names``, ``words``, ``short``."""
    from nlp_tasks import Classifier, Generator, Matcher, QuestionAnswerer, Tagger, TextEncoder

    folder = tmp_path_factory.mktemp("served_texts")
    small: dict[str, Any] = {"encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 48}}
    train = {"epochs": 1, "batch_size": 16}
    people, towns = ["Ada", "Eve", "Noor", "Sven"], ["Rome", "Oslo", "Graz", "Lima"]
    texts = [f"{name} the rower lives in {place}" for name in people for place in towns] * 3
    topics = ["north" if "Oslo" in text else "south" for text in texts]
    Classifier.train(texts, topics, out=folder / "topics", train=train, **small)
    others = [f"{text.split()[0]} rows in {text.split()[-1]}" for text in texts]
    pairs = [*others[: len(texts) // 2], *others[: len(texts) // 2]]
    labels = [int(a.split()[0] == b.split()[0]) for a, b in zip(texts, pairs, strict=True)]
    for form in ("bi", "cross"):
        Matcher.train(texts, pairs, labels, out=folder / form, task={"form": form}, train=train, **small)
    questions = [f"where does {text.split()[0]} live ?" for text in texts]
    answers = [text.split()[-1] for text in texts]
    QuestionAnswerer.train(questions, texts, answers, out=folder / "answers", train=train, **small)
    entities = [[(0, len(text.split()[0]), "PER")] for text in texts]
    Tagger.train(texts, entities, out=folder / "names", train=train, **small)
    Generator.train(texts, others, out=folder / "short", train=train, decoding={"max_length": 10}, **small)
    TextEncoder.load(folder / "topics").save(folder / "words")
    return folder


@pytest.fixture(scope="session")
def texts(text_runs, opened):
    """A service of all text runs."""
    names = ("topics", "bi", "cross", "answers", "names", "words", "short")
    return opened(Config(runs=tuple(str(text_runs / name) for name in names)))
