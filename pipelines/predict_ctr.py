"""Command ``predict-ctr``: score impressions with a trained CTR model."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from recsys_bert.ctr.config import FilesConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write the click probability of new impressions."""

    run: Path
    """Run folder of `train-ctr`."""

    impressions: Path
    """File with the columns of the training impressions; no label is read, nor a time if no history is."""

    out: Path
    """Parquet file to write: user, item and time where the file has them, the columns that the model reads, and
    `probability`, or one column a label as `buy_probability`; one row an impression, in the file's order. A column that
    has such a name already becomes `probability_read`."""

    data: Path | None = None
    """Prepared log, if it was moved or has grown: its vocabulary must be that of the training, or have grown from it
    (`prepare --vocabulary.of`)."""

    evaluate: bool = False
    """Read labels as well: print the metrics on these impressions."""

    files: FilesConfig = field(default_factory=FilesConfig)
    """Reading of the file; as the training file was read where none of it is set."""

    batch_size: int = 8192
    """Impressions scored at a time."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}; it must be at least 1.")
        if self.out.suffix != ".parquet":
            raise InputError(f"out is {self.out}; it is written as Parquet, so its name must end in .parquet.")
        self.files.check_used([self.impressions])
        check_place(self.out)


def run(config: Config) -> dict[str, Any]:
    """Score and write.

    Returns:
        Number of impressions, counts of unseen and missing values, and with ``evaluate`` the metrics.

    Raises:
        InputError: The run is not finished, or impressions or prepared log do not fit it; before anything is scored.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.ctr.checkpoint import CTRModel
    from recsys_bert.ctr.describe import describe_counts, describe_metrics
    from recsys_bert.ctr.inference import label_metrics
    from recsys_bert.files import replacing

    model = CTRModel.load(config.run, None if config.data is None else open_dataset(config.data))
    files = None if config.files == FilesConfig() else config.files
    impressions = model.read(config.impressions, config.evaluate, files=files)
    data = model.encode(impressions)
    predictions = model.predict_encoded(impressions, data, config.batch_size)
    results: dict[str, Any] = {"impressions": len(data), "counts": data.counts}
    if data.labels is not None:
        results["metrics"] = label_metrics(data, predictions.select(model.score_names).to_numpy(), model.tasks)
    with replacing(config.out) as temporary:
        predictions.write_parquet(temporary)
    print(f"{len(data):,} impressions scored in {config.out}{describe_counts(data.counts)}", file=sys.stderr)
    for task, text in describe_metrics(results["metrics"], model.tasks) if config.evaluate else ():
        print(f"{task}{': ' if task else ''}{text}", file=sys.stderr)
    return results
