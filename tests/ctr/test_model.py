from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from recsys_bert.clicks.vocabulary import MASK, UNKNOWN
from recsys_bert.ctr import heads
from recsys_bert.ctr.heads import CTR_HEADS
from recsys_bert.ctr.history import EncodedItems, PlainItems
from recsys_bert.ctr.layout import Field, Layout
from recsys_bert.ctr.model import HISTORY_FIELDS, CTRLoss, CTRModule, learning_rates
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.weights import load_weights
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.training.checkpoints import save_weights
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder

LAYOUT = Layout((Field("c", "categorical", 5), Field("x", "number", 2), Field("m", "multi", 4, 3)))
N_ROWS, DIM = 12, 4


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(5)


@pytest.fixture
def batch():
    return {
        "ids": torch.tensor([[3, 7, 9, 10, 0], [1, 6, 8, 0, 0], [5, 7, 11, 9, 8]], dtype=torch.int32),
        "numbers": torch.tensor([[2.0], [1.0], [-0.5]]),
        "history": torch.tensor([[3, 4, 5], [6, 0, 0], [0, 0, 0]], dtype=torch.int32),
        "target": torch.tensor([4, 7, 40], dtype=torch.int32),  # 40 is a cold item
        "label": torch.tensor([1.0, 0.0, 1.0]),
    }


def _pretrained(masked, similarity="dot"):
    config = EncoderConfig(
        vocab_size=N_ROWS,
        dim=8,
        n_layers=1,
        n_heads=2,
        max_len=6,
        attention="bidirectional" if masked else "causal",
        dropout=0.5,
        init_std=0.5,
    )
    loss = LossConfig(similarity=similarity, temperature=0.1 if similarity == "cosine" else 0.06)
    prediction = TokenPrediction(Encoder(config), loss, first_row=3)
    return PretrainedEncoder(prediction, "masked" if masked else "next_item")


def _reader(kind):
    if kind == "plain":
        return PlainItems(N_ROWS, DIM, 0.5)
    mode, objective = kind.split()
    return EncodedItems(_pretrained(objective == "masked"), DIM, mode == "frozen")


READERS = ("plain", "frozen masked", "frozen next", "tuned masked", "tuned next")


@pytest.fixture(params=READERS)
def kind(request):
    return request.param


@pytest.fixture
def model(kind):
    return CTRModule(LAYOUT, CTRModelConfig(head="din", dim=DIM, init_std=0.5), _reader(kind))


def test_fields_are_looked_up_scaled_and_averaged(batch):
    model = CTRModule(LAYOUT, CTRModelConfig(head="lr", dim=DIM, init_std=0.5))
    rows = model.table.weight
    expected = torch.stack([rows[3], 2 * rows[7], (rows[9] + rows[10]) / 2])
    torch.testing.assert_close(model._fields(batch["ids"], batch["numbers"])[0], expected)


def test_plain_categorical_fields_are_the_table_itself():
    layout = Layout((Field("a", "categorical", 3), Field("b", "categorical", 3)))
    model = CTRModule(layout, CTRModelConfig(head="lr", dim=2, init_std=0.5))
    ids = torch.tensor([[1, 4], [3, 6]], dtype=torch.int32)
    assert model._fields(ids, torch.zeros(2, 0)).equal(model.table.weight[ids.long()])


@pytest.mark.parametrize("head", sorted(CTR_HEADS))
def test_every_head_overfits_one_batch(head, batch):
    model = CTRModule(LAYOUT, CTRModelConfig(head=head, dim=DIM, init_std=0.1), PlainItems(N_ROWS, DIM, 0.1))
    loss = CTRLoss(model)
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
    first = loss(batch).item()
    for _ in range(60):
        optimiser.zero_grad()
        loss(batch).backward()
        optimiser.step()
    assert loss(batch).item() < 0.3 * first


@pytest.mark.parametrize("head", ["din", "bst"])
def test_sequence_heads_refuse_impressions_without_history(head):
    with pytest.raises(InputError, match=f"head '{head}' reads the history"):
        CTRModule(LAYOUT, CTRModelConfig(head=head, dim=DIM))


def test_no_field_at_all_is_refused():
    with pytest.raises(InputError, match="have no field"):
        CTRModule(Layout(()), CTRModelConfig(head="lr"))


def test_padding_of_the_history_changes_nothing(model, batch):
    model.eval()
    wider = batch | {"history": nn.functional.pad(batch["history"], (0, 2))}
    torch.testing.assert_close(model(wider), model(batch))


def test_a_batch_without_any_history_works(model, batch):
    model.eval()
    empty = batch | {"history": batch["history"][:, :0]}
    zeros = batch | {"history": torch.zeros_like(batch["history"])}
    torch.testing.assert_close(model(empty), model(zeros))
    assert torch.isfinite(model(empty)).all()


def test_history_and_target_matter(model, batch):
    model.eval()
    logits = model(batch)
    other_history = model(batch | {"history": torch.tensor([[8, 4, 5], [9, 0, 0], [0, 0, 0]])})
    assert ((other_history - logits).abs() > 1e-6).tolist() == [True, True, False]
    assert ((model(batch | {"target": torch.tensor([5, 8, 6])}) - logits).abs() > 1e-6).all()


def test_cold_items_are_read_as_unknown(model, batch):
    model.eval()
    unknown = batch | {"target": torch.tensor([4, 7, UNKNOWN])}
    torch.testing.assert_close(model(batch), model(unknown))


def test_a_frozen_encoder_does_not_move_and_a_tuned_one_does(model, kind, batch):
    if kind == "plain":
        assert not learning_rates(model, CTRModelConfig())
        return
    frozen = kind.startswith("frozen")
    model.train()
    assert model.reader.prediction.training is not frozen
    CTRLoss(model)(batch).backward()
    gradients = [value.grad for value in model.reader.prediction.encoder.layers.parameters()]
    assert all(gradient is None for gradient in gradients) if frozen else all(g is not None for g in gradients)
    assert model.reader.projection.weight.grad.abs().sum() > 0
    config = CTRModelConfig(encoder=Path("run"), encoder_mode="fine_tuned", encoder_lr=0.5)
    groups = learning_rates(model, config)
    assert groups == [] if frozen else groups[0]["lr"] == 0.5


def test_heads_say_where_the_features_begin():
    model = CTRModule(LAYOUT, CTRModelConfig(head="lr", dim=DIM), PlainItems(N_ROWS, DIM, 0.5))
    assert model.field_names == [*HISTORY_FIELDS, "c", "x", "m"]
    assert f"features follow from {model.field_names.index('c')} on" in heads.__doc__


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder_mode": "fine_tuned"}, r"there is no model\.encoder"),
        ({"encoder": Path("run"), "encoder_lr": 0.5}, "encoder_mode 'frozen' trains no encoder"),
        ({"encoder_lr": 0.0}, "must be above 0"),
    ],
)
def test_encoder_settings_without_effect_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        CTRModelConfig(**settings)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("masked", [True, False])
def test_the_match_is_the_pretraining_score(masked, similarity, batch):
    pretrained = _pretrained(masked, similarity)
    prediction, reader = pretrained.prediction.eval(), EncodedItems(pretrained, DIM, frozen=True)
    history, target = batch["history"][:2], torch.tensor([4, 7])
    _, _, _, match = reader(history.long(), target)
    for row, length in enumerate((3, 1)):
        tokens = history[row, :length].tolist() + ([MASK] if masked else [])
        hidden = prediction.encoder(torch.tensor([tokens])).tokens[:, -1]
        query = prediction.queries(hidden)[0]
        item = prediction.vectors(prediction.encoder.embeddings.token.weight)[target[row]]
        torch.testing.assert_close(match[row], query @ item)


@pytest.mark.parametrize("masked", [True, False])
def test_a_cached_history_gives_the_same_logits(masked, batch):
    model = CTRModule(LAYOUT, CTRModelConfig(head="fm", dim=DIM), _reader(f"frozen {'masked' if masked else 'next'}"))
    model.eval()
    pooled = model.reader.encode(batch["history"].long())[1]
    short = batch | {"history": batch["history"][:, :1], "pooled": pooled}
    torch.testing.assert_close(model(short), model(batch))


@pytest.mark.parametrize("masked", [True, False])
def test_an_encoder_that_reads_times_gets_those_of_the_history(masked, batch):
    settings = {
        "layer": "hstu",
        "times": True,
        "time_gaps": True,
        "attention": "bidirectional" if masked else "causal",
        "init_std": 0.5,
    }
    config = EncoderConfig(vocab_size=N_ROWS, dim=8, n_layers=1, n_heads=2, max_len=6, **settings)
    prediction = TokenPrediction(Encoder(config), LossConfig(), first_row=3)
    reader = EncodedItems(PretrainedEncoder(prediction, "masked" if masked else "next_item"), DIM, frozen=True).eval()
    times = torch.tensor([[100, 5_000, 90_000], [70, 0, 0], [0, 0, 0]])
    states, pooled = reader.encode(batch["history"].long(), times)
    for row, length in enumerate((3, 1)):
        tokens, timestamps = batch["history"][row, :length].tolist(), times[row, :length].tolist()
        if masked:
            tokens, timestamps = [*tokens, MASK], [*timestamps, timestamps[-1]]
        alone = prediction.encoder(torch.tensor([tokens]), times=torch.tensor([timestamps])).tokens[0]
        torch.testing.assert_close(pooled[row], alone[-1])
        torch.testing.assert_close(states[row, :length], alone[:length])
    model = CTRModule(LAYOUT, CTRModelConfig(head="din", dim=DIM, init_std=0.5), reader).eval()
    assert model.reads_times
    logits, later = model(batch | {"times": times}), model(batch | {"times": times * 2})
    assert ((logits - later).abs() > 1e-6).tolist() == [True, False, False]  # nothing lies between one event and itself
    empty = batch | {"history": batch["history"][:, :0], "times": times[:, :0]}
    empty_history = batch | {"history": torch.zeros_like(batch["history"]), "times": torch.zeros_like(times)}
    torch.testing.assert_close(model(empty), model(empty_history))


def test_the_penalty_covers_the_table(batch):
    model = CTRModule(LAYOUT, CTRModelConfig(head="lr", dim=DIM, init_std=0.5)).eval()
    plain, penalised = CTRLoss(model)(batch), CTRLoss(model, 0.1)(batch)
    expected = np.square(model.table.weight.detach().numpy()).sum() * 0.05
    assert (penalised - plain).item() == pytest.approx(expected, rel=1e-5)


def test_saved_weights_give_the_same_logits(model, kind, batch, tmp_path):
    CTRLoss(model)(batch)  # moves running statistics
    save_weights(tmp_path / "model.safetensors", model.eval())
    torch.manual_seed(9)
    again = CTRModule(LAYOUT, CTRModelConfig(head="din", dim=DIM), _reader(kind))
    load_weights(again, tmp_path / "model.safetensors")
    assert again.eval()(batch).equal(model(batch))
    wider = CTRModule(LAYOUT, CTRModelConfig(head="din", dim=8), PlainItems(N_ROWS, 8, 0.1))
    with pytest.raises(InputError, match="does not fit"):
        load_weights(wider, tmp_path / "model.safetensors")
