"""Load any trained run as a ranker."""

from pathlib import Path

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.score_fusion import is_score_fusion, load_score_fusion, trained_runs
from recsys_bert.user_encoder.checkpoint import load_encoder


def load_ranker(run: Path, dataset: "ClickDataset") -> Ranker:
    """Load a run of ``pretrain``, ``train-retrieval`` or ``score_fusion`` for ranking.

    Raises:
        InputError: The folder is not such a run, is damaged, or belongs to another vocabulary.
    """
    run = Path(run)
    if is_score_fusion(run):
        return load_score_fusion(run, [load_ranker(one, dataset) for one in trained_runs(run)], dataset)
    if (run / "two_tower" / "config.json").exists():
        from recsys_bert.retrieval.two_tower import load_two_tower

        return load_two_tower(run, dataset)
    encoder, objective, loss = load_encoder(run, dataset)
    tables = {feature.name: dataset.item_features[feature.name] for feature in encoder.config.features}
    prediction = TokenPrediction(encoder, loss, first_row=dataset.vocabulary.first_item, features=tables).eval()
    return EncoderRanker(prediction, objective, run.name)
