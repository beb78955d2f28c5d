"""Load any trained run as a ranker."""

from pathlib import Path

from recsys_bert.clicks.dataset import Prepared
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.score_fusion import is_blend, load_blend, trained_runs
from recsys_bert.user_encoder.checkpoint import load_encoder


def load_ranker(run: Path, prepared: "Prepared") -> Ranker:
    """Load a run of ``pretrain``, ``train-retrieval`` or ``blend`` for ranking.

    Raises:
        InputError: The folder is not such a run, is damaged, or belongs to another vocabulary.
    """
    run = Path(run)
    if is_blend(run):
        return load_blend(run, [load_ranker(one, prepared) for one in trained_runs(run)], prepared)
    if (run / "two_tower" / "config.json").exists():
        from recsys_bert.retrieval.two_tower import load_two_tower

        return load_two_tower(run, prepared)
    encoder, objective, loss = load_encoder(run, prepared)
    tables = {feature.name: prepared.item_features[feature.name] for feature in encoder.config.features}
    prediction = TokenPrediction(encoder, loss, first_row=prepared.vocabulary.first_item, features=tables).eval()
    return EncoderRanker(prediction, objective, run.name)
