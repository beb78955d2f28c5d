"""A tiny click log for contracts of training functions."""

from pathlib import Path

import numpy as np
import polars as pl
import torch

from nlp_tasks.config import TokenizerConfig
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.stages.prepare import prepare

N_ITEMS = 30
ENCODER = {
    "encoder.dim": 8,
    "encoder.n_layers": 1,
    "encoder.n_heads": 2,
    "encoder.max_len": 10,
    "encoder.init_std": 0.3,
}
TRAIN = {
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.lr": 0.03,
    "train.device": "cpu",
    "train.precision": "fp32",
}
SAMPLED = {"loss.name": "sampled", "loss.negatives.in_batch": 4, "loss.negatives.uniform": 8}
HARD = {"loss.negatives.hard_negatives": 2, "loss.negatives.refresh_steps": 2}
VALUES = {  # other values, where the type does not give them
    "encoder.dim": [10],
    "encoder.n_heads": [4],
    "encoder.layer_options": [{"norm_eps": 0.1}],
    "encoder.fusion_options": [{"how": "max"}],
    "encoder.neck_options": [{"kernel": 5}],
    "encoder.embedding_dim": [4],
    "encoder.features": [[{"name": "kind", "size": 6}]],
    "encoder.ngram_rows": [50],
    "item_init": ["random", "item2vec", "item2vec_cbow", "glove"],  # auto is ppmi here
    "target_types": [["buy"]],
    "text": ["tfidf"],
    "text_dim": [3],
    "id_dropout": [0.4],
    "loss.negatives.skip_top": [2],
    "loss.negatives.refresh_steps": [3],
    "train.precision": ["bf16"],
    "train.monitor": ["recall@10"],
    "train.log_steps": [2],
    "train.optimiser.clip_norm": [0.01],
    "train.schedule.warmup_steps": [5],
    "train.adversarial.table": ["embeddings.position"],
    "train.averaging.every_steps": [2],
}
CONTEXTS = {  # what a setting needs to have an effect
    "text_dim": {"text": "tfidf"},
    "id_dropout": {"features": ["kind"]},
    "encoder.fusion_options": {"encoder.fusion": "pool"},
    "encoder.neck_options": {"encoder.neck": "cnn"},
    "encoder.residual": {"encoder.neck": "cnn"},
    "encoder.share_layers": {"encoder.n_layers": 2},
    "encoder.times": {"encoder.layer": "hstu"},
    "encoder.ngram_rows": {"encoder.ngrams": 2},
    "loss.temperature": {"loss.similarity": "cosine"},
    "loss.negatives.hard_negatives": HARD,
    "loss.negatives.skip_top": HARD,
    "loss.negatives.refresh_steps": HARD,
    "train.schedule.floor": {"train.schedule.name": "linear"},
    "train.schedule.cycles": {"train.schedule.name": "cosine_restarts"},
    "train.schedule.power": {"train.schedule.name": "polynomial"},
    "train.averaging.first_epoch": {"train.averaging.method": "swa", "train.epochs": 4},
    "train.averaging.decay": {"train.averaging.method": "ema", "train.averaging.decay": 0.1},
    "train.averaging.every_steps": {"train.averaging.method": "swa"},
    "train.adversarial.table": {"train.adversarial.method": "fgm"},
    "train.adversarial.epsilon": {"train.adversarial.method": "fgm"},
    "train.adversarial.step_size": {"train.adversarial.method": "pgd"},
    "train.adversarial.steps": {"train.adversarial.method": "pgd"},
}
EXEMPT = {
    "train.patience": "ends a training only where validation worsens; tests/training/test_loop.py",
    "train.device": "the machine's, not the model's; every test has a CPU",
    "train.checkpoint_steps": "what an interrupted run loses",
    "encoder.gradient_checkpointing": "saves memory; the numbers are the same",
    "loss.chunk": "bounds memory; the numbers are the same",
}


TEXT = {  # "text_encoder" is an argument
    "text": "trained",
    "features": ["text"],
    "text_training.lr": 0.03,
}
TEXT_VALUES = {
    "text_training.lr": [0.1],
    "text_training.max_len": [8],
    "text_training.frozen_layers": [1],
    "text_training.max_items": [5],
}
TEXT_EXEMPT = {
    "text_training.chunk": "bounds memory; the numbers are the same",
    "text_training.checkpointing": "saves memory; the numbers are the same",
}


def tiny_text_encoder() -> TextEncoder:
    """Two layers over characters, from random weights."""
    tokenizer = Tokenizer.train(["red soft new 0123456"], TokenizerConfig(kind="characters", min_count=1))
    torch.manual_seed(0)
    sizes = EncoderConfig(dim=8, n_layers=2, n_heads=2, max_len=32, vocab_size=tokenizer.size, position="start")
    return TextEncoder(Encoder(sizes), tokenizer)


def make_log(out: Path) -> ClickDataset:
    """40 users of 5 to 24 events over 30 items, with times, views, purchases of weight 4, titles, item
    features ``kind``, ``tags`` and vectors ``emb``, and user features ``age`` and ``income``."""
    random = np.random.default_rng(0)
    events = [
        (user, int(item), 1_000_000 + 3_600 * position, "buy" if (item + position) % 3 == 0 else "view")
        for user in range(40)
        for position, item in enumerate(random.permutation(N_ITEMS)[: random.integers(5, 25)])
    ]
    items = range(N_ITEMS)
    return prepare(
        pl.DataFrame(events, schema=["user_id", "item_id", "timestamp", "event"], orient="row"),
        log={"event": "event", "events": {"view": 1.0, "buy": 4.0}},
        items=pl.DataFrame(
            {
                "item_id": items,
                "kind": [f"kind {n % 5}" for n in items],
                "tags": ["|".join(f"tag {n % m}" for m in (2, 3)) for n in items],
                "title": [f"red{n % 5} soft{n % 7} new{n % 3}" for n in items],
                "emb": random.normal(size=(N_ITEMS, 3)).tolist(),
            }
        ),
        item_features={"categorical": ["kind"], "multi": ["tags"], "text": ["title"], "vectors": ["emb"]},
        users=pl.DataFrame({"user_id": range(40), "age": ["old", "young"] * 20, "income": range(40)}),
        user_features={"categorical": ["age"], "numeric": ["income"]},
        out=out,
    )
