"""Every entry of OBJECTIVES, and one from outside, keeps the contract of an objective."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from nlp_tasks.pretraining.pretrain import pretrain as pretrain_text
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.objectives import OBJECTIVES
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.distilled import Distilled
from recsys_bert.objectives.objective import build_objective
from recsys_bert.objectives.sequences import Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.load import open_run
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.stages.pretrain import build, pretrain
from recsys_bert.stages.train_ctr import train_ctr
from recsys_bert.stages.train_retrieval import train_retrieval
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder

OUTSIDE = "outside_parts:FirstEvents"
TABLE = TokenTable(mask=1, first=3, size=13)
SIZES = {"dim": 32, "n_layers": 1, "n_heads": 2, "max_len": 9, "dropout": 0.0, "residual_init_scale": 1.0}
SMALL = {"encoder": {"dim": 16, "n_layers": 1, "max_len": 12}, "train": {"epochs": 2, "batch_size": 16, "lr": 5e-3}}
SMALL["train"] |= {"device": "cpu", "precision": "fp32"}


@pytest.fixture(autouse=True)
def _outside(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture(params=[*sorted(OBJECTIVES), OUTSIDE])
def name(request):
    return request.param


@pytest.fixture
def objective(name):
    return build_objective(name, {})


def walks(n, seed=0, length=8):
    """Sentences of a toy language: every token is followed by the next one of a circle; lengths differ."""
    random = np.random.default_rng(seed)
    start, size = random.integers(0, 10, (n, 1)), TABLE.size - TABLE.first
    tokens = (TABLE.first + (start + np.arange(length)) % size).astype(np.int32)
    lengths = random.integers(3, length + 1, n)
    return Sequences(tokens=np.where(np.arange(length) < lengths[:, None], tokens, 0), lengths=lengths, open_ended=True)


def batch_of(objective, sequences, seed=0):
    return objective.make_batch(sequences, TABLE, np.random.default_rng(seed))


def tensors(batch):
    return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}


def make_prediction(objective, loss=None, **sizes):
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(vocab_size=TABLE.size, attention=objective.attention, **SIZES | sizes))
    counts = np.ones(TABLE.size, np.int64)
    return TokenPrediction(encoder, loss or LossConfig(), first_row=TABLE.first, counts=counts)


def train(module, objective, steps=120, **extra):
    optimiser, losses = torch.optim.Adam(module.parameters(), lr=0.01), []
    for step in range(steps):
        batch = tensors(batch_of(objective, walks(64, seed=step), seed=step) | extra)
        loss = module(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_a_batch_says_which_positions_are_predicted(objective):
    sequences = walks(40)
    batch = batch_of(objective, sequences)
    assert batch["tokens"].shape[0] == 40
    assert batch["tokens"].shape[1] <= sequences.tokens.shape[1]
    assert batch["n_targets"] == len(batch["targets"]) == len(batch["positions"]) > 0
    assert (batch["targets"] >= TABLE.first).all()
    assert all(len(value) == 40 for key, value in batch.items() if key not in ("positions", "targets", "n_targets"))


def test_padding_is_never_predicted(objective):
    for seed in range(10):
        batch = batch_of(objective, walks(40, seed), seed)
        assert (batch["tokens"].reshape(-1)[batch["positions"]] != 0).all()
        assert batch["tokens"].shape[1] - (batch["tokens"] != 0).sum(1).min() > 0


def test_tokens_that_may_not_be_predicted_are_no_targets(objective):
    sequences = walks(40)
    allowed = sequences.tokens % 2 == 0
    restricted = Sequences(tokens=sequences.tokens, lengths=sequences.lengths, open_ended=True, allowed=allowed)
    assert (batch_of(objective, restricted)["targets"] % 2 == 0).all()


def test_event_types_that_are_not_predicted_are_context(objective):
    sequences = walks(40)
    even = replace(sequences, targeted=sequences.tokens % 2 == 0)
    batch = batch_of(objective, even)
    assert len(batch["targets"]) > 0
    assert (batch["targets"] % 2 == 0).all()
    assert (batch["tokens"] % 2 == 1).any()


def test_targets_have_the_weights_of_their_events(objective):
    sequences = walks(40)
    weighted = replace(sequences, weights=sequences.tokens.astype(np.float32) ** 2)
    plain, batch = batch_of(objective, sequences), batch_of(objective, weighted)
    assert all(np.array_equal(plain[key], batch[key]) for key in plain)
    np.testing.assert_array_equal(batch["weights"], batch["targets"].astype(np.float32) ** 2)
    assert batch["total_weight"] == batch["weights"].astype(np.float64).sum()
    assert not {"weights", "total_weight"} & plain.keys()


def test_side_features_of_predicted_events_are_not_known(objective):
    sequences = replace(walks(40), features={"type": walks(40).tokens})  # the feature would give the target away
    batch = batch_of(objective, sequences)
    known, columns = batch["feature.type"], batch["tokens"].shape[1]
    assert known.shape == batch["tokens"].shape
    is_query = batch.get("query", np.ones_like(known, bool)).reshape(-1)[batch["positions"]]
    at = batch["positions"][is_query]
    if objective.extra_events:  # the position's own, which is the event before the target
        assert (known.reshape(-1)[at] == sequences.tokens[:, :columns].reshape(-1)[at]).all()
    else:
        assert not known.reshape(-1)[at].any()
        assert known.any()


@pytest.mark.parametrize("loss", ["full", "sampled", "gbce"])
def test_weights_of_one_change_nothing_and_others_do(objective, loss):
    """Losses and gradients are bit-identical where all weights are 1."""
    settings = LossConfig(name=loss)
    sequences = walks(8)
    results = []
    for weights in (None, np.ones, np.square):
        values = (
            None if weights is None else weights(sequences.tokens.shape if weights is np.ones else sequences.tokens)
        )
        weighted = sequences if values is None else replace(sequences, weights=values.astype(np.float32))
        module = objective.module(make_prediction(objective, settings))
        batch = batch_of(objective, weighted) | {"negatives": np.random.default_rng(1).integers(3, 13, (8, 6))}
        torch.manual_seed(0)
        value = module(tensors(batch))
        value.backward()
        results.append([value.detach(), *(p.grad for p in module.parameters() if p.grad is not None)])
    plain, ones, squares = results
    assert all(torch.equal(first, second) for first, second in zip(plain, ones, strict=True))
    assert not torch.equal(plain[0], squares[0])


def test_targets_are_hidden_from_the_input(objective):
    """Another token at a target leaves a bidirectional input as it is, and earlier outputs of a causal encoder."""
    sequences, encoder = walks(40), make_prediction(objective).encoder.eval()
    causal, unchanged = objective.attention == "causal", []
    shift = objective.extra_events  # 1 where a position predicts its successor
    batch = batch_of(objective, sequences)
    seq = sequences.tokens.shape[1]
    for position, target in list(zip(batch["positions"], batch["targets"], strict=True))[::5]:
        row, column = divmod(int(position), batch["tokens"].shape[1])
        column += shift
        assert sequences.tokens[row, column] == target
        tokens = sequences.tokens.copy()
        tokens[row, column] = TABLE.first + (target - TABLE.first + 5) % 10
        other = batch_of(objective, Sequences(tokens=tokens, lengths=sequences.lengths, open_ended=True))
        changed = np.argwhere(batch["tokens"] != other["tokens"]).tolist()
        assert changed in ([], [[row, column]])
        unchanged.append(not changed)
        if causal and changed:
            with torch.no_grad():
                before, after = (encoder(torch.from_numpy(b["tokens"][row : row + 1])).tokens for b in (batch, other))
            torch.testing.assert_close(before[:, :column], after[:, :column])
    assert seq >= batch["tokens"].shape[1]
    assert causal or np.mean(unchanged) > 0.75  # BERT keeps a tenth of the tokens to predict


def test_the_same_seed_gives_the_same_batch(objective):
    first, again = (batch_of(objective, walks(40), 3) for _ in range(2))
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_it_learns_a_toy_language_and_predicts_the_next_token(name, objective, loss):
    negatives = NegativesConfig(uniform=4) if loss == "sampled" else NegativesConfig()
    prediction = make_prediction(objective, LossConfig(name=loss, negatives=negatives))
    negative_rows = np.random.default_rng(0).integers(TABLE.first, TABLE.size, (64, 4))
    losses = train(objective.module(prediction), objective, negatives=negative_rows)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    prediction.eval()
    sequences = walks(100, seed=999)
    pretrained = PretrainedEncoder(prediction, name)
    with torch.no_grad():
        queries = pretrained.encode_last(*(torch.from_numpy(a).long() for a in (sequences.tokens, sequences.lengths)))
    last = sequences.tokens[np.arange(100), sequences.lengths - 1]
    expected = TABLE.first + (last - TABLE.first + 1) % 10
    predicted = TABLE.first + (queries @ prediction.items().T).argmax(1).numpy()
    assert (predicted == expected).mean() > 0.6  # chance is a tenth


def test_every_parameter_is_trained_and_shared_ones_are_one(objective):
    prediction = make_prediction(objective)
    module = objective.module(prediction).train()
    module(tensors(batch_of(objective, walks(64)))).backward()
    assert [key for key, value in module.named_parameters() if value.grad is None] == []
    assert {id(p) for p in prediction.parameters()} <= {id(p) for p in module.parameters()}
    assert module.prediction is prediction


def test_a_teacher_adds_its_loss(objective):
    student, teacher = (objective.module(make_prediction(objective, dim=dim)) for dim in (16, 32))
    config = DistillationConfig(soft_weight=1.0, hidden_weight=1.0)
    module = Distilled(student, teacher.prediction, config)
    losses = train(module, objective, steps=60)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_an_unknown_option_is_an_error_that_names_the_known_ones(name):
    with pytest.raises(InputError, match=rf"objective '{name}' has no option 'mask_porb'"):
        build_objective(name, {"mask_porb": 0.2})


def test_an_unknown_objective_is_an_error_that_names_the_nearest(side_log):
    with pytest.raises(InputError, match="did you mean 'masked'"):
        pretrain(side_log, objective="maksed")


def curve(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_a_stopped_run_goes_on_as_if_it_had_not(side_log, name, tmp_path, monkeypatch):
    train = SMALL["train"] | {"checkpoint_steps": 2, "log_steps": 1, "epochs": 3}
    settings = {"encoder": SMALL["encoder"], "train": train, "objective": name}
    pretrain(side_log, out=tmp_path / "straight", **settings)
    step, steps = torch.optim.AdamW.step, []

    def dying(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 6:
            raise RuntimeError("killed")
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(torch.optim.AdamW, "step", dying)
        pretrain(side_log, out=tmp_path / "stopped", **settings)
    torch.manual_seed(99)
    pretrain(side_log, out=tmp_path / "stopped", **settings)
    assert curve(tmp_path / "stopped") == curve(tmp_path / "straight")
    weights, resumed = (load_file(tmp_path / run / "encoder" / "model.safetensors") for run in ("straight", "stopped"))
    assert all(torch.equal(value, resumed[key]) for key, value in weights.items())


def test_a_trained_run_ranks_is_evaluated_and_starts_towers_and_ctr_models(side_log, name, tmp_path):
    model = pretrain(side_log, out=tmp_path / "run", objective=name, **SMALL)
    training = build(model_config(tmp_path / "run"), side_log)
    assert model.summary["parameters"] == sum({id(p): p.numel() for p in training.module.parameters()}.values())
    loaded = open_run(tmp_path / "run", side_log)
    users = side_log.users["user_id"].to_list()[:5]
    lists = model.recommend(users, k=3)
    assert lists.shape == (15, 5)
    np.testing.assert_allclose(loaded.item_vectors(), model.ranker.item_vectors())
    result = evaluate({"run": tmp_path / "run"}, side_log, baselines=["popular"])
    assert result.table.height >= 2
    towers = train_retrieval(side_log, init=model, train=SMALL["train"] | {"epochs": 1})
    assert towers.recommend(users, k=3).shape == (15, 5)
    clicks = pl.DataFrame({"user_id": users * 12, "item_id": list(range(30)) * 2, "t": range(60), "click": [0, 1] * 30})
    ctr = train_ctr(
        clicks[:40],
        validation=clicks[40:],
        dataset=side_log,
        columns={"user": "user_id", "item": "item_id", "time": "t", "label": "click"},
        model={"head": "din", "dim": 4, "history_len": 5, "encoder": str(tmp_path / "run")},
        train={"epochs": 1, "batch_size": 20, "device": "cpu", "precision": "fp32"},
    )
    assert np.isfinite(ctr.probabilities(clicks)).all()


def model_config(run):
    from recsys_bert.settings import read_config
    from recsys_bert.stages.pretrain_config import PretrainConfig

    return read_config(PretrainConfig, run / "config.toml")


def test_texts_are_pretrained_by_the_same_objective(name, tmp_path):
    random = np.random.default_rng(0)
    words = ["ball", "goal", "team", "bank", "stock", "fund"]
    texts = [". ".join(" ".join(random.permutation(words)) for _ in range(3)) for _ in range(40)]
    settings = {"encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 24}, "tokenizer": {"min_count": 1}}
    train = SMALL["train"] | {"monitor": "log_likelihood"}
    encoder = pretrain_text(texts, objective=name, out=tmp_path / "run", train=train, **settings)
    vectors = encoder.encode(texts[:4])
    assert vectors.shape == (4, 16)
    assert np.isfinite(vectors).all()
    assert encoder.encoder.config.attention == build_objective(name, {}).attention
