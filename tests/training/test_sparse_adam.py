"""Row-wise Adam against Adam itself on single rows, and what else keeps to the rows of a step: clipping, averages."""

import json

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.training.checkpoints import latest_first
from recsys_bert.training.loop import fit
from recsys_bert.training.row_average import RowAverage
from recsys_bert.training.sparse_adam import RowAdamW, clip_norm, kept_from_ddp, mean_over_processes, row_tables

ROWS, FIRST = 200, 3


class Killed(Exception):
    """Stands for a process that ends in the middle."""


def prediction(loss="sampled", dropout=0.1, **sizes):
    torch.manual_seed(0)
    sizes = {"vocab_size": ROWS, "dim": 8, "n_layers": 1, "n_heads": 1, "max_len": 5, **sizes}
    encoder = Encoder(EncoderConfig(**sizes, attention="causal", dropout=dropout))
    config = LossConfig(name=loss, negatives=NegativesConfig(uniform=2))
    return TokenPrediction(encoder, config, first_row=FIRST, counts=np.ones(ROWS, int))


class Histories:
    """Six histories a step, whose next items and negatives are drawn anew for every step."""

    steps = 5

    def __call__(self, epoch, first_step=0, rank=0, world=1):
        for step in range(first_step, self.steps):
            random = np.random.default_rng([epoch, step])
            items = random.integers(FIRST, ROWS, (6, 5))
            yield {
                "tokens": items[:, :4],
                "positions": np.arange(24),
                "targets": items[:, 1:].reshape(-1),
                "negatives": random.integers(FIRST, ROWS, (6, 2)),
                "n_targets": 24,
            }


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_it_is_adam_without_momentum_though_it_passes_over_rows():
    """Plain Adam is the oracle for rows of width 1, whose mean square is that of the number."""
    torch.manual_seed(0)
    table, whole = nn.Embedding(6, 1, sparse=True), nn.Embedding(6, 1)
    whole.load_state_dict(table.state_dict())
    settings = {"lr": 0.1, "betas": (0.0, 0.9), "weight_decay": 0.0}
    ours, theirs = RowAdamW(table.parameters(), **settings), torch.optim.Adam(whole.parameters(), **settings)
    for _ in range(30):
        rows, factors = torch.randint(6, (2,)), torch.randn(2)
        for one, optimiser in ((table, ours), (whole, theirs)):
            optimiser.zero_grad()
            (one(rows)[:, 0] * factors).sum().backward()
            optimiser.step()
        torch.testing.assert_close(table.weight, whole.weight)
    assert len(set(ours.state[table.weight]["last_step"].flatten().tolist())) > 2


def test_where_every_row_is_touched_it_is_sparse_adam():
    table, other = nn.Embedding(5, 1, sparse=True), nn.Embedding(5, 1, sparse=True)
    other.load_state_dict(table.state_dict())
    ours = RowAdamW(table.parameters(), lr=0.1, weight_decay=0.0)
    theirs = torch.optim.SparseAdam(other.parameters(), lr=0.1, betas=(0.0, 0.999))
    for step in range(10):
        for one, optimiser in ((table, ours), (other, theirs)):
            optimiser.zero_grad()
            (one(torch.arange(5)) - step).square().sum().backward()
            optimiser.step()
    torch.testing.assert_close(table.weight, other.weight)


def test_a_wide_row_has_one_second_moment():
    table = nn.Embedding(4, 3, sparse=True)
    before = table.weight.detach().clone()
    gradient = torch.tensor([3.0, 0.0, 4.0])
    optimiser = RowAdamW(table.parameters(), lr=0.5, eps=0.0)
    (table(torch.tensor([2])) @ gradient).sum().backward()
    optimiser.step()
    moved = before - table.weight.detach()
    torch.testing.assert_close(moved[2], 0.5 * gradient / (25 / 3) ** 0.5)  # the root of the mean square
    assert not moved[[0, 1, 3]].any()
    assert sum(value.numel() for value in optimiser.state[table.weight].values()) == 2 * len(before) + 1


def test_clipping_counts_a_row_once_however_often_it_was_read():
    def model():
        torch.manual_seed(0)
        return nn.ModuleDict({"table": nn.Embedding(6, 3), "map": nn.Linear(3, 2)})

    ours, theirs = model(), model()
    ours["table"].sparse = True
    for one in (ours, theirs):
        one["map"](one["table"](torch.tensor([1, 4, 1, 1]))).square().sum().backward()
    for largest in (0.5, 1e3):
        clip_norm(ours.parameters(), largest)
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), largest)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad.to_dense(), other.grad)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_the_average_of_rows_is_that_of_the_whole_table(decay):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(7, 2))
    average = RowAverage(weight)
    average.start()
    expected = weight.detach().double()
    for _ in range(20):
        rows = torch.randint(7, (2,)).unique()
        weight.grad = torch.sparse_coo_tensor(rows[None], torch.ones(len(rows), 2), (7, 2), check_invariants=True)
        average.before_change()
        with torch.no_grad():
            weight[rows] += torch.randn(len(rows), 2)
        average.after_step(decay)
        expected = decay * expected + (1 - decay) * weight.detach().double()
        torch.testing.assert_close(average.value(), expected.float())


def test_a_step_leaves_unread_rows_alone(settings, tmp_path):
    model, start = prediction(), prediction().encoder.embeddings.token.weight.detach()
    fit(model, Histories(), settings(optimiser={"sparse_adam": True}, epochs=1, log_steps=1), tmp_path)
    read = {
        int(row) for batch in Histories()(0) for name in ("tokens", "targets", "negatives") for row in batch[name].flat
    }
    moved = (model.encoder.embeddings.token.weight.detach() != start).any(dim=1).nonzero().flatten().tolist()
    assert set(moved) == read
    assert len(read) < ROWS - FIRST
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(losses))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"averaging": {"method": "ema"}},
        {"averaging": {"method": "swa"}},
        {"accumulate": 2},
        {"optimiser": {"sparse_adam": False}, "adversarial": {"method": "fgm"}, "averaging": {"method": "ema"}},
        {"optimiser": {"sparse_adam": False, "clip_norm": 0.1}, "adversarial": {"method": "pgd"}},
    ],
)
def test_a_killed_run_goes_on_to_the_same_numbers(settings, curve, tmp_path, changes):
    config = settings(**{"optimiser": {"sparse_adam": True}, "checkpoint_steps": 2, **changes})
    runs = 1 if config.optimiser.sparse_adam else 2

    def model():
        return prediction(ngrams=runs, **({"ngram_rows": 500} if runs > 1 else {}))

    def validate(model):
        return {"figure": float(model.encoder.embeddings.token.weight.sum())}

    whole = model()
    fit(whole, Histories(), config, tmp_path / "whole", validate=validate)
    for step in (1, 4, 7):

        def stop(number, step=step):
            if number == step:
                raise Killed

        run = tmp_path / f"killed-{step}"
        with pytest.raises(Killed):
            fit(model(), Histories(), config, run, validate=validate, before_step=stop)
        assert latest_first(run) or step == 1
        resumed = model()
        fit(resumed, Histories(), config, run, validate=validate)
        assert curve(run) == curve(tmp_path / "whole")
        assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())


def test_two_halves_of_a_step_are_one(settings, tmp_path):
    class Halves(Histories):
        steps = 10

        def __call__(self, epoch, first_step=0, rank=0, world=1):
            for batch in Histories()(epoch):
                for half in (slice(3), slice(3, 6)):
                    yield {
                        "tokens": batch["tokens"][half],
                        "positions": np.arange(12),
                        "targets": batch["targets"].reshape(6, 4)[half].reshape(-1),
                        "negatives": batch["negatives"][half],
                        "n_targets": 12,
                    }

    whole, halves = prediction(dropout=0.0), prediction(dropout=0.0)
    fit(whole, Histories(), settings(optimiser={"sparse_adam": True}, epochs=1), tmp_path / "whole")
    fit(halves, Halves(), settings(optimiser={"sparse_adam": True}, epochs=1, accumulate=2), tmp_path / "halves")
    torch.testing.assert_close(
        whole.encoder.embeddings.token.weight, halves.encoder.embeddings.token.weight, rtol=1e-3, atol=1e-4
    )


def test_a_model_that_was_trained_so_can_be_trained_otherwise(settings, tmp_path):
    model = prediction()
    fit(model, Histories(), settings(optimiser={"sparse_adam": True}, epochs=1), tmp_path / "rows")
    fit(model, Histories(), settings(epochs=1), tmp_path / "all")


def test_what_it_does_not_suit_is_refused(toy, batches, settings, tmp_path):
    with pytest.raises(InputError, match="reads all of it"):
        fit(prediction("full"), Histories(), settings(optimiser={"sparse_adam": True}), tmp_path / "full")
    with pytest.raises(InputError, match="there is none here"):
        fit(toy(), batches(), settings(optimiser={"sparse_adam": True}), tmp_path / "toy")
    with pytest.raises(InputError, match=r"train\.adversarial moves the full item table"):
        settings(optimiser={"sparse_adam": True}, adversarial={"method": "fgm"})


def test_vectors_of_runs_are_updated_row_by_row_whatever_the_loss_reads(settings, tmp_path):
    model, config = prediction("full", ngrams=2, ngram_rows=5000), settings(epochs=1)
    table = model.encoder.embeddings.ngrams.table
    assert row_tables(model, config) == [table]
    fit(model, Histories(), config, tmp_path)
    pairs = {
        int(row)
        for batch in Histories()(0)
        for rows in model.encoder.embeddings.ngrams.rows(torch.from_numpy(batch["tokens"]), torch.ones(6, 4) > 0)
        for row in rows.flatten()
    }
    moved = table.weight.detach().any(dim=1).nonzero().flatten().tolist()
    assert set(moved) == pairs - {0}
    assert not table.sparse


def test_ddp_is_kept_from_exactly_those_tables(settings, tmp_path, monkeypatch):
    """Its own all-reduce of sparse gradients is what must not happen."""
    ignored, prepare = [], Accelerator.prepare

    def noted(accelerator, model, *others):
        ignored.append(vars(model)["_ddp_params_and_buffers_to_ignore"])
        return prepare(accelerator, model, *others)

    monkeypatch.setattr(Accelerator, "prepare", noted)
    model = prediction(ngrams=2, ngram_rows=50)
    for sparse_adam in (True, False):
        fit(model, Histories(), settings(optimiser={"sparse_adam": sparse_adam}, epochs=1), tmp_path / str(sparse_adam))
    runs, tokens = (f"encoder.embeddings.{name}.weight" for name in ("ngrams.table", "token"))
    assert [sorted(names) for names in ignored] == [[runs, tokens], [runs]]
    assert "_ddp_params_and_buffers_to_ignore" not in vars(model)


def test_tables_kept_from_ddp_start_as_in_the_first_process(monkeypatch):
    sent, model = [], prediction(ngrams=2, ngram_rows=50)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, src: sent.append((tensor.data_ptr(), src)))
    tables = [model.encoder.embeddings.token, model.encoder.embeddings.ngrams.table]
    with kept_from_ddp(model, tables):
        assert not sent
    assert sent == [(table.weight.data_ptr(), 0) for table in tables]


def test_the_mean_over_processes_where_one_has_read_nothing(monkeypatch):
    table = torch.nn.Embedding(5, 2, sparse=True)
    others = iter(([[2]], [3, 1], torch.tensor([[1.0, 2.0], [3.0, 4.0]])))  # counts, rows, gradients of process 1

    class Two:
        num_processes, device = 2, torch.device("cpu")

        def gather(self, mine):
            return torch.cat([mine, torch.as_tensor(next(others))])

    mean_over_processes(Two(), [table])
    expected = torch.zeros(5, 2)
    expected[3], expected[1] = torch.tensor([0.5, 1.0]), torch.tensor([1.5, 2.0])
    torch.testing.assert_close(table.weight.grad.to_dense(), expected)


def test_an_attacked_table_of_runs_is_updated_whole(settings, tmp_path):
    model = prediction("full", ngrams=2, ngram_rows=50)
    config = settings(epochs=1, adversarial={"method": "fgm", "table": "ngrams.table"})
    assert row_tables(model, config) == []
    fit(model, Histories(), config, tmp_path)
    assert row_tables(model, settings(adversarial={"method": "fgm"}))
