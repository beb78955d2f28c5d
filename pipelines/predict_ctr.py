"""Score new impressions with a trained click model."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write the click probability of new impressions."""

    run: Path
    """Run folder of `train-ctr`."""

    impressions: Path
    """File with the columns that the model was trained on; the label may be missing."""

    out: Path
    """Parquet file to write: the columns that the model reads and `probability`, one row an impression, in the file's
    order. A column that is called `probability` itself becomes `probability_read`."""

    data: Path | None = None
    """ClickDataset click log, where it lies elsewhere now; its item rows must be those of the training."""

    batch_size: int = 8192
    """Impressions scored at a time."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}; it must be at least 1.")
        if self.out.suffix != ".parquet":
            raise InputError(f"out is {self.out}; it is written as Parquet, so its name must end in .parquet.")
        check_place(self.out)


def run(config: Config) -> dict[str, Any]:
    """Score and write.

    Returns:
        Number of impressions, and what was unseen or missing among them.

    Raises:
        InputError: The run is not finished, or impressions or click log do not fit it; before anything is scored.
    """
    from dataclasses import replace

    import polars as pl

    from pipelines import train_ctr
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.ctr.features import Features
    from recsys_bert.ctr.impressions import read_impressions
    from recsys_bert.ctr.model import load
    from recsys_bert.ctr.score import probabilities
    from recsys_bert.files import read_json, replacing
    from recsys_bert.settings import read_config

    if not (config.run / "metrics.json").exists():
        raise InputError(f"{config.run} holds no finished click model (metrics.json is missing). Run train-ctr first.")
    trained = read_config(train_ctr.Config, config.run / "config.toml")
    if config.data is not None and trained.data is None:
        raise InputError(f"{config.run} was trained on impressions alone and reads no click log; leave out --data.")
    if config.data is not None:
        trained = replace(trained, data=config.data)
    dataset = None if trained.data is None else open_dataset(trained.data)
    if dataset is not None:
        dataset.check_same(read_json(config.run / "metrics.json")["prepared"])
    features = Features.load(config.run / "features")
    model = train_ctr.build_model(
        trained, train_ctr.model_layout(trained, features.layout, dataset), dataset, encoder_run=config.run
    )
    load(config.run, model)
    shown = read_impressions(
        config.impressions, trained.impressions, train_ctr.feature_columns(trained), labelled=False
    )
    data = replace(train_ctr.encoded(trained, shown, features, dataset), timed=model.reads_times)
    scores = probabilities(model, data, trained.model.history_len, config.batch_size)
    frame = shown.frame.rename({"probability": "probability_read"}, strict=False)
    with replacing(config.out) as aside:
        frame.with_columns(pl.Series("probability", scores)).write_parquet(aside)
    found = "".join(f"; {what}: {count:,}" for what, count in data.counts.items() if count)
    print(f"{len(data):,} impressions scored in {config.out}{found}", file=sys.stderr)
    return {"impressions": len(data), "counted": data.counts}
