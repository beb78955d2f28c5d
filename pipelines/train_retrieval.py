"""Train two towers on click histories, and index the items."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from recsys_bert.stages.text_feature import check_text_encoder
from recsys_bert.stages.train_retrieval_config import TrainRetrievalConfig, check_init


@dataclass(frozen=True, kw_only=True)
class Config(TrainRetrievalConfig):
    """Train two towers on a prepared click log and index the items."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "data",
        "out",
        "init",
        "encoder_lr",
        "item_init",
        "features",
        "text",
        "text_encoder",
        "encoder.dim",
        "encoder.n_layers",
        "encoder.n_heads",
        "encoder.max_len",
        "encoder.dropout",
        "encoder.layer",
        "encoder.fusion",
        "towers.item_features",
        "towers.user_features",
        "loss.name",
        "loss.similarity",
        "index.factory",
        "train.epochs",
        "train.batch_size",
        "train.lr",
        "train.patience",
        "train.seed",
    )

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    init: Path | None = None
    """Run of `pretrain` whose encoder the user tower starts from, or of `train-retrieval` whose towers go on; its
    [encoder] and [towers] settings are taken over. Where the log has grown since, its items keep their weights. The
    optimiser starts anew."""

    text_encoder: Path | None = None
    """Text encoder that is trained with the towers where text is ``trained``: run of `text pretrain` or of a text task,
    its encoder, or a Hugging Face folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_init(self, self.init)
        check_text_encoder(self.text, self.text_encoder)

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse settings without effect, those that ``init`` overrides included.

        Raises:
            InputError: One of those that were named has none.
        """
        super().check_named(names)
        check_init(self, self.init, names)


def run(config: Config) -> dict[str, Any]:
    """Train, keep the best epoch's weights, write ``out/two_tower`` and ``out/index``.

    Returns:
        Best validation metric, epochs, seconds, parameters, items indexed.
    """
    from pipelines.support.text_sources import text_source
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.stages.train_retrieval import train_retrieval

    encoder = None if config.text_encoder is None else text_source("encoder", config.text_encoder)
    dataset = open_dataset(config.data)
    return train_retrieval(dataset, init=config.init, text_encoder=encoder, out=config.out, config=config).summary
