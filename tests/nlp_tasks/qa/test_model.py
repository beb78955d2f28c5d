import numpy as np
import pytest
import torch

from nlp_tasks.qa.config import QAConfig
from nlp_tasks.qa.inputs import read_passages, read_windows
from nlp_tasks.qa.model import SpanModel, best_spans, read, span_loss

PASSAGE = "the team of the bank with soup and bread . goal by the match in oven"


@pytest.fixture
def model(encoder):
    torch.manual_seed(1)
    return SpanModel(encoder, 0.0).eval()


@pytest.fixture
def windows(tokenizer):
    passages = read_passages(tokenizer, [PASSAGE, "ball", "\u200b"])
    return read_windows(
        tokenizer, passages, ["the goal", "a ball", "stock"], np.array([0, 1, 2]), QAConfig(overlap=0.3), 14
    )


def test_the_best_span_is_the_best_of_all_that_are_allowed():
    random = torch.Generator().manual_seed(0)
    for max_answer in (1, 3, 20):
        logits = torch.randn(6, 2, 9, generator=random)
        pieces = torch.tensor([[0, 0, 1, 1, 1, 2, 2, 2, 0], [0, 0, 0, 1, 1, 1, 1, 1, 0], [0] * 9] * 2)
        scores, starts, ends = best_spans(logits, pieces, max_answer)
        for row in range(6):
            p = logits[row].softmax(dim=-1)
            allowed = [
                (float(p[0, i] * p[1, j]), i, j)
                for i in range(9)
                for j in range(i, min(9, i + max_answer))
                if pieces[row, i] and pieces[row, i] == pieces[row, j]
            ]
            if not allowed:
                assert scores[row] == -torch.inf
                continue
            best = max(allowed)
            assert (int(starts[row]), int(ends[row])) == best[1:]
            assert scores[row].exp().item() == pytest.approx(best[0], rel=1e-4)


def test_the_loss_is_the_mean_of_two_cross_entropies(model, windows):
    batch = {name: torch.from_numpy(v) for name, v in windows.inputs.gather(np.arange(3)).items()}
    logits, starts, ends = model(batch), torch.tensor([0, 4, 5]), torch.tensor([0, 6, 5])
    mask = batch["tokens"] != 0
    expected = 0.0
    for row in range(3):
        for side, target in ((0, starts), (1, ends)):
            here = logits[row, side][mask[row]]
            expected += (here.logsumexp(0) - here[target[row]]).item() / 6
    assert span_loss(logits, starts, ends).item() == pytest.approx(expected, rel=1e-5)


def test_padding_gets_nothing_and_changes_nothing(model, windows):
    one = {name: torch.from_numpy(v) for name, v in windows.inputs.gather(np.array([4])).items()}
    longest = int(np.argmax(windows.inputs.lengths))
    both = {name: torch.from_numpy(v) for name, v in windows.inputs.gather(np.array([4, longest])).items()}
    alone, padded = model(one), model(both)
    width = alone.shape[2]
    assert padded.shape[2] > width
    torch.testing.assert_close(padded[:1, :, :width], alone)
    assert not padded.softmax(dim=-1)[0, :, width:].any()


def test_reading_finds_the_same_whatever_is_read_together(model, windows):
    scores, starts, ends = read(model, windows, 5)
    assert len(scores) == len(windows.question)
    for row in range(len(scores)):
        rows = np.array([row])
        values = windows.inputs.gather(rows)
        pieces = torch.from_numpy(windows.pieces(rows, values["tokens"].shape[1]))
        logits = model({name: torch.from_numpy(v) for name, v in values.items()})
        score, start, end = best_spans(logits, pieces, 5)
        if np.isfinite(scores[row]):
            assert (int(start), int(end)) == (starts[row], ends[row])
            assert score.item() == pytest.approx(scores[row], abs=1e-4)
            assert windows.inputs.second[row] <= starts[row] <= ends[row] < starts[row] + 5
            assert ends[row] < windows.inputs.second[row] + windows.width[row]
    assert np.isinf(scores).tolist() == (windows.width == 0).tolist()
    assert not model.training


def test_the_last_layer_learns_by_itself_where_that_is_asked_for(encoder, windows):
    model = SpanModel(encoder, 0.0, auxiliary=True)
    batch = {name: torch.from_numpy(v) for name, v in windows.inputs.gather(np.arange(3)).items()}
    encoded = model.encode(batch)
    raw = model.on_last_layer(encoded)
    assert raw.shape == model.on_output(encoded).shape
    raw.sum().backward()
    assert model.auxiliary.output.weight.grad.abs().sum() > 0
    assert model.output.weight.grad is None
    assert SpanModel(encoder, 0.0).on_last_layer(encoded) is None
