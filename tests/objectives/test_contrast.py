"""Contrastive second losses on histories: their views, the loss against a plain loop, refusals."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contracts.click_runs import make_log

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.contrast.cl4srec import CL4SRec, cropped, masked, reordered
from recsys_bert.objectives.contrast.contrast import (
    ContrastiveLoss,
    ViewBatches,
    before_last_target,
    with_mask,
)
from recsys_bert.objectives.contrast.duorec import DuoRec
from recsys_bert.objectives.contrast.simcse import SimCSE
from recsys_bert.objectives.next_item import NextItem
from recsys_bert.objectives.sequences import Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.stages.pretrain import pretrain
from recsys_bert.user_encoder.same_target import HistoriesByTarget

TABLE = TokenTable(mask=1, first=3, size=13)


def histories():
    """Six histories with times; the last one ends in an unknown item (2)."""
    tokens = np.array([[3, 4, 5, 6], [4, 6, 0, 0], [7, 8, 9, 3], [5, 4, 6, 0], [3, 0, 0, 0], [9, 8, 2, 0]], np.int32)
    times = np.where(tokens > 0, 10 * np.arange(1, 5), 0)
    lengths = (tokens > 0).sum(axis=1)
    return Sequences(tokens=tokens, lengths=lengths, open_ended=True, allowed=tokens >= 3, times=times)


def test_a_view_ends_before_the_last_known_item_and_has_the_query_of_the_objective():
    views, targets = before_last_target(histories(), TABLE.first)
    assert targets.tolist() == [6, 6, 3, 6, 8]  # the fifth has one event, the sixth a known item before the unknown one
    assert views.tokens.tolist() == [[3, 4, 5], [4, 0, 0], [7, 8, 9], [5, 4, 0], [9, 0, 0]]
    queried = with_mask(views, TABLE.mask)
    assert queried.tokens[:2].tolist() == [[3, 4, 5, 1], [4, 1, 0, 0]]
    assert queried.times[:2].tolist() == [[10, 20, 30, 30], [10, 10, 0, 0]]
    assert queried.lengths.tolist() == [4, 2, 4, 3, 2]


@pytest.mark.parametrize("appends_mask", [False, True])
def test_the_loss_is_that_of_a_plain_loop(appends_mask):
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(vocab_size=13, attention="causal", dim=16, n_layers=1, n_heads=2, max_len=8))
    prediction = TokenPrediction(encoder, LossConfig(), first_row=3, counts=np.ones(13, np.int64))
    contrast = DuoRec(temperature=0.5, weight=0.3)
    module = ContrastiveLoss(prediction, contrast).eval()

    def reversed_histories(targets, random):
        views, own = before_last_target(histories(), TABLE.first)
        assert targets.tolist() == own.tolist()
        return cropped(views, 0.5, np.random.default_rng(1))

    batch = NextItem().make_batch(histories(), TABLE, np.random.default_rng(0))
    plain = {name: torch.from_numpy(value) for name, value in batch.items() if isinstance(value, np.ndarray)}
    views = ViewBatches(contrast, TABLE, reversed_histories, appends_mask=appends_mask)
    views.add_to(batch, histories(), np.random.default_rng(0))
    batch = {name: torch.from_numpy(value) for name, value in batch.items() if isinstance(value, np.ndarray)}
    parts = [before_last_target(histories(), TABLE.first)[0], reversed_histories(batch["view_group"], None)]
    vectors = []
    for part in parts:
        for tokens, length in zip(part.tokens, part.lengths, strict=True):
            events = [*tokens[:length].tolist(), *([TABLE.mask] if appends_mask else [])]
            vectors.append(F.normalize(encoder(torch.tensor([events])).tokens[0, -1], dim=0))
    targets = [6, 6, 3, 6, 8] * 2
    losses = []
    for i in range(10):
        scores = {
            j: vectors[i] @ vectors[j] / 0.5 for j in range(10) if j % 5 == (i + 5) % 5 or targets[j] != targets[i]
        }
        scores.pop(i)
        losses.append(torch.logsumexp(torch.stack(list(scores.values())), 0) - scores[(i + 5) % 10])
    torch.testing.assert_close(module(batch) - prediction(plain), 0.3 * torch.stack(losses).mean())
    torch.testing.assert_close(module(plain), prediction(plain))  # a batch without views


def test_crops_masks_and_reorderings_change_no_more_than_their_share():
    random = np.random.default_rng(0)
    lengths = random.integers(1, 11, 200)
    real = np.arange(10) < lengths[:, None]
    tokens = np.where(real, 20 + np.arange(10), 0)  # ascending, so that runs and moves are seen
    kinds, times = np.where(real, 5, 0), np.where(real, np.arange(10), 0)
    before = Sequences(tokens=tokens, lengths=lengths, open_ended=True, times=times, features={"kind": kinds})
    crop = cropped(before, 0.5, random)
    assert crop.lengths.tolist() == np.maximum(lengths // 2, 1).tolist()
    for row, length in enumerate(crop.lengths):
        run = crop.tokens[row, :length]
        assert (np.diff(run) == 1).all()
        assert run[-1] < 20 + lengths[row]
        assert crop.times[row, :length].tolist() == (run - 20).tolist()
        assert not crop.tokens[row, length:].any()
    hidden = masked(before, 0.3, 1, random)
    assert ((hidden.tokens == 1).sum(axis=1) == (0.3 * lengths).astype(int)).all()
    assert ((hidden.tokens == 1) == (real & (hidden.features["kind"] == 0))).all()
    moved = reordered(before, 0.5, random)
    np.testing.assert_array_equal(np.sort(np.where(real, moved.tokens, 99)), np.sort(np.where(real, tokens, 99)))
    assert ((moved.tokens != tokens).sum(axis=1) <= lengths // 2).all()
    assert (moved.tokens != tokens).any()
    np.testing.assert_array_equal(moved.times, times)


def test_views_of_cl4srec_are_one_augmentation_each_and_seeded():
    views, targets = before_last_target(histories(), TABLE.first)
    first, second, group = CL4SRec(mask=0.0, reorder=0.0, crop=0.4).views(
        views, targets, TABLE, None, np.random.default_rng(0)
    )
    assert (first.lengths == np.maximum((0.4 * views.lengths).astype(int), 1)).all()
    assert group.tolist() == [0, 1, 2, 3, 4]
    again = CL4SRec(mask=0.0, reorder=0.0, crop=0.4).views(views, targets, TABLE, None, np.random.default_rng(0))
    np.testing.assert_array_equal(again[1].tokens, second.tokens)


def test_histories_of_a_target_are_those_before_one_of_its_training_events(tmp_path):
    dataset = make_log(tmp_path / "data")
    log = dataset.histories
    possible = {}
    for user in range(log.n_users):
        for event in range(log.offsets[user] + 1, log.train_end[user]):
            before = tuple(log.items[max(log.offsets[user], event - 4) : event].tolist())
            possible.setdefault(int(log.items[event]), set()).add(before)
    draw = HistoriesByTarget(dataset, np.array([], int), 4, times=True, event_types=False)
    targets = np.array([target for target in possible if target >= dataset.vocabulary.first_item] * 20)
    sequences = draw(targets, np.random.default_rng(0))
    by_target = {}
    for target, tokens, length in zip(targets.tolist(), sequences.tokens, sequences.lengths, strict=True):
        by_target.setdefault(target, set()).add(tuple(tokens[:length].tolist()))
    assert all(parts <= possible[target] for target, parts in by_target.items())
    assert sum(len(parts) for parts in by_target.values()) > 3 * len(by_target)
    assert (np.diff(sequences.times, axis=1)[sequences.mask[:, 1:]] >= 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"second_loss": "cl4sr"}, "no second loss is called 'cl4sr'; did you mean 'cl4srec'"),
        ({"second_loss_options": {"weight": 1.0}}, "second_loss_options have no effect without a second_loss"),
        ({"second_loss": "simcse", "text": "trained"}, "whose texts text 'trained' would have to encode"),
        (
            {"second_loss": "duorec", "teacher": "t", "distillation": {"soft_weight": 1.0}},
            "second_loss adds to the loss of true targets",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        pretrain(None, **settings)


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        (SimCSE, {"weight": 0.0}, "weight is 0.0; it must be above 0"),
        (DuoRec, {"temperature": -1.0}, "temperature is -1.0"),
        (CL4SRec, {"crop": 0.0}, "crop is 0.0; it must be a share"),
        (CL4SRec, {"mask": 1.5}, "mask is 1.5"),
        (CL4SRec, {"crop": 1.0, "mask": 0.0, "reorder": 0.0}, "change nothing"),
    ],
)
def test_options_that_do_not_fit_are_refused(part, options, message):
    with pytest.raises(InputError, match=message):
        part(**options)


def test_views_that_differ_by_dropout_need_some(tmp_path):
    dataset, settings = make_log(tmp_path / "data"), {"second_loss": "simcse", "encoder": {"dropout": 0.0}}
    with pytest.raises(InputError, match=r"encoder.dropout is 0, but the two views of second_loss differ by dropout"):
        pretrain(dataset, **settings)
