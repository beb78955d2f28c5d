"""The same with ``BertForSequenceClassification`` of transformers, in a plain loop as its users write one.

Texts are cut into tokens once, drawn at random, padded to the longest of their batch, and learned from by AdamW with a
clipped gradient; the loss of every step is read, as a progress bar would. Prediction takes the texts in their order,
batch by batch. Its class has a pooler, one small product a text, which ours has not. Prints one JSON line.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.benchmarks.text_steps import WARM_UP
from pipelines.benchmarks.training_steps import START_UP
from pipelines.support.flags import load_config
from pipelines.text.classify import train
from recsys_bert.settings import read_config

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader
    from transformers import PreTrainedTokenizerBase

Autocast = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure transformers on the texts, sizes and training settings of one of our recipes."""

    recipe: Path
    """Recipe of ``text classify train`` with a BERT tokenizer as ``tokenizer.folder``."""

    steps: int = 200
    """Training steps under the clock."""

    predict: int = 2000
    """Training texts, at most, that are predicted under the clock."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """fp32 throughout, or autocast to bf16."""


def run(config: Config) -> dict[str, Any]:
    """Measure and print.

    Returns:
        ``seq_per_s``, ``tokens_per_sequence``, ``padding`` (share of positions), ``predicted_per_s``.
    """
    import torch
    from transformers import BertTokenizer

    from nlp_tasks.data import read_table

    recipe = read_config(train.Config, config.recipe)
    assert recipe.data.train is not None
    table = read_table(recipe.data.train, recipe.data, [recipe.text], recipe.label)
    texts, labels = table.texts[recipe.text], [some[0] for some in table.labels or []]
    known = sorted(set(labels))
    torch.manual_seed(recipe.train.seed)
    tokenizer = BertTokenizer.from_pretrained(str(recipe.tokenizer.folder))
    model = _model(recipe, len(tokenizer), len(known))
    loader = _loader(recipe, tokenizer, texts, [known.index(label) for label in labels])
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=config.precision == "bf16")
    results = _train(recipe, model, loader, config.steps, autocast)
    results["predicted_per_s"] = _predicted_per_s(recipe, tokenizer, model, texts[: config.predict], autocast)
    print(json.dumps(results))
    return results


def _model(recipe: train.Config, vocab_size: int, n_labels: int) -> "nn.Module":
    from transformers import BertConfig, BertForSequenceClassification

    encoder = recipe.encoder
    settings: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": encoder.dim,
        "num_hidden_layers": encoder.n_layers,
        "num_attention_heads": encoder.n_heads,
        "intermediate_size": 4 * encoder.dim,
        "max_position_embeddings": encoder.max_len,
        "hidden_dropout_prob": encoder.dropout,
        "attention_probs_dropout_prob": encoder.layer_options["attention_dropout"],
        "classifier_dropout": recipe.head.dropout,
        "num_labels": n_labels,
    }
    model: nn.Module = BertForSequenceClassification(BertConfig(**settings))
    return model


def _loader(
    recipe: train.Config, tokenizer: "PreTrainedTokenizerBase", texts: list[str], labels: list[int]
) -> "DataLoader[Any]":
    from torch.utils.data import DataLoader
    from transformers import DataCollatorWithPadding

    cut = tokenizer(texts, truncation=True, max_length=recipe.encoder.max_len)
    rows: Any = [{**{key: cut[key][n] for key in cut}, "labels": label} for n, label in enumerate(labels)]
    return DataLoader(rows, recipe.train.batch_size, shuffle=True, collate_fn=DataCollatorWithPadding(tokenizer))


def _train(
    recipe: train.Config, model: "nn.Module", loader: "DataLoader[Any]", steps: int, autocast: Autocast
) -> dict[str, Any]:
    from torch.nn.utils import clip_grad_norm_
    from torch.optim import AdamW

    settings = recipe.train
    optimiser = AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.optimiser.weight_decay)
    model.train()
    sequences = tokens = positions = 0
    start = 0.0
    for step, batch in zip(range(START_UP + steps), _endless(loader), strict=False):
        if step == START_UP:
            sequences = tokens = positions = 0
            start = time.perf_counter()
        with autocast():  # anew for every step: it keeps the weights that it has cast
            loss = model(**batch).loss
        loss.backward()
        clip_grad_norm_(model.parameters(), settings.optimiser.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
        loss.item()
        sequences += len(batch["input_ids"])
        tokens += int(batch["attention_mask"].sum())
        positions += batch["input_ids"].numel()
    return {
        "seq_per_s": sequences / (time.perf_counter() - start),
        "tokens_per_sequence": tokens / sequences,
        "padding": 1 - tokens / positions,
    }


def _endless(loader: "DataLoader[Any]") -> Iterator[dict[str, Any]]:
    while True:
        yield from loader


def _predicted_per_s(
    recipe: train.Config,
    tokenizer: "PreTrainedTokenizerBase",
    model: "nn.Module",
    texts: list[str],
    autocast: Autocast,
) -> float:
    import torch

    def predict(some: list[str]) -> None:
        for first in range(0, len(some), recipe.train.batch_size):
            batch = tokenizer(
                some[first : first + recipe.train.batch_size],
                padding=True,
                truncation=True,
                max_length=recipe.encoder.max_len,
                return_tensors="pt",
            )
            with autocast():
                model(**batch).logits.softmax(dim=-1)

    model.eval()
    with torch.inference_mode():
        predict(texts[:WARM_UP])
        start = time.perf_counter()
        predict(texts)
    return len(texts) / (time.perf_counter() - start)


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.text_steps_peer"))
