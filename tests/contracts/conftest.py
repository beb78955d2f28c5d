"""Every entry of LAYERS, FUSIONS and NECKS goes through the contract tests by itself."""

from collections.abc import Callable, Iterator

import pytest
import torch
from contracts.store_servers import MilvusServer, PostgresServer

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.fusions import FUSIONS
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.necks import NECKS
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError

pytest.register_assert_rewrite("contracts.settings_contract")
TABLES = {"layer": LAYERS, "fusion": FUSIONS, "neck": NECKS}
PARTS = [(kind, name) for kind, table in TABLES.items() for name in table]

Build = Callable[..., Encoder]


@pytest.fixture(scope="module", autouse=True)
def without_checkpoints() -> Iterator[None]:
    """Write none after each epoch of thousands of runs, of which none is resumed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys_bert.training.epochs.save_checkpoint", lambda *arguments: None)
        yield


def _build(kind: str, name: str, **settings: object) -> Encoder:
    """A tiny encoder with the part in it, weights large enough that no effect hides below a tolerance."""
    torch.manual_seed(7)
    sizes = {"vocab_size": 20, "dim": 8, "n_layers": 3, "n_heads": 2, "max_len": 8, "init_std": 0.5, "dropout": 0.2}
    return Encoder(EncoderConfig.from_dict(sizes | {kind: name} | settings)).eval()


@pytest.fixture
def build() -> Build:
    """Build a tiny encoder with one part named: ``build(kind, name, **settings)``."""
    return _build


@pytest.fixture(params=PARTS, ids=[f"{kind}-{name}" for kind, name in PARTS])
def part(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Kind and name of one part."""
    return request.param


@pytest.fixture
def part_class(part: tuple[str, str]) -> type:
    return find(*part, TABLES[part[0]])


@pytest.fixture(params=[False, True], ids=["bidirectional", "causal"])
def causal(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def causal_encoder(part: tuple[str, str]) -> Build:
    """Build with the part in causal mode; a part that cannot do that must say so, by its name."""
    return lambda **settings: _build_or_skip(part, causal=True, **settings)


@pytest.fixture
def make(part: tuple[str, str], causal: bool) -> Build:
    """Build with the part, in either mode."""
    return lambda **settings: _build_or_skip(part, causal=causal, **settings)


def _build_or_skip(part: tuple[str, str], *, causal: bool, **settings: object) -> Encoder:
    try:
        return _build(*part, attention="causal" if causal else "bidirectional", **settings)
    except InputError as error:
        if not causal or "causal" not in str(error) or part[1] not in str(error):
            raise
        pytest.skip(f"refuses causal mode: {error}")


@pytest.fixture
def encoder(make: Build) -> Encoder:
    """A tiny encoder with the part in it, in evaluation mode."""
    return make()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL with pgvector, started for the tests."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def milvus_server() -> Iterator[MilvusServer]:
    """Milvus, started for the tests."""
    server = MilvusServer()
    yield server
    server.stop()
