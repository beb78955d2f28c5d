"""Time and memory of a training step by catalogue size, and a full run on the largest catalogue.

    python -m pipelines.benchmarks.catalogue_growth --out runs/growth

For every size a log is drawn in which every item occurs (``large_log``) and prepared. Then steps of ``pretrain`` are
measured (``training_steps``: the real loop): by full cross-entropy where the catalogue is small enough for it, by
sampled softmax with Adam over the whole item table, and with ``train.optimiser.sparse_adam``. On the largest
catalogue one epoch is then trained, every item ranked for held-out events, and indexes of several types built and
searched (``evaluate``). Each measurement runs in its own process. A stopped command continues with the measurements it
has.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines import pretrain
from pipelines.benchmarks.processes import ProcessResult, run_alone
from pipelines.support.flags import load_config
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.files import replacing, write_json
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.progress import Progress
from recsys_bert.settings import write_config
from recsys_bert.training.config import AveragingConfig, OptimiserConfig, TrainConfig

Kind = Literal["full", "sampled", "sampled, rows"]
_COLOURS: dict[Kind, str] = {"full": "#e0763a", "sampled": "#3b82c4", "sampled, rows": "#3f9e6b"}
_LABELS = {
    "full": "full cross-entropy",
    "sampled": "sampled, Adam over the table",
    "sampled, rows": "sampled, sparse Adam",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure the cost of a step against the size of the catalogue."""

    out: Path
    """Folder for growth.md, .json and .svg, and for the logs and the run."""

    items: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Sizes, multiples of 4."""

    users: int = 40_000
    """Users of each log; each has 52 events."""

    full_until: int = 100_000
    """Largest catalogue on which full cross-entropy is measured; its work grows with the catalogue."""

    steps: int = 20
    """Steps under the clock."""

    dim: int = 64
    """Width of the encoder, with 2 layers of one head."""

    max_len: int = 50
    """Longest input."""

    batch_size: int = 256
    """Histories per batch."""

    negatives: int = 256
    """Items drawn per history."""

    average: Literal["none", "ema"] = "none"
    """Whether weights are averaged as well."""

    profile: bool = False
    """Add the operators that take most of a step on the largest catalogue."""

    whole_run: bool = True
    """Train an epoch on the largest catalogue, rank it, and build and search indexes."""

    indexes: tuple[str, ...] = ("Flat", "HNSW32", "IVF1024,Flat", "IVF1024,PQ16,RFlat", "SQ8", "LSH256r,RFlat")
    """Index types of that run."""

    ranked_users: int = 2_000
    """Users that are ranked in it."""

    def __post_init__(self) -> None:
        if not self.items or min(self.items) < 1 or self.steps < 1:
            raise InputError(f"items is {list(self.items)} and steps {self.steps}; give sizes, and at least one step.")


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write table and plot.

    Returns:
        Contents of the JSON file.

    Raises:
        InputError: A program that was started fails.
    """
    plan = [(n, kind) for n in sorted(config.items) for kind in _COLOURS if kind != "full" or n <= config.full_until]
    lines = []
    with Progress("catalogue growth", len(plan) + config.whole_run, "measurements") as progress:
        for n, kind in plan:
            lines.append(_cached(config, f"{n}-{kind}", lambda n=n, kind=kind: _steps(config, n, kind)))
            progress.advance(items=f"{n:,}", kind=kind)
        whole = _whole_run(config) if config.whole_run else {}
        progress.advance(config.whole_run)
    settings = {name: value for name, value in asdict(config).items() if name != "out"}
    result = {"config": settings, "steps": lines, "whole_run": whole}
    table = _table(config, result)
    with replacing(config.out / "growth.md") as temporary:
        temporary.write_text(table, encoding="utf-8")
    write_json(config.out / "growth.json", result)
    _plot(config, lines)
    print(table, end="")
    return result


def _cached(config: Config, name: str, measure: Any) -> Any:
    """Result of an earlier call with the same settings, else a new one."""
    path = config.out / "measured" / f"{name}.json"
    settings = json.loads(json.dumps(asdict(config), default=str))
    if path.is_file() and (saved := json.loads(path.read_text(encoding="utf-8")))["config"] == settings:
        return saved["measured"]
    measured = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"config": settings, "measured": measured})
    return measured


def _data(config: Config, n: int) -> Path:
    """The prepared log over ``n`` items."""
    folder = config.out / "data" / f"{n}-{config.users}"
    if not folder.is_dir():
        log = config.out / "data" / f"{n}-{config.users}.parquet"
        words = ["--out", str(log), "--items", str(n), "--users", str(config.users)]
        run_alone([sys.executable, "-m", "pipelines.benchmarks.large_log", *words])
        _cli("prepare", "--events", log, "--out", folder)
        log.unlink()
    return folder


def _recipe(config: Config, n: int, kind: Kind, out: Path) -> pretrain.Config:
    return pretrain.Config(
        data=_data(config, n).absolute(),
        out=out,
        objective="next_item",
        item_init="random",
        validation_users=config.ranked_users,
        encoder=EncoderConfig(dim=config.dim, n_layers=2, n_heads=1, max_len=config.max_len),
        loss=LossConfig(
            name="full" if kind == "full" else "sampled",
            negatives=NegativesConfig(uniform=config.negatives),
            similarity="cosine",
        ),
        train=TrainConfig(
            epochs=1,
            batch_size=config.batch_size,
            optimiser=OptimiserConfig(sparse_adam=kind == "sampled, rows"),
            averaging=AveragingConfig(method=config.average),
        ),
    )


def _steps(config: Config, n: int, kind: Kind) -> dict[str, Any]:
    recipe = config.out / "recipe.toml"
    write_config(_recipe(config, n, kind, config.out / "unused"), recipe)
    command = [sys.executable, "-m", "pipelines.benchmarks.training_steps", "--recipe", str(recipe)]
    extras = ["--profile"] if config.profile and n == max(config.items) else []
    ended = run_alone([*command, "--steps", str(config.steps), *extras])
    result = json.loads(ended.stdout.splitlines()[-1])
    names = ("peak_bytes", "precision", "device", "threads", "torch")
    line = {"items": n, "kind": kind, "ms": 1000 * result["seconds"] / config.steps, "stderr": ended.stderr[-200:]}
    return line | {name: result[name] for name in names} | {"operators": result.get("operators", [])}


def _cli(*words: object) -> ProcessResult:
    return run_alone([sys.executable, "-m", "pipelines.cli", *map(str, words)])


def _whole_run(config: Config) -> dict[str, Any]:
    """Train an epoch on the largest catalogue with sparse Adam, then evaluate; seconds and peak of both."""
    n, out = max(config.items), config.out / "run"
    data = _data(config, n)

    def train() -> dict[str, float]:
        recipe = config.out / "whole.toml"
        write_config(_recipe(config, n, "sampled, rows", out.absolute()), recipe)
        ended = _cli("pretrain", recipe)
        return {"seconds": ended.seconds, "peak_bytes": ended.peak_bytes}

    def evaluate() -> dict[str, Any]:
        words = ["--data", data, "--runs", out, "--out", config.out / "report", "--users", config.ranked_users]
        ended = _cli("evaluate", *words, "--baselines", "popular", "--indexes", *config.indexes, "--json")
        report = json.loads(ended.stdout)
        return {"seconds": ended.seconds, "peak_bytes": ended.peak_bytes, "indexes": report["indexes"]}

    return {
        "items": n,
        "train": _cached(config, "train", train),
        "evaluate": _cached(config, "evaluate", evaluate),
    }


def _table(config: Config, result: dict[str, Any]) -> str:
    first = result["steps"][0]
    about = (
        f"Next-item training, 2 layers, dim {config.dim}, length {config.max_len}, batch {config.batch_size}, "
        f"{config.negatives} negatives per history, averaging: {config.average}; {config.steps} steps each, in "
        f"processes of their own. torch {first['torch']} on {first['device']}, {first['threads']} threads, "
        f"{first['precision']}.\n\n"
    )
    text = about + "| items | training | ms a step | peak GiB |\n|---|---|---|---|\n"
    for line in result["steps"]:
        name, size = _LABELS[line["kind"]], line["peak_bytes"] / 2**30
        text += f"| {line['items']:,} | {name} | {line['ms']:,.0f} | {size:.2f} |\n"
    for line in result["steps"]:
        text += _profile(line) if line["operators"] else ""
    return text + (_whole_table(config, result["whole_run"]) if result["whole_run"] else "")


def _profile(line: dict[str, Any]) -> str:
    head = f"\nOne step over {line['items']:,} items, {_LABELS[line['kind']]}:\n\n"
    head += "| operator | calls | ms |\n|---|---|---|\n"
    return head + "".join(f"| `{one['operator']}` | {one['calls']} | {one['ms']:.1f} |\n" for one in line["operators"])


def _whole_table(config: Config, whole: dict[str, Any]) -> str:
    text = f"\n{whole['items']:,} items, one epoch with sparse Adam, then {config.ranked_users:,} users ranked:\n\n"
    text += "| stage | s | peak GiB |\n|---|---|---|\n"
    for name, label in (("train", "training and validation"), ("evaluate", "exact ranking and all indexes")):
        text += f"| {label} | {whole[name]['seconds']:,.0f} | {whole[name]['peak_bytes'] / 2**30:.2f} |\n"
    k = "recall against exact"
    text += f"\n| index | build s | {k} | recall@10 | queries a second | MiB |\n|---|---|---|---|---|---|\n"
    for one in whole["evaluate"]["indexes"]:
        build = "" if one["build_seconds"] is None else f"{one['build_seconds']:,.1f}"
        text += (
            f"| {one['factory']} | {build} | {one['ann_recall']:.4f} | {one['headline_recall']:.4f} | "
            f"{one['queries_per_second']:,.0f} | {one['bytes'] / 2**20:,.0f} |\n"
        )
    return text


def _plot(config: Config, lines: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for kind, colour in _COLOURS.items():
        mine = [line for line in lines if line["kind"] == kind]
        sizes = [line["items"] for line in mine]
        style = {"marker": "o", "color": colour, "label": _LABELS[kind]}
        time_axes.plot(sizes, [line["ms"] for line in mine], **style)
        memory_axes.plot(sizes, [line["peak_bytes"] / 2**30 for line in mine], **style)
    time_axes.set(yscale="log", ylabel="ms a step")
    time_axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    time_axes.yaxis.set_major_formatter("{x:,.0f}")
    time_axes.yaxis.set_minor_formatter(NullFormatter())
    memory_axes.set(ylabel="peak memory, GiB")
    memory_axes.set_ylim(bottom=0)
    for axes in (time_axes, memory_axes):
        axes.set(xscale="log", xlabel="items in the catalogue")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*time_axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    with replacing(config.out / "growth.svg") as temporary:
        figure.savefig(temporary, format="svg")
    plt.close(figure)


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.catalogue_growth"))
