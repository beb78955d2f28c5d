"""Training speed of encoders: sequences a second, memory, and the share of the machine's matrix-product rate.

    python -m pipelines.benchmarks.training_speed --data runs/data/ml-1m --out runs/speed

Every figure comes from a process of its own (``training_steps``: the real loop, without start-up, validation and
checkpoints), and the trainings take turns, round after round, so that whatever else the machine does meets all of
them. Another program can take turns with them, for a ratio within each round:

    P="VENV/bin/python pipelines/benchmarks/rectools_train.py --log runs/data/ml-1m-known-source/log.txt --dim {dim}"
    … --peer "$P --model sasrec" --peer-masked "$P --model bert4rec"

A peer prints JSON lines with ``seq_per_s``, of which the last one counts.
"""

import json
import os
import shlex
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipelines import pretrain
from pipelines.benchmarks.processes import run_alone
from pipelines.benchmarks.tables import write_tables
from pipelines.support.flags import load_config
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.parts import Options
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.progress import Progress
from recsys_bert.settings import write_config
from recsys_bert.training.config import TrainConfig

Objective = Literal["next-full", "next-sampled", "masked"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure the speed of training."""

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Where the tables (with the ending .md) and the same numbers (.json) are written."""

    objectives: tuple[Objective, ...] = ("next-full", "next-sampled", "masked")
    """Next items by full cross-entropy or by sampled softmax, and masked items by full cross-entropy."""

    dims: tuple[int, ...] = (64, 128)
    """Widths of the encoder."""

    precisions: tuple[Literal["auto", "fp32", "bf16"], ...] = ("auto",)
    """Number formats of products, as in train.precision."""

    n_layers: int = 2
    """Layers, pre_norm ones with one head."""

    max_len: int = 200
    """Longest input, in positions."""

    dropout: float = 0.2
    """Of the encoder."""

    negatives: int = 256
    """Items drawn per history, for next-sampled."""

    batch_size: int = 128
    """Sequences per batch."""

    steps: int = 40
    """Steps under the clock, the same ones in every round."""

    rounds: int = 3
    """Turns of every training; the table has medians over them."""

    processes: int = 1
    """Processes of each of our trainings, which share a batch and the machine's cores."""

    peer: str = ""
    """Command of another program's next-item training; {dim} stands for the width."""

    peer_masked: str = ""
    """Command of another program's masked-item training."""

    profile: bool = False
    """Add the operators that take most of a step."""

    def __post_init__(self) -> None:
        if min(self.rounds, self.steps, self.processes) < 1:
            raise InputError(
                f"rounds is {self.rounds}, steps {self.steps} and processes {self.processes}; one is the least of all."
            )
        for name in ("objectives", "dims", "precisions"):
            if not getattr(self, name):
                raise InputError(f"{name} is empty; name at least one.")


class _Row(NamedTuple):
    """One line of the table."""

    training: str
    """An objective, or ``peer`` or ``peer-masked``."""

    dim: int
    precision: str

    @property
    def is_peer(self) -> bool:
        return self.training.startswith("peer")

    @property
    def peer(self) -> "_Row":
        """Training that this one is compared with."""
        return _Row("peer-masked" if self.training == "masked" else "peer", self.dim, "")


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the tables.

    Returns:
        Contents of the JSON file.

    Raises:
        InputError: The data is not there or is too small, or a peer's command fails or prints no speed.
    """
    rows = _rows(config)
    turns: dict[_Row, list[dict[str, Any]]] = {row: [] for row in rows}
    with Progress("training speed", config.rounds * len(rows), "trainings") as progress:
        for _ in range(config.rounds):
            for row in rows:
                turns[row].append(_peer(config, row) if row.is_peer else _ours(config, row, first=not turns[row]))
                progress.advance(training=f"{row.training} {row.dim}", seq_per_s=turns[row][-1]["seq_per_s"])
    result = {
        "config": {name: value for name, value in asdict(config).items() if name not in ("data", "out")},
        "machine": _machine(turns),
        "rows": [_line(row, turns) for row in rows],
    }
    table = _tables(config, result)
    write_tables(config.out, table, result)
    return result


def _rows(config: Config) -> list[_Row]:
    """Rows in order; each peer follows the training that it is compared with, so that little time lies between them."""
    rows = []
    for dim in config.dims:
        for name, precision in ((name, precision) for name in config.objectives for precision in config.precisions):
            row = _Row(name, dim, precision)
            command = config.peer_masked if name == "masked" else config.peer
            rows += [row, row.peer] if command else [row]
    return list(dict.fromkeys(rows))


def _recipe(config: Config, row: _Row, out: Path) -> pretrain.Config:
    """Layers of the peer: SASRec's feed-forward half is as wide as the encoder, BERT4Rec's four times."""
    precision: Any = row.precision
    layer: Options = {} if row.training == "masked" else {"ffn_dim": row.dim, "activation": "relu"}
    return pretrain.Config(
        data=config.data.absolute(),
        out=out,
        objective="masked" if row.training == "masked" else "next_item",
        encoder=EncoderConfig(
            dim=row.dim,
            n_layers=config.n_layers,
            n_heads=1,
            max_len=config.max_len,
            dropout=config.dropout,
            layer_options=layer,
        ),
        loss=LossConfig(
            name="sampled" if row.training == "next-sampled" else "full",
            negatives=NegativesConfig(uniform=config.negatives),
            similarity="cosine",
        ),
        train=TrainConfig(batch_size=config.batch_size, precision=precision),
    )


def _ours(config: Config, row: _Row, *, first: bool) -> dict[str, Any]:
    """One run; operations are counted in the first."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.toml"
        write_config(_recipe(config, row, Path(folder) / "run"), recipe)
        command, environment = [sys.executable, "-m"], {}
        if config.processes > 1:
            command += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(config.processes), "-m"]
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // config.processes))
        command += ["pipelines.benchmarks.training_steps", "--recipe", str(recipe), "--steps", str(config.steps)]
        extras = [flag for flag, on in (("--count", True), ("--profile", config.profile)) if on and first]
        return _printed(command + extras, environment)[0]


def _peer(config: Config, row: _Row) -> dict[str, Any]:
    template = config.peer_masked if row.training == "peer-masked" else config.peer
    command = [word.replace("{dim}", str(row.dim)) for word in shlex.split(template)]
    result, peak = _printed(command)
    return {"seq_per_s": result["seq_per_s"], "peak_bytes": peak}


def _printed(command: list[str], environment: dict[str, str] | None = None) -> tuple[dict[str, Any], int]:
    """Run a program; return its last JSON line with a speed, and the largest resident set of its processes, in bytes.

    This process imports no torch, for its memory would count in the other's.
    """
    ended = run_alone(command, environment)
    for line in reversed(ended.stdout.splitlines()):
        if '"seq_per_s"' in line:
            return json.loads(line), ended.peak_bytes
    raise InputError(f'{shlex.join(command)} printed no JSON line with "seq_per_s".\n{ended.stderr}')


def _machine(turns: dict[_Row, list[dict[str, Any]]]) -> dict[str, Any]:
    ours = [turn for row, of_row in turns.items() if not row.is_peer for turn in of_row]
    rates = {name: statistics.median(turn["product_flops"][name] for turn in ours) for name in ("bf16", "fp32")}
    return {"cores": os.cpu_count(), "product_flops": rates} | {
        name: ours[0][name] for name in ("device", "processes", "threads", "torch")
    }


def _line(row: _Row, turns: dict[_Row, list[dict[str, Any]]]) -> dict[str, Any]:
    mine = turns[row]
    speeds = [turn["seq_per_s"] for turn in mine]
    line = {
        "training": row.training,
        "dim": row.dim,
        "seq_per_s": statistics.median(speeds),
        "rounds": speeds,
        "peak_bytes": max(turn["peak_bytes"] for turn in mine),
    }
    if row.is_peer:
        return line
    precision, flops = mine[0]["precision"], mine[0]["flops"]
    shares = [turn["seq_per_s"] * flops / turn["product_flops"][precision] for turn in mine]
    peers = [peer["seq_per_s"] for peer in turns.get(row.peer, [])]
    ratios = [speed / peer for speed, peer in zip(speeds, peers, strict=True)] if peers else []
    return line | {
        "precision": precision,
        "gpu_peak_bytes": max(turn["gpu_peak_bytes"] for turn in mine),
        "flops_per_sequence": flops,
        "flops_share": statistics.median(shares),
        "times_peer": statistics.median(ratios) if ratios else None,
        "times_peer_rounds": ratios,
        "operators": mine[0].get("operators", []),
    }


_COLUMNS = (
    "training",
    "dim",
    "precision",
    "sequences a second",
    "rounds, lowest to highest",
    "times the peer",
    "peak MiB",
    "peak GPU MiB",
    "GFLOP a step",
    "share of the product rate",
)


def _tables(config: Config, result: dict[str, Any]) -> str:
    machine = result["machine"]
    rates = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in machine["product_flops"].items())
    about = (
        f"{config.n_layers} pre_norm layers, 1 head, feed-forward as wide as they are (masked: four times), length "
        f"{config.max_len}, batch {config.batch_size}, dropout {config.dropout:g}, {config.steps} steps, "
        f"{config.rounds} alternating rounds. torch {machine['torch']} on {machine['device']}, {machine['cores']} CPU "
        f"cores, {machine['processes']} x {machine['threads']} threads; "
        f"products of two 2048 x 2048 matrices: {rates}.\n\n"
    )
    head = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n"
    body = "".join(f"| {' | '.join(_cells(line, config.batch_size))} |\n" for line in result["rows"])
    return about + head + body + "".join(_profile(line) for line in result["rows"] if line.get("operators"))


def _cells(line: dict[str, Any], batch_size: int) -> list[str]:
    mebibytes = [f"{line.get(name, 0) / 2**20:,.0f}" for name in ("peak_bytes", "gpu_peak_bytes")]
    ratio = line.get("times_peer")
    return [
        line["training"],
        str(line["dim"]),
        line.get("precision", ""),
        f"{line['seq_per_s']:,.1f}",
        f"{min(line['rounds']):,.1f} to {max(line['rounds']):,.1f}",
        f"{ratio:.2f}" if ratio else "",
        mebibytes[0],
        mebibytes[1] if line.get("gpu_peak_bytes") else "",
        f"{line['flops_per_sequence'] * batch_size / 1e9:,.1f}" if "flops_per_sequence" in line else "",
        f"{line['flops_share']:.1%}" if "flops_share" in line else "",
    ]


def _profile(line: dict[str, Any]) -> str:
    head = f"\nOne step of {line['training']}, dim {line['dim']}, {line['precision']}:\n\n"
    head += "| operator | calls | ms | share |\n|---|---|---|---|\n"
    return head + "".join(
        f"| `{one['operator']}` | {one['calls']} | {one['ms']:.1f} | {one['share']:.1%} |\n"
        for one in line["operators"]
    )


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.training_speed"))
