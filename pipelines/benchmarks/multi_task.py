"""Several labels in one CTR model beside a model for each label, on a simulated log whose best AUC is known.

    python -m pipelines.benchmarks.multi_task --users 4000 --seeds 3 --out runs/multi-task

Users click, like what they clicked and buy what they liked. Each label's own model (`single`) and each multi-task part
have the same head, features, epochs and split by time; the table has AUC on the test impressions, mean and standard
deviation over seeds, and the AUC of the true probabilities.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl

import recsys_bert as rb
from pipelines.benchmarks.tables import write_tables
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.impressions import TASKS
from recsys_bert.clicks.simulation.oracle import best_auc
from recsys_bert.clicks.simulation.simulate import simulate
from recsys_bert.ctr.multi_task import MULTI_TASK

FEATURES = {
    "ids": ["item"],  # ids of users make every model worse on validation
    "categorical": ["device", "position", "category_path"],
    "numeric": ["price"],
    "multi": ["tags"],
}
SIDE = ("category_path", "tags", "price")


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Train all, print and write the table; returns the contents of the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=4000)
    parser.add_argument("--impressions", type=float, default=25, help="mean number of a user")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--head", default="din")
    parser.add_argument("--hidden", type=int, nargs="*", default=[64], help="layers of the head below the tasks")
    parser.add_argument("--out", type=Path, required=True, help="path of the tables, without ending")
    args = parser.parse_args(argv)

    log = simulate(SimulateConfig(users=args.users, impressions=args.impressions))
    dataset = rb.prepare(
        log.clicks,
        users=log.users,
        user_features={"categorical": ["age_group"]},
        split={"kind": "time"},
    )
    impressions = log.impressions.join(log.items.select("item_id", *SIDE), on="item_id", maintain_order="left")
    border = dataset.manifest.split["test_from"]
    test = impressions.filter(pl.col("timestamp") >= border)
    best = {task: best_auc(test[f"{task}_probability"].to_numpy()) for task in TASKS}
    runs: dict[str, list[dict[str, float]]] = {}
    for seed in range(args.seeds):
        for name in ("single", *MULTI_TASK):
            values = _train(name, impressions, dataset, args, seed)
            runs.setdefault(name, []).append(values)
            print(name, seed, {key: round(value, 4) for key, value in values.items()}, file=sys.stderr, flush=True)
    sizes = f"{len(impressions):,} impressions, {len(test):,} of them test"
    rates = ", ".join(f"{task} {test[task].to_numpy().mean():.1%}" for task in TASKS)
    result = {"best": best, "runs": runs, "users": args.users, "impressions": len(impressions), "test": len(test)}
    write_tables(args.out, f"{sizes} ({rates}); head {args.head}\n\n{_table(runs, best)}", result)
    return result


def _train(name: str, impressions: pl.DataFrame, dataset: rb.ClickDataset, args: Any, seed: int) -> dict[str, float]:
    """AUC by label and seconds, of one model for all labels or of one each."""
    columns = {"user": "user_id", "item": "item_id", "time": "timestamp"}
    model = {"head": args.head, "head_options": {"hidden": args.hidden}, "history_len": 30}
    train = {"epochs": args.epochs, "batch_size": 512, "lr": 2e-3, "seed": seed, "precision": "fp32"}
    settings: dict[str, Any] = {"dataset": dataset, "features": FEATURES, "train": train}
    start = time.monotonic()
    if name == "single":
        values = {}
        for task in TASKS:
            trained = rb.train_ctr(impressions, columns=columns | {"label": task}, model=model, **settings)
            values[task] = trained.metrics["test"]["auc"]
    else:
        model = model | {"multi_task": name}
        trained = rb.train_ctr(impressions, columns=columns | {"labels": list(TASKS)}, model=model, **settings)
        values = {task: trained.metrics["test"][f"{task}.auc"] for task in TASKS}
    return values | {"seconds": time.monotonic() - start}


def _table(runs: dict[str, list[dict[str, float]]], best: dict[str, float]) -> str:
    """Markdown: one row a model, one column a label."""
    lines = [f"| model | {' | '.join(f'{task}, AUC' for task in TASKS)} | seconds |", "|---|---|---|---|---|"]
    for name, values in runs.items():
        cells = [_spread([one[task] for one in values]) for task in TASKS]
        lines.append(f"| {name} | {' | '.join(cells)} | {statistics.mean(one['seconds'] for one in values):.0f} |")
    lines.append(f"| best possible | {' | '.join(f'{best[task]:.4f}' for task in TASKS)} | |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


if __name__ == "__main__":
    main()
