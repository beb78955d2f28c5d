"""Two processes train as one does, through the command line as ``torchrun`` would start it."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from pipelines import prepare, pretrain
from pipelines.settings import write_config
from recsys_bert.clicks.config import LogConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.training.config import LossConfig, TrainConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path):
    """A run over 33 users in batches of 8, so that the last batch has one row for two processes."""
    events = [(user, (user * 7 + place * place) % 19, place) for user in range(33) for place in range(5 + user % 9)]
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(tmp_path / "log.pq")
    log = LogConfig(path=str(tmp_path / "log.pq"), format="parquet")
    prepare.run(prepare.Config(log=log, out=tmp_path / "data"))
    return pretrain.Config(
        data=tmp_path / "data",
        out=tmp_path / "two",
        objective="next",
        encoder=EncoderConfig(dim=16, n_layers=1, max_len=20, dropout=0.0),
        loss=LossConfig(name="sampled", negatives=12),
        train=TrainConfig(
            epochs=3,
            batch_size=8,
            accumulate=2,
            device="cpu",
            precision="fp32",
            log_steps=1,
            average="ema",
            adversarial="pgd",
        ),
    )


def start(config, recipe, rank, port):
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in told.items()}
    command = [sys.executable, "-m", "pipelines.cli", "pretrain", str(recipe)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(300)  # two processes that import torch, on a machine that may be busy
def test_two_processes_train_as_one_does(config, tmp_path):
    write_config(config, tmp_path / "recipe.toml")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(config, tmp_path / "recipe.toml", rank, port) for rank in range(2)]
    try:
        said = [process.communicate(timeout=280)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    one = replace(config, out=tmp_path / "one")
    pretrain.run(one)
    ours, theirs = pl.read_ndjson(config.out / "metrics.jsonl"), pl.read_ndjson(one.out / "metrics.jsonl")
    assert ours["step"].to_list() == theirs["step"].to_list()  # one writer
    for name in ("loss", "ndcg@10", "recall@10"):
        mine, expected = ours[name].drop_nulls(), theirs[name].drop_nulls()
        assert mine.to_list() == pytest.approx(expected.to_list(), abs=1e-5)
    assert len(ours["loss"].drop_nulls()) == 9
    # not the weights: a key's bias changes nothing in a softmax, so that Adam blows its rounding errors up to steps
    tokens = torch.arange(2, 19)[None]
    after, expected = (Encoder.load(run / "encoder")(tokens).tokens for run in (config.out, one.out))
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-4)
    assert sorted(os.listdir(config.out)) == sorted(os.listdir(one.out))
