"""Encoders that read when events happened: the right moments from log to lists, and what has none refused."""

import numpy as np
import polars as pl
import pytest
import torch

from pipelines.prepare import Config, run
from recsys_bert.clicks.batches import HistoryBatches
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import MASK
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.next_item import next_item
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.config import TOWERS_LOSS, TowersConfig
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.retrieval.two_tower import build_two_tower
from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker, load_two_tower, save_two_tower
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, save_encoder

TIMED = [{"layer": "hstu", "times": True}, {"time_gaps": True}, {"layer": "hstu", "times": True, "time_gaps": True}]


@pytest.fixture(scope="module")
def timeless(side_log, tmp_path_factory):
    """The same clicks without times."""
    folder = tmp_path_factory.mktemp("timeless")
    path = side_log.folder.parent / "log.parquet"
    pl.read_parquet(path).drop("timestamp").write_parquet(folder / "log.parquet")
    run(Config(events=str(folder / "log.parquet"), log=LogConfig(time=None), out=folder / "data"))
    return open_dataset(folder / "data")


def one_by_one(encoder, queries, appended=False):
    """States at the last position, or at an appended mask with the timestamp of the last event."""
    data, user_vectors = queries.histories, []
    for start, stop in zip(queries.start, queries.stop, strict=True):
        start = max(start, stop - encoder.config.max_len + appended)
        rows, times = data.items[start:stop].tolist(), data.times[start:stop].tolist()
        if appended:
            rows, times = [*rows, MASK], [*times, times[-1]]
        with torch.no_grad():
            user_vectors.append(encoder(torch.tensor([rows]), times=torch.tensor([times])).tokens[0, -1])
    return torch.stack(user_vectors)


@pytest.mark.parametrize("settings", TIMED, ids=["times", "gaps", "both"])
@pytest.mark.parametrize("objective", ["masked", "next_item"])
@pytest.mark.usefixtures("in_float32")
def test_a_saved_encoder_ranks_by_the_times_of_the_log(side_log, encoder, tmp_path, objective, settings):
    model = encoder(attention="causal" if objective == "next_item" else "bidirectional", **settings).eval()
    prediction = TokenPrediction(model, LossConfig(), first_row=side_log.vocabulary.first_item)
    pretrained = PretrainedEncoder(prediction, objective)
    save_encoder(tmp_path / "run" / "encoder", pretrained, side_log)
    queries = Queries.of(side_log, "test")
    user_vectors = load_ranker(tmp_path / "run", side_log).user_vectors(queries)
    expected = one_by_one(model, queries, appended=objective == "masked")
    np.testing.assert_allclose(user_vectors, expected, atol=1e-4)
    parts = [
        (side_log.histories.items[start:stop], side_log.histories.times[start:stop] + 86_400)
        for start, stop in zip(queries.start, queries.stop, strict=True)
    ]
    typed = Queries.from_lists([rows for rows, _ in parts], event_times=[times for _, times in parts])
    np.testing.assert_allclose(EncoderRanker(pretrained).user_vectors(typed), expected, atol=1e-4)


@pytest.mark.usefixtures("in_float32")
def test_saved_towers_rank_by_the_times_of_the_log(side_log, encoder, tmp_path):
    model = build_two_tower(encoder(**TIMED[2]), TowersConfig(), TOWERS_LOSS, side_log).eval()
    save_two_tower(tmp_path / "two_tower", model, side_log)
    queries = Queries.of(side_log, "test")
    states = one_by_one(model.encoder, queries)
    expected = model.user_side(states, torch.from_numpy(queries.users)).detach()
    for ranker in (TwoTowerRanker(model), load_two_tower(tmp_path, side_log)):
        assert ranker.reads_times
        np.testing.assert_allclose(ranker.user_vectors(queries), expected, atol=1e-4)


@pytest.mark.parametrize("settings", TIMED[:2], ids=["times", "gaps"])
def test_histories_and_logs_without_times_are_refused(side_log, timeless, encoder, tmp_path, settings):
    prediction = TokenPrediction(encoder(**settings), LossConfig(), first_row=side_log.vocabulary.first_item)
    with pytest.raises(InputError, match="these histories have no times"):
        EncoderRanker(PretrainedEncoder(prediction, "next_item")).user_vectors(Queries.from_lists([[5, 6]]))
    with pytest.raises(InputError, match=r"read when events happened, but .* has no times. Leave them out, or prepare"):
        build_two_tower(encoder(**settings), TowersConfig(), TOWERS_LOSS, timeless)
    save_encoder(tmp_path / "encoder", PretrainedEncoder(prediction, "next_item"), timeless)
    with pytest.raises(InputError, match=r"read when events happened, but .* has no times"):
        load_ranker(tmp_path, timeless)


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "best"), [(TIMED[0], 0.0), (TIMED[1], 0.0), ({"layer": "hstu"}, np.log(2))])
def test_what_only_times_tell_is_learned_from_times_alone(settings, best):
    """Two items; after a pause of an hour comes the one, after a pause of a minute the other."""
    random = np.random.default_rng(0)
    n, length, first = 400, 8, 3
    paused = random.integers(0, 2, (n, length))
    items = np.concatenate([random.integers(0, 2, (n, 1)), paused[:, :-1]], axis=1) + first
    times = 1_700_000_000 + np.where(paused, 3_600, 60).cumsum(axis=1)
    offsets = np.arange(n + 1) * length
    ends = offsets[1:]
    data = Histories(items.astype(np.int32).ravel(), times.ravel(), None, offsets, ends, ends)

    def make(crops, random):
        return next_item(crops.items, crops.lengths, first, crops.times)

    config = EncoderConfig(
        vocab_size=first + 2, dim=16, n_layers=1, max_len=length, attention="causal", dropout=0, **settings
    )
    batches = HistoryBatches(data, make, batch_size=50, length=length, times=config.needs_times)
    torch.manual_seed(0)
    prediction = TokenPrediction(Encoder(config), LossConfig(), first_row=first)
    optimiser, losses = torch.optim.Adam(prediction.parameters(), lr=0.01), []
    for batch in (batch for epoch in range(20) for batch in batches(epoch)):
        del batch["n_targets"]
        # the first position has no pause before it, so that nobody can know what follows
        batch["positions"], batch["targets"] = (
            batch[k][batch["positions"] % (length - 1) > 0] for k in ("positions", "targets")
        )
        loss = prediction({name: torch.from_numpy(value) for name, value in batch.items()})
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-8:]) == pytest.approx(best, abs=0.05)
