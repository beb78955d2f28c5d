"""All stages on a small simulated log: prepare, pretrain, two towers, CTR models, report."""

import contextlib
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.training.config import TrainConfig

Split = Literal["leave_one_out", "time"]

LABELS = {  # name in the report → label in the printed table; the report has more of them
    "popular": "most popular items",
    "markov": "first-order Markov chain",
    "encoder": "our encoder",
    "two_towers": "our two towers",
    "best possible": "best possible",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Run all stages on a small simulated log, whose best possible recommender is known."""

    out: Path = Path("runs/demo")
    """Folder for the log, the runs and the report; an earlier demo there is replaced."""

    users: int = 3000
    """Users of the log; time grows with it."""

    epochs: int = 12
    """Passes over the histories for the encoder; the two towers, which start from it, get half as many."""

    seed: int = 0
    """Random seed of the log and of all training."""

    json: bool = False
    """Print the metrics as one JSON object instead of a table."""

    def __post_init__(self) -> None:
        if self.users < 100 or self.epochs < 1:
            raise InputError(f"users is {self.users} (at least 100), epochs {self.epochs} (at least 1).")


def run(config: Config) -> dict[str, Any]:
    """Run every stage; print the metrics of each recommender and the path of the report.

    Returns:
        ``recall@10`` by recommender, ``auc`` by CTR model, ``seconds`` and ``report``.
    """
    start = time.monotonic()
    _clear(config.out)
    with contextlib.redirect_stdout(sys.stderr):  # of the stages; stdout gets the metrics alone
        truth = _simulate(config)
        dataset = _prepare(config, "leave_one_out")
        _pretrain(config, "leave_one_out", "encoder", config.epochs)
        _two_towers(config, dataset)
        recall = _evaluate(config, dataset)
        dataset = _prepare(config, "time")  # a CTR model must know nothing from after the impressions that test it
        _pretrain(config, "time", "encoder_by_time", max(1, config.epochs // 3))
        auc = {name: _ctr_model(config, dataset, name) for name in ("plain history", "pretrained encoder")}
    results = {
        "recall@10": recall,
        "auc": {**auc, "best possible": truth["best_auc"]["click"]},
        "seconds": round(time.monotonic() - start, 1),
        "report": str(config.out / "report" / "report.html"),
    }
    print(json.dumps(results) if config.json else _table(results, config))
    return results


def _clear(out: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    from recsys_bert.files import write_json

    mark = out / "demo.json"
    if out.exists() and not mark.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} exists and holds no demo. Choose another --out.")
    shutil.rmtree(out, ignore_errors=True)
    write_json(mark, {"made_by": "recsys-bert demo"})


def _simulate(config: Config) -> dict[str, Any]:
    from pipelines import simulate
    from recsys_bert.clicks.simulation.config import SimulateConfig

    _say("simulate a click log")
    log = SimulateConfig(users=config.users, seed=config.seed)
    return simulate.run(simulate.Config(out=config.out / "log", log=log))


def _prepare(config: Config, split: Split) -> "ClickDataset":
    from recsys_bert.stages.prepare import prepare

    _say(f"prepare it, held out: {'the last clicks of everybody' if split == 'leave_one_out' else 'the last days'}")
    log = config.out / "log"
    return prepare(
        log / "clicks.parquet",
        items=log / "items.parquet",
        users=log / "users.parquet",
        out=_data(config, split),
        log={"event": "event"},
        item_features={"categorical": ("category_path",), "multi": ("tags",)},
        user_features={"categorical": ("age_group", "country")},
        split={"kind": split},
    )


def _pretrain(config: Config, split: Split, name: str, epochs: int) -> None:
    from pipelines import pretrain
    from recsys_bert.encoder.config import EncoderConfig

    _say("pretrain an encoder on the histories")
    pretrain.run(
        pretrain.Config(
            data=_data(config, split),
            out=config.out / name,
            objective="next_item",
            features=("category_path", "tags"),
            encoder=EncoderConfig(max_len=50, fusion="scalar_mix", dropout=0.3),
            train=_training(config, epochs),
        )
    )


def _two_towers(config: Config, dataset: "ClickDataset") -> None:
    from recsys_bert.stages.train_retrieval import train_retrieval

    _say("train two towers on top of it, and index the items")
    train_retrieval(
        dataset,
        init=config.out / "encoder",
        out=config.out / "two_towers",
        towers={
            "item_features": ("category_path", "tags"),
            "user_features": ("age_group", "country"),
            "dropout": 0.2,
        },
        loss={"temperature": 0.1},
        train=_training(config, max(1, config.epochs // 2), 2e-3),
    )


def _training(config: Config, epochs: int, lr: float = 4e-3) -> "TrainConfig":
    from recsys_bert.training.config import ScheduleConfig, TrainConfig

    return TrainConfig(
        epochs=epochs,
        batch_size=64,
        lr=lr,
        schedule=ScheduleConfig(name="cosine", warmup_steps=50),
        validate_every=max(1, epochs // 3),
        seed=config.seed,
    )


def _evaluate(config: Config, dataset: "ClickDataset") -> dict[str, float]:
    from recsys_bert.stages.evaluate import evaluate

    _say("rank the full catalogue for every user")
    evaluation = evaluate(
        [config.out / "two_towers", config.out / "encoder"],
        dataset,
        truth=config.out / "log" / "truth.parquet",
        out=config.out / "report",
        seed=config.seed,
    )
    print(evaluation)
    recall = dict(evaluation.table.select("model", "recall@10").iter_rows())
    return {name: recall[name] for name in LABELS}


def _ctr_model(config: Config, dataset: "ClickDataset", name: str) -> float:
    from recsys_bert.stages.train_ctr import train_ctr

    _say(f"train a CTR model on impressions, with {name}")
    encoder = config.out / "encoder_by_time" if name == "pretrained encoder" else None
    model = train_ctr(
        config.out / "log" / "impressions.parquet",
        dataset=dataset,
        out=config.out / ("clicks_" + name.replace(" ", "_")),
        columns={"user": "user_id", "item": "item_id", "time": "timestamp", "label": "click"},
        features={"categorical": ("device", "position")},
        model={"head": "din"} if encoder is None else {"head": "din", "encoder": encoder},
        train={"epochs": 3, "batch_size": 256, "monitor": "auc", "seed": config.seed},
    )
    auc: float = model.metrics["test"]["auc"]
    return auc


def _data(config: Config, split: Split) -> Path:
    return config.out / f"prepared_{split}"


def _say(text: str) -> None:
    print(f"\n── {text}", file=sys.stderr, flush=True)


def _table(results: dict[str, Any], config: Config) -> str:
    lines = [f"\nrecall@10, last click of {config.users:,} users, all items ranked, seen items removed"]
    lines += [_bar(LABELS[name], value) for name, value in results["recall@10"].items()]
    lines += ["\nAUC of CTR models on the impressions of the last days (best possible: on all impressions)"]
    lines += [_bar(name, value) for name, value in results["auc"].items()]
    lines += [f"\n{results['seconds']:.0f} s in all. Report: {results['report']}"]
    return "\n".join(lines)


def _bar(name: str, value: float) -> str:
    return f"  {name:<26}{value:.3f}  {'█' * round(40 * value)}"
