"""Replaced-token detection: its batches, its losses against the formula, and its generator."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.replaced_token import ReplacedToken, generator_config
from recsys_bert.objectives.sequences import Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction

TABLE = TokenTable(mask=1, first=3, size=20)
SIZES = {"vocab_size": 20, "dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 10, "dropout": 0.0, "init_std": 0.5}


@pytest.fixture
def sequences():
    random = np.random.default_rng(0)
    lengths = random.integers(2, 11, 200)
    tokens = np.where(np.arange(10) < lengths[:, None], random.integers(3, 20, (200, 10)), 0).astype(np.int32)
    times = np.sort(random.integers(0, 1000, (200, 10)), axis=1)
    return Sequences(tokens=tokens, lengths=lengths, open_ended=True, times=times)


def make(objective, **settings):
    torch.manual_seed(0)
    prediction = TokenPrediction(Encoder(EncoderConfig(**SIZES | settings)), LossConfig(), first_row=3)
    return objective.module(prediction).eval()


def batch_of(objective, sequences):
    batch = objective.make_batch(sequences, TABLE, np.random.default_rng(1))
    return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}


def test_all_chosen_tokens_are_masks_and_some_of_them_queries(sequences):
    batch = ReplacedToken(mask_prob=0.3, query_prob=0.4).make_batch(sequences, TABLE, np.random.default_rng(1))
    masked = batch["tokens"] != sequences.tokens
    assert (batch["tokens"][masked] == TABLE.mask).all()
    np.testing.assert_array_equal(np.flatnonzero(masked), batch["positions"])
    assert masked[sequences.mask].mean() == pytest.approx(0.3, abs=0.05)
    assert not (batch["query"] & ~masked).any()
    assert batch["query"].sum() / masked.sum() == pytest.approx(0.4, abs=0.06)
    np.testing.assert_array_equal(batch["times"][~batch["query"]], sequences.times[~batch["query"]])
    assert (batch["times"] != sequences.times).any()


def test_texts_have_no_queries(sequences):
    batch = ReplacedToken().make_batch(replace(sequences, open_ended=False), TABLE, np.random.default_rng(1))
    assert not batch["query"].any()


def test_the_encoder_reads_samples_and_queries_and_is_told_which_were_replaced(sequences):
    objective = ReplacedToken()
    module, batch = make(objective), batch_of(objective, sequences)
    read, original = module.read(batch), torch.from_numpy(sequences.tokens)
    query, filled = batch["query"], (batch["tokens"] == 1) & ~batch["query"]
    assert (read["tokens"][query] == 1).all()
    assert (read["tokens"][filled] >= 3).all()
    assert torch.equal(read["tokens"][~query & ~filled], original[~query & ~filled])
    assert torch.equal(read["replaced"], (read["tokens"] != original) & ~query)
    assert torch.equal(read["classified"], (original != 0) & ~query)
    assert torch.equal(read["targets"], original[query].long())
    assert 0.5 < read["replaced"][filled].float().mean() < 1.0  # the generator is new


def test_the_loss_is_the_sum_of_its_parts(sequences):
    objective = ReplacedToken(discriminator_weight=7.0)
    module, batch = make(objective), batch_of(objective, sequences)
    read = module.read(batch)
    table = module.prediction.encoder.embeddings.token.weight[3:]
    masked = batch["tokens"] == 1
    hidden = module.generator.project(module.generator(batch["tokens"]).tokens[masked])
    generator = F.cross_entropy(hidden @ table.T, batch["targets"].long() - 3)
    encoded = module.prediction.encoder(read["tokens"])
    labels = read["replaced"][read["classified"]].float()
    logits = module.head(encoded.tokens)[..., 0][read["classified"]]
    classification = F.binary_cross_entropy_with_logits(logits, labels)
    queries = F.cross_entropy(encoded.tokens[batch["query"]] @ table.T, read["targets"] - 3)
    expected = generator + 7 * (classification + queries)
    torch.testing.assert_close(module.loss_of(module.prediction.encode(read), read), expected)


def test_samples_follow_the_softmax_over_all_tokens():
    module = make(ReplacedToken())
    torch.manual_seed(1)
    query = torch.randn(16)
    samples = module._sample(query.expand(40_000, 16)) - 3
    shares = torch.bincount(samples, minlength=17) / 40_000
    expected = (module.prediction.items() @ query).softmax(0)
    torch.testing.assert_close(shares, expected.detach(), atol=0.01, rtol=0)


def test_the_generator_is_narrow_and_shares_the_token_table_alone():
    module = make(ReplacedToken(generator_size=0.5), neck="bigru", fusion="scalar_mix", ngrams=2)
    generator, encoder = module.generator, module.prediction.encoder
    assert (generator.config.dim, generator.config.neck, generator.config.fusion) == (8, "none", "last")
    assert generator.embeddings.token is encoder.embeddings.token
    shared = {id(p) for p in generator.parameters()} & {id(p) for p in encoder.parameters()}
    assert shared == {id(encoder.embeddings.token.weight)}


@pytest.mark.parametrize(
    ("size", "settings", "dim"),
    [
        (0.25, {}, 4),
        (0.01, {"n_heads": 4}, 4),
        (1.0, {"embedding_dim": 8}, 16),
        (0.4, {}, 6),
        (0.4, {"position": "rope"}, 8),  # which turns pairs: 3 a head would have none for the last
    ],
)
def test_the_width_of_the_generator(size, settings, dim):
    config = generator_config(EncoderConfig(**SIZES | settings), size)
    width = settings.get("embedding_dim", 16)
    assert (config.dim, config.embedding_dim) == (dim, None if dim == width else width)
    Encoder(config)


@torch.no_grad()
def test_metrics_count_tokens_and_replacements(sequences):
    objective = ReplacedToken()
    module, batch = make(objective), batch_of(objective, sequences)
    read = module.read(batch)
    encoded = module.prediction.encode(read)
    metrics = module.metrics(encoded, read)
    assert set(metrics) == {"accuracy", "log_likelihood", "replaced_accuracy", "replaced_recall"}
    detected = module.head(encoded.tokens)[..., 0] > 0
    right, n = metrics["replaced_accuracy"]
    assert n == int(read["classified"].sum())
    assert right == int((detected == read["replaced"])[read["classified"]].sum())
    assert metrics["accuracy"][1] == len(batch["targets"])


def test_the_auxiliary_loss_classifies_the_raw_last_layer_too(sequences):
    objective = ReplacedToken()
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(**SIZES, fusion="scalar_mix", neck="bigru"))
    module = objective.module(TokenPrediction(encoder, LossConfig(), first_row=3, auxiliary=0.8))
    module(batch_of(objective, sequences)).backward()
    assert [name for name, value in module.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    "options", [{"mask_prob": 1.0}, {"query_prob": 1.5}, {"generator_size": 0.0}, {"discriminator_weight": 0.0}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=rf"objective_options: {next(iter(options))} is"):
        ReplacedToken(**options)
