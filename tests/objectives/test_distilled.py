"""A student of clicks: its loss against the parts it is made of, and that it comes to say what its teacher says."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.distilled import Distilled
from recsys_bert.objectives.token_prediction import TokenPrediction

FIRST, SIZE = 2, 12
BATCH = {
    "tokens": torch.tensor([[3, 4, 5, 6], [2, 7, 0, 0]]),
    "positions": torch.tensor([0, 1, 3, 4]),
    "targets": torch.tensor([4, 5, 9, 7]),
    "negatives": torch.tensor([[3, 6], [8, 3]]),
}


def prediction(dim, n_layers, loss="full", **settings):
    torch.manual_seed(dim)
    config = EncoderConfig(
        vocab_size=SIZE, dim=dim, n_layers=n_layers, attention="causal", dropout=0.0, init_std=0.5, **settings
    )
    return TokenPrediction(Encoder(config), LossConfig(name=loss), first_row=FIRST, counts=np.ones(SIZE, int))


def logits(model, rows):
    encoded = model.encoder(BATCH["tokens"])
    hidden = encoded.tokens.flatten(0, 1)[BATCH["positions"]]
    return model.queries(hidden) @ model.vectors(model.encoder.embeddings.token.weight)[rows].T


@pytest.mark.parametrize("loss", ["full", "sampled", "gbce"])
def test_the_loss_is_the_sum_of_its_parts(loss):
    student, teacher = prediction(8, 2, loss), prediction(16, 4)
    config = DistillationConfig(soft_weight=0.3, temperature=3.0, hidden_weight=0.7)
    model = Distilled(student, teacher, config)
    rows = torch.arange(FIRST, SIZE) if loss == "full" else torch.tensor([3, 4, 5, 6, 7, 8, 9])
    ours, theirs = (logits(side, rows) / 3.0 for side in (student, teacher))
    soft = 9 * F.kl_div(ours.log_softmax(1), theirs.softmax(1), reduction="batchmean")
    hidden = model.states(student.encode(BATCH).states, teacher.encode(BATCH).states, BATCH["tokens"] != 0)
    assert model.states.layers == [(0, 0), (1, 2), (2, 4)]
    torch.testing.assert_close(model(BATCH), 0.7 * student(BATCH) + 0.3 * soft + 0.7 * hidden)


@pytest.mark.parametrize(
    "config", [DistillationConfig(soft_weight=1.0, hidden_weight=0.0), DistillationConfig(soft_weight=0.0)]
)
def test_parts_of_no_weight_are_left_out(config):
    student = prediction(8, 2)
    model = Distilled(student, prediction(16, 4), config)
    student.loss_of = None if config.soft_weight else student.loss_of  # not even called
    assert model(BATCH).isfinite()
    assert (model.states is None) is not bool(config.hidden_weight)


def test_only_the_student_and_its_maps_are_trained_and_saved():
    model = Distilled(prediction(8, 1), prediction(16, 2), DistillationConfig())
    names = set(model.state_dict())
    assert all(name.startswith(("student.", "states.maps.")) for name in names)
    model.train()(BATCH).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with model.teacher.on(torch.device("cpu")) as teacher:
        assert not teacher.training
        assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_student_without_layers_has_its_output_compared_with_the_last_layer():
    student, teacher = prediction(8, 0, neck="bilstm", residual="none"), prediction(16, 3)
    model = Distilled(student, teacher, DistillationConfig(soft_weight=0.0))
    tokens, mask = student.encode(BATCH).tokens, BATCH["tokens"] != 0
    expected = model.states([tokens], teacher.encode(BATCH).states, mask)
    assert model.states.layers == [(0, 3)]
    torch.testing.assert_close(model(BATCH), student(BATCH) + expected)


@pytest.mark.parametrize(
    "light", [{"n_layers": 1}, {"n_layers": 0, "neck": "bilstm", "residual": "none"}], ids=["layer", "lstm"]
)
def test_a_student_comes_to_predict_what_its_teacher_predicts(light):
    student, teacher = prediction(8, **light), prediction(16, 3)
    model = Distilled(student, teacher, DistillationConfig(soft_weight=1.0))
    rows = torch.arange(FIRST, SIZE)

    def agreement():
        with torch.no_grad():
            return (logits(student, rows).argmax(1) == logits(teacher, rows).argmax(1)).float().mean().item()

    assert agreement() < 1.0
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        model(BATCH).backward()
        optimiser.step()
    assert agreement() == 1.0
