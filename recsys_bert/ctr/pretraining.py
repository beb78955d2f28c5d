"""Pretraining of a CTR model on the fields of its impressions, before any label is read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys_bert.ctr.data import CTRBatches, CTRData
from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.objectives import CTR_OBJECTIVES
from recsys_bert.ctr.objectives.columns import Columns
from recsys_bert.ctr.pretrain_config import FieldPretrainConfig
from recsys_bert.encoder.parts import build
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.loop import fit


@dataclass(frozen=True)
class FieldBatches:
    """Batches of impressions with hidden or replaced values; the same (epoch, step) gives the same batch."""

    batches: CTRBatches
    objective: Any

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return self.batches.steps

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """Yield this process's share of the epoch's batches from ``first_step`` on."""
        for step, batch in enumerate(self.batches(epoch, first_step, rank, world), first_step):
            random = np.random.default_rng([self.batches.seed, epoch, step, rank, 1])
            yield batch | self.objective.make(batch["ids"], random)


def build_objective(config: FieldPretrainConfig, module: CTRModule, data: CTRData, item: str | None) -> Any:
    """Build the objective of a CTR module.

    Args:
        config: The settings.
        module: The CTR module.
        data: Impressions that are pretrained on.
        item: Column of the target item, which a history shows: its id is not hidden then.

    Raises:
        InputError: Too few fields, a head without ``encode``, or options that are not allowed.
    """
    columns = Columns.of(module.layout, None if module.reader is None else item)
    counts = np.bincount(data.ids.ravel(), minlength=module.layout.n_values)
    arguments = (module, columns, counts)
    return build("CTR objective", config.objective, CTR_OBJECTIVES, *arguments, options=config.options)


def pretrain_fields(
    config: FieldPretrainConfig, train: TrainConfig, objective: Any, data: CTRData, history_len: int, folder: Path
) -> dict[str, Any]:
    """Train the module below its output on all impressions; resumes in ``folder``.

    Returns:
        ``objective``, ``epochs``, ``seconds`` and ``impressions``.
    """
    settings = replace(
        train,
        epochs=config.epochs,
        lr=config.lr or train.lr,
        patience=0,
        monitor="loss",
        averaging=type(train.averaging)(),
    )
    batches = FieldBatches(CTRBatches(data, train.batch_size, history_len, train.seed), objective)
    summary = fit(objective, batches, settings, folder, label=f"pretraining ({config.objective.replace('_', ' ')})")
    seconds = round(summary.seconds, 1)
    return {"objective": config.objective, "epochs": summary.epochs, "seconds": seconds, "impressions": len(data)}
