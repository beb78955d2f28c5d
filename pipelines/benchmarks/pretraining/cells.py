"""Cells of the table: one training, or none, and the values of its test users or impressions, in a file."""

import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import recsys_bert as rb
from pipelines.benchmarks.pretraining.logs import LOGS, OTHERS, prepared, restricted, text_vectors
from pipelines.benchmarks.pretraining.untrained import Untrained
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.evaluation.classification import auc_placements
from recsys_bert.evaluation.ranking import per_user
from recsys_bert.files import replacing

Values = NDArray[np.float64]
ENCODER: dict[str, Any] = {
    "dim": 32,
    "n_layers": 1,
    "n_heads": 2,
    "max_len": 30,
    "dropout": 0.2,
    "residual_init_scale": 0.01,
}
BATCH, STEPS = 64, 250
COMMON: dict[str, Any] = {"validation_users": 500, "crop": "random"}
LOSS: dict[str, Any] = {"similarity": "cosine", "temperature": 0.1}
MASKED: dict[str, Any] = {"objective": "masked", "objective_options": {"mask_prob": 0.3}}
IMPRESSIONS: dict[str, Any] = {
    "columns": {"label": "rating >= 4", "user": "user_id", "item": "item_id", "time": "timestamp"},
    "features": {"ids": ["item"]},
}
CTR_MODEL: dict[str, Any] = {
    "head": "dcn_v2",
    "dim": 16,
    "embedding_l2": 0.001,
    "history_len": 29,
    "head_options": {"hidden": [64], "dropout": 0.3},
}


@dataclass(frozen=True)
class Cell:
    """One entry of the table, with one seed."""

    task: str
    log: str
    scenario: str
    start: str
    seed: int

    def __str__(self) -> str:
        return f"{self.task}, {self.log}, {self.scenario}, {self.start}, seed {self.seed}"

    @property
    def file(self) -> str:
        """Name of its file."""
        return str(self).replace(", ", "_").replace(" ", "-").replace("%", "percent") + ".npz"


class Workshop:
    """Fills cells.

    Args:
        data: Folder of the public logs.
        out: Folder of the cells.
        users: Of a log at most.
        test_users: Test users at most, the first ones of a fixed draw.
        epochs: Of a training.
    """

    def __init__(self, data: Path, out: Path, users: int, test_users: int, epochs: int) -> None:
        self.data, self.out, self.users, self.test_users, self.epochs = data, out, users, test_users, epochs
        (out / "cells").mkdir(parents=True, exist_ok=True)

    @cached_property
    def logs(self) -> dict[str, ClickDataset]:
        """All logs, leave-one-out."""
        return {name: prepared(name, self.data, self.out, self.users) for name in LOGS}

    @cached_property
    def texts(self) -> dict[str, NDArray[np.float32]]:
        """Text vectors of each log, by row."""
        return text_vectors(self.logs, self.data, self.out)

    def is_finished(self, cell: Cell) -> bool:
        """True iff its file is there."""
        return (self.out / "cells" / cell.file).exists()

    def values(self, cell: Cell) -> Values:
        """One value a test user or impression; their mean is the cell's metric."""
        with np.load(self.out / "cells" / cell.file) as arrays:
            values: Values = arrays["values"]
        return values

    def fill(self, cell: Cell) -> float:
        """Train and test a cell, and write its file; seconds that it took."""
        started = time.monotonic()
        values = self._retrieval(cell) if cell.task == "retrieval" else self._click_through(cell)
        with replacing(self.out / "cells" / cell.file) as temporary, open(temporary, "wb") as file:
            np.savez(file, values=values, seconds=np.array(time.monotonic() - started))
        return time.monotonic() - started

    def _retrieval(self, cell: Cell) -> Values:
        """NDCG@10 of each test user, seen items removed; of cold items recall@10 of the users whose target is one."""
        log, unseen = restricted(self.logs[cell.log], cell.scenario, cell.seed)
        queries = Queries.of(log, "test")
        if cell.scenario == "cold items":
            target = queries.histories.items[queries.stop]
            queries = queries[np.flatnonzero(unseen[target])]
        sample = np.random.default_rng(5).permutation(len(queries))[: self.test_users]
        queries = queries[np.sort(sample)]
        text = self.texts[cell.log]
        if cell.start == "untrained":
            ranked = Untrained(text, seed=cell.seed).fit(log).rank(queries, 10)
        else:
            with tempfile.TemporaryDirectory() as folder:
                frozen = cell.scenario == "cold items"
                ranked = self._trained(cell, log, text, Path(folder), frozen).ranker.rank(queries, 10)
        values = per_user(ranked, queries.targets(), len(queries), (10,), log.vocabulary.first_item)
        return values["recall@10" if cell.scenario == "cold items" else "ndcg@10"]

    def _train(self, seed: int, log: ClickDataset) -> dict[str, Any]:
        """Settings of a training: ``epochs``, but ``STEPS`` steps at least; three of ten validations may fail."""
        n_users = int((log.histories.train_end > log.histories.offsets[:-1]).sum())
        epochs = max(self.epochs, -(-STEPS // -(-n_users // BATCH)))
        every = max(epochs // 10, 1)
        return {"epochs": epochs, "batch_size": BATCH, "lr": 2e-3, "seed": seed, "validate_every": every, "patience": 3}

    def _trained(self, cell: Cell, log: ClickDataset, text: Any, folder: Path, frozen: bool = False) -> Any:
        """Next-item model of a start; text items are frozen where they must have a vector without training."""
        train = self._train(cell.seed, log)
        if cell.start in ("random", "ppmi"):
            return rb.pretrain(log, encoder=ENCODER, loss=LOSS, item_init=cell.start, train=train, **COMMON)
        if cell.start == "masked":
            first = folder / "masked"
            settings: dict[str, Any] = MASKED | {
                "encoder": ENCODER,
                "loss": LOSS,
                "item_init": "random",
                "train": train,
            }
            rb.pretrain(log, out=first, **settings, **COMMON)
            return rb.pretrain(log, init=first, loss=LOSS, train=train, **COMMON)
        return rb.pretrain(
            log,
            item_vectors=text,
            init=self._elsewhere(cell),
            train_item_vectors=not frozen,
            loss=LOSS,
            train=train,
            **COMMON,
        )

    def _elsewhere(self, cell: Cell, objective: str = "next_item") -> Path:
        """Encoder of items by text, pretrained on other logs; once a log and seed."""
        names = OTHERS[cell.log]
        run = self.out / "encoders" / f"{objective}_{'_'.join(names)}_{cell.seed}"
        if not (run / "encoder" / "objective.json").exists():
            options: dict[str, Any] = MASKED if objective == "masked" else {"objective": objective}
            rb.pretrain(
                [self.logs[name] for name in names],
                item_vectors=[self.texts[name] for name in names],
                out=run,
                encoder=ENCODER,
                loss=LOSS,
                train=self._train(cell.seed, self.logs[names[0]]),
                **COMMON,
                **options,
            )
        return run

    def _click_through(self, cell: Cell) -> Values:
        """Placements of the test impressions, whose mean is the AUC; ratings are the views, scenarios few labels."""
        log = prepared("ml-100k", self.data, self.out, self.users, "time")
        frame = pl.read_csv(self.data / "ml-100k" / "ml-100k.inter", separator="\t", infer_schema_length=0)
        frame = frame.rename(lambda name: name.partition(":")[0]).with_columns(
            pl.col("rating").cast(pl.Float64), pl.col("timestamp").cast(pl.Float64).cast(pl.Int64)
        )
        share = {"10 %": 0.1, "1 %": 0.01}.get(cell.scenario, 1.0)
        batch, epochs = (1024, self.epochs) if share == 1 else (128, max(self.epochs, round(2 / share)))
        settings: dict[str, Any] = IMPRESSIONS | {
            "train": {"epochs": epochs, "batch_size": batch, "lr": 1e-3, "patience": 4, "monitor": "auc"}
            | {"seed": cell.seed, "schedule": {"name": "linear"}},
            "train_fraction": share,
        }
        model: dict[str, Any] = dict(CTR_MODEL)
        if cell.start in ("masked", "elsewhere"):
            model["encoder"] = self._views_encoder(cell, log)
        elif cell.start == "ppmi":
            model["item_init"] = "ppmi"
        if cell.start == "untrained":
            scores, labels, cold = self._untrained_clicks(cell, log, frame)
        else:
            trained = rb.train_ctr(frame, dataset=log, model=model, **settings)
            scores, labels, cold = self._test(log, frame, trained.probabilities(frame))
        if cell.scenario == "cold items":
            scores, labels = scores[cold], labels[cold]
        return auc_placements(labels, scores)

    def _views_encoder(self, cell: Cell, log: ClickDataset) -> Path:
        """Masked encoder of the views, started by PPMI or from elsewhere; once a seed."""
        run, epochs = self.out / "encoders" / f"views_{cell.start}_{cell.seed}", 4 * self.epochs
        if (run / "encoder" / "objective.json").exists():
            return run
        train = self._train(cell.seed, log) | {"epochs": epochs, "validate_every": epochs, "patience": 0}
        common: dict[str, Any] = MASKED | COMMON | {"loss": LOSS, "train": train, "out": run}
        if cell.start == "masked":
            rb.pretrain(log, encoder=ENCODER | {"position": "none"}, item_init="ppmi", **common)
        else:
            init = self._elsewhere(cell, "masked")
            rb.pretrain(log, item_vectors=self._texts_of(log), init=init, train_item_vectors=True, **common)
        return run

    def _texts_of(self, log: ClickDataset) -> Any:
        """Text vectors of ml-100k by the rows of its other split."""
        rows = self.logs["ml-100k"].rows(log.items["item_id"])
        text = np.zeros((log.n_rows, self.texts["ml-100k"].shape[1]), np.float32)
        text[log.vocabulary.first_item :] = self.texts["ml-100k"][rows]
        return text

    def _test(self, log: ClickDataset, frame: pl.DataFrame, scores: Any) -> tuple[Values, Any, NDArray[np.bool_]]:
        """Test impressions: their scores, labels, and the mask of cold items."""
        late = frame["timestamp"].to_numpy() >= log.manifest.split["test_from"]
        rows = log.rows(frame["item_id"])[late]
        cold = (rows < log.vocabulary.first_item) | (rows >= log.vocabulary.size)
        return np.asarray(scores)[late], (frame["rating"].to_numpy() >= 4).astype(int)[late], cold

    def _untrained_clicks(self, cell: Cell, log: ClickDataset, frame: pl.DataFrame) -> Any:
        """No labels at all: the untrained sum of counts, popularity and text as the score of each impression."""
        from recsys_bert.ctr.data import events_before, user_rows

        untrained = Untrained(self._texts_of(log), seed=cell.seed).fit(log)
        users, times = user_rows(log, frame["user_id"]), frame["timestamp"].to_numpy()
        start, stop = events_before(log.histories, users, times)
        queries = Queries(log.histories, users, start, stop, stop, times)
        scores = untrained.pairs(queries, log.rows(frame["item_id"]))
        return self._test(log, frame, scores)
