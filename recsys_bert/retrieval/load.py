"""Load any trained run as a ranker."""

import tomllib
from pathlib import Path

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.score_fusion import is_score_fusion, load_score_fusion, trained_runs
from recsys_bert.retrieval.two_tower import load_two_tower
from recsys_bert.user_encoder.checkpoint import load_encoder
from recsys_bert.user_encoder.unchanged import weights_fingerprint


def load_ranker(run: Path, dataset: "ClickDataset") -> Ranker:
    """Load a run of ``pretrain``, ``train-retrieval`` or ``score_fusion`` for ranking.

    Raises:
        InputError: The folder is not such a run, is damaged, or belongs to another vocabulary.
    """
    run = Path(run)
    if is_score_fusion(run):
        return load_score_fusion(run, [load_ranker(one, dataset) for one in trained_runs(run)], dataset)
    if (run / "two_tower" / "config.json").exists():
        return load_two_tower(run, dataset)
    encoder, objective, loss = load_encoder(run, dataset)
    tables = {feature.name: dataset.item_features[feature.name] for feature in encoder.config.features}
    prediction = TokenPrediction(encoder, loss, first_row=dataset.vocabulary.first_item, features=tables).eval()
    return EncoderRanker(prediction, objective, run.name)


def ranker_fingerprint(run: Path) -> str:
    """Hash of the trained weights of a run, or of the runs that a score fusion is made of."""
    return weights_fingerprint(*trained_runs(run))


def open_run(run: Path, dataset: "ClickDataset") -> "Ranker":
    """Load a run of ``pretrain``, ``train-retrieval`` or ``fuse``; it encodes in the precision that it was trained in.

    Raises:
        InputError: See ``load_ranker``; or its ``config.toml`` is damaged.
    """
    if is_score_fusion(run):
        return load_score_fusion(run, [open_run(one, dataset) for one in trained_runs(run)], dataset)
    ranker = load_ranker(run, dataset)
    try:
        trained = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:  # a folder that was not written by a command
        return ranker
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{run}/config.toml is damaged: {error}. Train the run again.") from error
    ranker.precision = trained.get("train", {}).get("precision", ranker.precision)
    return ranker
