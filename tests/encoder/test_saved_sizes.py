"""Settings of strangers whose sizes their weight files cannot hold are refused before anything is built."""

import json

import pytest
import torch

from recsys_bert.checksums import write_checksums
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.saved_sizes import saved_sizes
from recsys_bert.errors import InputError


@pytest.fixture
def saved(tmp_path):
    """``saved(**config)``: folder of a tiny encoder whose ``config.json`` was changed by hand."""

    def save(build=None, **changes):
        config = EncoderConfig(**{"vocab_size": 30, "dim": 8, "n_layers": 2, "max_len": 12} | (build or {}))
        Encoder(config).save(tmp_path / "encoder")
        path = tmp_path / "encoder" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        write_checksums(tmp_path / "encoder")  # a stranger's are right
        return tmp_path / "encoder"

    return save


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layers": 1_000_000}, "n_layers = 1,000,000"),
        ({"dim": 400_000}, "dim = 400,000"),
        ({"vocab_size": 10**12}, "vocab_size = 1,000,000,000,000"),
        ({"vocab_size": 900_000}, "vocab_size = 900,000"),
        ({"vocab_size": 900_000, "embedding_dim": 4}, "vocab_size = 900,000"),
        ({"max_len": 10**11}, "max_len = 100,000,000,000"),
        ({"layer_options": {"hidden": 10**10}}, "hidden = 10,000,000,000"),
    ],
)
def test_sizes_beyond_the_file_are_refused(saved, changes, message):
    with pytest.raises(InputError, match=message):
        Encoder.load(saved(**changes))


@pytest.mark.parametrize(
    "build",
    [
        {},
        {"n_layers": 0, "neck": "cnn"},
        {"share_layers": True, "n_layers": 40},
        {"neck": "cnn"},
        {"layer": "relative"},
    ],
)
def test_encoders_as_they_were_saved_load(saved, build):
    assert Encoder.load(saved(build)).config.dim == 8


def test_memory_that_is_not_there_is_a_message(tmp_path):
    with pytest.raises(InputError, match="more memory than"), saved_sizes({}, tmp_path / "none"):
        torch.empty(1 << 60)
    with pytest.raises(RuntimeError, match="shape"), saved_sizes({}, tmp_path / "none"):
        torch.zeros(2).view(3)
