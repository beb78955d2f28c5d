"""Two processes against one on the same global batches: losses side by side, shards, who writes, time.

    python -m pipelines.benchmarks.two_processes --data runs/data/ml-1m --out runs/two

The same next-item recipe is trained by ``pretrain`` alone, and by ``torchrun`` with several processes on CPU (gloo).
Dropout is 0, for the processes draw their own, and products are in float32, for rounding to bf16 would hide a
difference. Then every batch of the first epoch is compared with its shards.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import pretrain
from pipelines.benchmarks.processes import ProcessResult, run_alone
from pipelines.support.flags import load_config
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.files import replacing, write_json
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.progress import Progress
from recsys_bert.settings import write_config
from recsys_bert.training.config import OptimiserConfig, TrainConfig

if TYPE_CHECKING:
    from recsys_bert.clicks.batches import HistoryBatches


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare training in several processes with training in one."""

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Folder for losses.md and .json and for both runs; it must not hold runs yet."""

    processes: int = 2
    """How many."""

    epochs: int = 1
    """Passes over the data."""

    batch_size: int = 128
    """Histories per batch, over all processes together."""

    dim: int = 64
    """Width of the encoder, with 2 layers of one head."""

    max_len: int = 50
    """Longest input."""

    loss: LossConfig = LossConfig(name="sampled", negatives=NegativesConfig(uniform=64), similarity="cosine")  # noqa: RUF009, it is frozen
    """The loss."""

    sparse_adam: bool = False
    """Update only the rows of the item table that a step has read."""

    log_steps: int = 5
    """Steps from one compared loss to the next."""

    def __post_init__(self) -> None:
        if self.processes < 2:
            raise InputError(f"processes is {self.processes}; there is something to compare from 2 on.")


def run(config: Config) -> dict[str, Any]:
    """Train twice, compare, print and write.

    Returns:
        Contents of the JSON file.

    Raises:
        InputError: ``out`` holds a run already, or a training fails.
    """
    if any((config.out / name).exists() for name in ("one", "several")):
        raise InputError(f"{config.out} holds runs already; choose another --out, since time is measured.")
    trained = {}
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(config.processes), "-m"]
    with Progress("several processes", 2, "trainings") as progress:
        for name, words in (("one", []), ("several", launcher)):
            trained[name] = _train(config, name, words)
            progress.advance(training=name)
    metrics = [line for line in _lines(config, "one") if "loss" not in line][-1]
    several = [line for line in _lines(config, "several") if "loss" not in line][-1]
    losses = _side_by_side(config)
    result = {
        "processes": config.processes,
        "losses": losses,
        "largest_difference": max(abs(one - other) for _, one, other in losses),
        "metrics": [{name: line[name] for name in line if "@" in name} for line in (metrics, several)],
        "seconds": [metrics["seconds"], several["seconds"]],
        "peak_bytes": [ended.peak_bytes for ended in trained.values()],
        "writers": [ended.stderr.count("wrote ") for ended in trained.values()],
        "shards": _shards(config),
    }
    table = _table(config, result)
    with replacing(config.out / "losses.md") as temporary:
        temporary.write_text(table, encoding="utf-8")
    write_json(config.out / "losses.json", result)
    print(table, end="")
    return result


def _recipe(config: Config, name: str) -> pretrain.Config:
    return pretrain.Config(
        data=config.data.absolute(),
        out=(config.out / name).absolute(),
        objective="next_item",
        encoder=EncoderConfig(dim=config.dim, n_layers=2, n_heads=1, max_len=config.max_len, dropout=0.0),
        loss=config.loss,
        train=TrainConfig(
            epochs=config.epochs,
            batch_size=config.batch_size,
            optimiser=OptimiserConfig(sparse_adam=config.sparse_adam),
            device="cpu",
            precision="fp32",
            log_steps=config.log_steps,
        ),
    )


def _train(config: Config, name: str, launcher: list[str]) -> ProcessResult:
    recipe = config.out / f"{name}.toml"
    write_config(_recipe(config, name), recipe)
    program = [*launcher, "pipelines.cli"] if launcher else ["pipelines.cli"]
    # one thread each, so that several processes have no more of the machine than their number
    return run_alone([sys.executable, "-m", *program, "pretrain", str(recipe)], {"OMP_NUM_THREADS": "1"})


def _lines(config: Config, name: str) -> list[dict[str, float]]:
    text = (config.out / name / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _side_by_side(config: Config) -> list[tuple[int, float, float]]:
    """Step, loss of the one process, loss of the several.

    Raises:
        InputError: The steps differ: more than one process has written, or one has stopped.
    """
    one, several = ([line for line in _lines(config, name) if "loss" in line] for name in ("one", "several"))
    if [line["step"] for line in one] != [line["step"] for line in several]:
        raise InputError(f"the metrics of {config.out / 'one'} and of {config.out / 'several'} have other steps.")
    return [(int(mine["step"]), mine["loss"], theirs["loss"]) for mine, theirs in zip(one, several, strict=True)]


def _shards(config: Config) -> dict[str, int]:
    """Compare each batch of the first epoch with the shards of all processes.

    Returns:
        Histories and targets in all; histories in no shard, in several, and shards without any.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.pretrain import build

    batches = build(_recipe(config, "one"), open_dataset(config.data)).batches
    count = {"batches": 0, "histories": 0, "targets": 0, "in no shard": 0, "in several": 0, "spare shards": 0}
    for whole, *shards in zip(batches(0), *_ranks(batches, config.processes), strict=True):
        owners = [_rows(shard["tokens"]) for shard in shards[: len(whole["tokens"])]]  # see ``share``: others are spare
        sharded = [row for rows in owners for row in rows]
        count["batches"] += 1
        count["histories"] += len(whole["tokens"])
        count["targets"] += whole["n_targets"]
        count["in no shard"] += len(set(_rows(whole["tokens"])) - set(sharded))
        count["in several"] += (
            len(sharded) - len(set(sharded)) - (len(whole["tokens"]) - len(set(_rows(whole["tokens"]))))
        )
        count["spare shards"] += len(shards) - len(owners)
        if sum(shard["n_targets"] for shard in shards) != whole["n_targets"]:
            raise InputError(f"the shards of batch {count['batches']} have other targets than the batch.")
    return count


def _ranks(batches: "HistoryBatches", processes: int) -> list[Any]:
    return [batches(0, rank=rank, world=processes) for rank in range(processes)]


def _rows(tokens: Any) -> list[bytes]:
    return [row.tobytes() for row in tokens]


def _table(config: Config, result: dict[str, Any]) -> str:
    shards, seconds = result["shards"], result["seconds"]
    text = (
        f"Next-item training, epochs: {config.epochs}, global batch {config.batch_size}, one process against "
        f"{config.processes} (torchrun, gloo, one thread each), sparse Adam {'on' if config.sparse_adam else 'off'}. "
        f"{shards['histories']:,} histories in {shards['batches']:,} batches of the first epoch: "
        f"{shards['in no shard']} in no shard, {shards['in several']} in several. Processes that said they wrote: "
        f"{result['writers'][0]} and {result['writers'][1]}. Largest difference of a loss: "
        f"{result['largest_difference']:.2g}.\n\n| step | one process | {config.processes} processes | difference |\n"
        "|---|---|---|---|\n"
    )
    for step, one, several in result["losses"]:
        text += f"| {step} | {one:.5f} | {several:.5f} | {abs(one - several):.1e} |\n"
    for name, value in result["metrics"][0].items():
        other = result["metrics"][1][name]
        text += f"| {name} | {value:.5f} | {other:.5f} | {abs(value - other):.1e} |\n"
    peaks = [f"{size / 2**20:,.0f}" for size in result["peak_bytes"]]
    text += f"| seconds | {seconds[0]:.1f} | {seconds[1]:.1f} | {seconds[0] / seconds[1]:.2f} times as fast |\n"
    return text + f"| peak MiB of a process | {peaks[0]} | {peaks[1]} | |\n"


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.two_processes"))
