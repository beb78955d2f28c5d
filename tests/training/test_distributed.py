"""Two processes train as one does, through the command line as ``torchrun`` would start it."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nlp_tasks.config import TokenizerConfig
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import Tokenizer
from pipelines import prepare, pretrain, train_ctr, train_retrieval
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.prepare.features_config import ItemFeaturesConfig
from recsys_bert.ctr.config import FeaturesConfig, FilesConfig
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.item_texts.training_config import TextTrainingConfig
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.settings import make_config, write_config
from recsys_bert.training.config import TrainConfig

ROOT = Path(__file__).parents[2]
ONE_AFTER_ANOTHER = """
import signal, sys
from pipelines.cli import main
from recsys_bert.training.step import OptimiserStep
take_step = OptimiserStep.__call__
def interrupted(self, window, step):
    if step == 7:
        signal.raise_signal(signal.SIGINT)
    return take_step(self, window, step)
for command in sys.argv[1:]:
    stops, words = command.startswith("stop|"), command.removeprefix("stop|").split("|")
    OptimiserStep.__call__ = interrupted if stops else take_step
    if (status := main(words)) != 130 * stops:
        sys.exit(status or 1)
"""
CPU = "cpu" if torch.accelerator.is_available() else "auto"  # which has to find all processes, too
TRAIN = {"batch_size": 8, "device": CPU, "precision": "fp32", "log_steps": 1}
RUNS = {
    "pgd": {"averaging": {"method": "ema"}, "adversarial": {"method": "pgd"}, "accumulate": 2},
    "rows": {"averaging": {"method": "ema"}, "optimiser": {"sparse_adam": True}, "accumulate": 2},
    "layer_drop": {"accumulate": 2},  # alone: without other chance, both processes leave out the layers that one would
}
TEXTS = ("tfidf", "trained")
DROPOUT = (("", "whole"), ("stop|", "stopped"), ("", "stopped"))


def pretrain_config(folder, name):
    """A run over 33 users in batches of 8, so that the last batch has one row for two processes."""
    return pretrain.Config(
        data=folder / "data",
        out=folder / name,
        objective="next_item",
        encoder=EncoderConfig(
            dim=16,
            n_layers=1,
            max_len=20,
            dropout=0.0,
            layer_drop=0.5 if name == "layer_drop" else 0.0,
            ngrams=2 if name == "rows" else 1,  # two tables that are updated row by row
        ),
        loss=LossConfig(name="sampled", negatives=NegativesConfig(uniform=12)),
        train=make_config(TrainConfig, None, {"epochs": 3, **TRAIN, **RUNS[name]}),
    )


def dropout_config(folder, name):
    """A run with dropout, in which a batch has more rows for one process than for the other: their chances part."""
    config = pretrain_config(folder, "rows")
    encoder, train = replace(config.encoder, dropout=0.2), replace(config.train, batch_size=7)
    return replace(config, out=folder / name, encoder=encoder, train=train)


def towers_config(folder, text):
    """Towers that read numbers, vectors and texts of items; the text encoder may be trained with them."""
    trains = text == "trained"
    return train_retrieval.Config(
        data=folder / "data",
        out=folder / f"towers-{text}",
        features=("price",),
        text=text,
        text_dim=4,
        text_encoder=folder / "text_encoder" if trains else None,
        text_training=TextTrainingConfig(lr=3e-3) if trains else TextTrainingConfig(),
        encoder=EncoderConfig(dim=16, n_layers=1, max_len=20, dropout=0.0),
        towers=TowersConfig(item_features=("price", "emb")),
        loss=LossConfig(name="sampled", similarity="cosine", negatives=NegativesConfig(uniform=12)),
        train=make_config(TrainConfig, None, {"epochs": 3, **TRAIN, "accumulate": 2}),
    )


def ctr_config(folder):
    return train_ctr.Config(
        out=folder / "ctr",
        impressions=folder / "train.pq",
        validation=folder / "validation.pq",
        test=folder / "test.pq",
        files=FilesConfig(format="parquet"),
        features=FeaturesConfig(categorical=("device",)),
        model=CTRModelConfig(head="fm", dim=4, history_len=0),
        train=TrainConfig(epochs=2, monitor="auc", **TRAIN),
    )


def write_logs(folder):
    events = [(user, (user * 7 + index * index) % 19, index) for user in range(33) for index in range(5 + user % 9)]
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(folder / "log.pq")
    titles = [
        f"{color} {noun}" for color in ("red", "blue", "green", "black") for noun in ["shoe", "hat", "coat", "sock"]
    ]
    items = {"item_id": range(19), "title": (titles * 2)[:19], "price": [3.0 * (n % 7) for n in range(19)]}
    items["emb"] = np.random.default_rng(0).normal(size=(19, 3)).tolist()
    pl.DataFrame(items).write_parquet(folder / "items.pq")
    prepare.run(
        prepare.Config(
            events=str(folder / "log.pq"),
            log=LogConfig(format="parquet"),
            items=folder / "items.pq",
            item_features=ItemFeaturesConfig(numeric=("price",), vectors=("emb",), text=("title",)),
            out=folder / "data",
        )
    )
    tokenizer = Tokenizer.train(titles, TokenizerConfig(min_count=1))
    torch.manual_seed(0)
    sizes = EncoderConfig(
        dim=8, n_layers=1, n_heads=2, dropout=0.0, max_len=12, vocab_size=tokenizer.size, position="start"
    )
    TextEncoder(Encoder(sizes).eval(), tokenizer).save(folder / "text_encoder")
    impressions = pl.DataFrame(
        {"device": [f"d{n % 5}" for n in range(49)], "label": [int(n % 5 > n % 3) for n in range(49)]}
    )
    for name in ("train", "validation", "test"):
        impressions.write_parquet(folder / f"{name}.pq")


def start(commands, rank, port):
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in variables.items()} | {"PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, "-c", ONE_AFTER_ANOTHER, *commands]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every run, trained by two processes."""
    folder = tmp_path_factory.mktemp("runs")
    write_logs(folder)
    commands = []
    for name in RUNS:
        write_config(pretrain_config(folder, name), folder / f"{name}.toml")
        commands.append(f"pretrain|{folder / name}.toml")
    for name in ("whole", "stopped"):
        write_config(dropout_config(folder, name), folder / f"{name}.toml")
    commands += [f"{way}pretrain|{folder / name}.toml" for way, name in DROPOUT]
    for text in TEXTS:
        write_config(towers_config(folder, text), folder / f"towers-{text}.toml")
        commands.append(f"train-retrieval|{folder / f'towers-{text}'}.toml")
    write_config(ctr_config(folder), folder / "ctr.toml")
    commands.append(f"train-ctr|{folder / 'ctr.toml'}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(commands, rank, port) for rank in range(2)]
    try:
        outputs = [process.communicate(timeout=280)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    if [process.returncode for process in processes] != [0, 0]:
        pytest.fail("\n\n".join(f"process {rank}:\n{text}" for rank, text in enumerate(outputs)))
    (folder / "stderr").mkdir()
    for rank, text in enumerate(outputs):
        (folder / "stderr" / str(rank)).write_text(text)
    return folder


def same_curves(run, other, names):
    """Compare the lines of ``metrics.jsonl``, hence one writer each; returns the number of losses."""
    ours, theirs = pl.read_ndjson(run / "metrics.jsonl"), pl.read_ndjson(other / "metrics.jsonl")
    assert ours["step"].to_list() == theirs["step"].to_list()
    for name in names:
        mine, expected = ours[name].drop_nulls(), theirs[name].drop_nulls()
        assert mine.to_list() == pytest.approx(expected.to_list(), abs=1e-5)
    assert sorted(os.listdir(run)) == sorted(os.listdir(other))
    return len(ours["loss"].drop_nulls())


@pytest.mark.slow
@pytest.mark.timeout(300)  # two processes that import torch, on a machine that may be busy
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one_does(folder, tmp_path, name):
    config = pretrain_config(folder, name)
    one = replace(config, out=tmp_path / "one")
    pretrain.run(one)
    assert same_curves(config.out, one.out, ("loss", "ndcg@10", "recall@10")) == 9
    # not the weights: a key's bias changes nothing in a softmax, so that Adam blows its rounding errors up to steps
    tokens = torch.arange(2, 19)[None]
    after, expected = (Encoder.load(run / "encoder")(tokens).tokens for run in (config.out, one.out))
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", TEXTS)
def test_two_processes_train_towers_with_numbers_vectors_and_texts_as_one_does(folder, tmp_path, text):
    config = towers_config(folder, text)
    one = replace(config, out=tmp_path / "one")
    train_retrieval.run(one)
    assert same_curves(config.out, one.out, ("loss", "ndcg@10")) == 9
    log = open_dataset(folder / "data")
    vectors = [load_ranker(run, log).item_vectors() for run in (config.out, one.out)]
    np.testing.assert_allclose(*vectors, atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_that_were_stopped_go_on_to_the_same_numbers(folder):
    whole, stopped = folder / "whole", folder / "stopped"
    assert same_curves(stopped, whole, ("loss", "ndcg@10")) == 9
    name = "encoder/model.safetensors"
    assert (stopped / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_of_two_processes_writes_a_ctr_model(folder, tmp_path):
    config = ctr_config(folder)
    one = replace(config, out=tmp_path / "one")
    train_ctr.run(one)
    assert same_curves(config.out, one.out, ("loss", "auc")) == 14
    outputs = [(folder / "stderr" / rank).read_text() for rank in "01"]
    assert [text.count("kept epoch") for text in outputs] == [1, 0]
