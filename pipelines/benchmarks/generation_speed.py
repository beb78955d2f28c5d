"""Tokens a second of generation: with a key/value cache, without one, and by transformers' ``generate``.

    python -m pipelines.benchmarks.generation_speed --out runs/generation_speed

All three continue the same prompts greedily with the same GPT-2 of random weights, in alternating rounds; the tokens
are compared. Without a cache, the whole sequence is encoded for every token.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.support.flags import load_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure generation."""

    out: Path
    """Where the table (with the ending .md) and the same numbers (.json) are written."""

    dim: int = 128
    """Width."""

    n_layers: int = 4
    """Layers."""

    n_heads: int = 4
    """Attention heads."""

    vocab_size: int = 8000
    """Tokens."""

    prompts: int = 8
    """Prompts generated at a time."""

    prompt_length: int = 8
    """Tokens of a prompt."""

    length: int = 128
    """Tokens generated after each."""

    rounds: int = 3
    """Alternating rounds; the median is shown."""


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the table.

    Returns:
        What the JSON file holds.
    """
    import torch

    from pipelines.benchmarks.tables import write_tables

    ways = _ways(config)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tokens: dict[str, Any] = {}
    for _ in range(config.rounds + 1):  # the first one warms up
        for name, generate in ways.items():
            begun = time.perf_counter()
            tokens[name] = generate()
            seconds[name].append(time.perf_counter() - begun)
    n_tokens = config.prompts * config.length
    rows = [
        {
            "way": name,
            "tokens_per_s": n_tokens / sorted(times[1:])[config.rounds // 2],
            "rounds": [n_tokens / one for one in times[1:]],
            "same_tokens": float((tokens[name] == tokens["cache"]).mean()),
        }
        for name, times in seconds.items()
    ]
    result: dict[str, Any] = {"shape": f"{config.n_layers} × {config.dim} × {config.n_heads}", "rows": rows}
    result |= {"threads": torch.get_num_threads()}
    write_tables(config.out, _table(config, result), result)
    return result


def _ways(config: Config) -> dict[str, Callable[[], Any]]:
    """Ways to generate, each giving tokens ``[prompts, length]``."""
    import numpy as np
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from recsys_bert.decoding.config import DecodingConfig
    from recsys_bert.decoding.constraints import Vocabulary
    from recsys_bert.decoding.decode import decode
    from recsys_bert.decoding.encoder_tokens import EncoderTokens
    from recsys_bert.encoder.hugging_face.load import load_checkpoint

    torch.manual_seed(0)
    n_positions = config.prompt_length + config.length
    sizes: dict[str, Any] = {
        "n_embd": config.dim,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_positions": n_positions,
    }
    settings = GPT2Config(vocab_size=config.vocab_size, bos_token_id=1, eos_token_id=1, **sizes)
    theirs = GPT2LMHeadModel(settings).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = load_checkpoint(Path(folder)).eval()
    prompts = np.random.default_rng(0).integers(2, config.vocab_size, (config.prompts, config.prompt_length))
    rows = torch.tensor(prompts)
    table = ours.embeddings.token.weight
    greedy = DecodingConfig(search="greedy", max_length=config.length)
    forbidden = Vocabulary(forbidden=(0, 1, *range(config.vocab_size, ours.config.vocab_size)))

    def cached() -> Any:
        model = EncoderTokens(ours, lambda x: x @ table.T, prompts.tolist(), config.length)
        return np.array([best.tokens for (best,) in decode(model, greedy, forbidden)])

    @torch.no_grad()
    def uncached() -> Any:
        tokens = rows
        for _ in range(config.length):
            scores = ours(tokens).tokens[:, -1] @ table.T
            scores[:, list(forbidden.forbidden)] = -torch.inf
            tokens = torch.cat([tokens, scores.argmax(1, keepdim=True)], 1)
        return tokens[:, config.prompt_length :].numpy()

    def peer() -> Any:
        mask = torch.ones_like(rows)
        output = theirs.generate(
            rows,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=config.length,
            min_new_tokens=config.length,
            suppress_tokens=[0],
            pad_token_id=1,
        )
        return output[:, config.prompt_length :].numpy()

    return {"cache": cached, "no cache": uncached, "transformers": peer}


def _table(config: Config, result: dict[str, Any]) -> str:
    head = (
        f"GPT-2 of {result['shape']} (layers, width, heads), {config.vocab_size:,} tokens; {config.prompts} prompts of "
        f"{config.prompt_length} tokens, {config.length} tokens after each, greedily; {result['threads']} threads.\n\n"
        "| way | tokens a second | rounds, lowest to highest | times | same tokens |\n|---|---|---|---|---|\n"
    )
    ours = result["rows"][0]["tokens_per_s"]
    return head + "".join(
        f"| {row['way']} | {row['tokens_per_s']:,.0f} | {min(row['rounds']):,.0f} to {max(row['rounds']):,.0f} | "
        f"{ours / row['tokens_per_s']:.2f} | {row['same_tokens']:.1%} |\n"
        for row in result["rows"]
    )


if __name__ == "__main__":
    print(json.dumps(run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.generation_speed"))))
