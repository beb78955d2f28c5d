from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nlp_tasks.pretraining.batches import PretrainingBatches
from nlp_tasks.pretraining.corpus import cut_corpus
from nlp_tasks.pretraining.metrics import evaluate
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.masked import Masked
from recsys_bert.objectives.segment_pairs import NextSentence, PairClassification, SentenceOrder
from recsys_bert.objectives.token_prediction import TokenPrediction

PAIRS = {"none": None, "sop": SentenceOrder(), "nsp": NextSentence()}


@pytest.fixture
def documents(topics):
    return ["\n".join(topics(n % 4 + 1, seed=n)[0]) for n in range(80)]


@pytest.fixture
def batches(documents, tokenizer):
    def make(room=29, some=None, mask=0.2, pair="none"):
        corpus = cut_corpus(documents if some is None else some, tokenizer, room, "tokenizer")
        return PretrainingBatches(corpus, tokenizer, Masked(mask_prob=mask), PAIRS[pair], batch_size=16, seed=3)

    return make


def originals(batch):
    tokens = batch["tokens"].reshape(-1).copy()
    tokens[batch["positions"]] = batch["targets"]
    return tokens.reshape(batch["tokens"].shape)


def segments_of(batch, tokenizer):
    """Texts of the one or two segments of every row."""
    segments = []
    for row, segment in zip(originals(batch), batch["segments"], strict=True):
        parts = [row[(row != 0) & (segment == n)].tolist() for n in (0, 1)]
        segments.append(tuple(tokenizer.text(part) for part in parts if part))
    return segments


def test_an_epoch_has_every_example_once_with_new_masks(batches, tokenizer):
    epochs = batches()
    seen = [[row[row != 0].tolist() for batch in epochs(epoch) for row in originals(batch)] for epoch in (0, 1)]
    corpus = epochs.corpus
    expected = sorted(
        [tokenizer.cls, *corpus.ids[a:b].tolist(), tokenizer.sep]
        for a, b in zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True)
    )
    assert sorted(seen[0]) == sorted(seen[1]) == expected
    first, again, later = (next(iter(epochs(epoch))) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first["tokens"], again["tokens"])
    assert not np.array_equal(first["positions"], later["positions"])


def test_going_on_within_an_epoch_gives_the_same_batches(batches):
    epochs = batches(pair="sop")
    for one, other in zip(list(epochs(1))[2:], epochs(1, first_step=2), strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_special_tokens_and_unknown_ones_are_never_predicted(batches, tokenizer, documents):
    epochs = batches(mask=0.9, pair="sop", some=[*documents, "ball 好\ngoal 好"])
    for batch in epochs(0):
        assert batch["n_targets"] == len(batch["targets"]) > 0
        predicted = set(batch["targets"].tolist())
        assert not predicted & {0, tokenizer.unk, tokenizer.cls, tokenizer.sep, tokenizer.mask}
        assert min(predicted) >= tokenizer.first_token == 5
        assert (originals(batch)[:, 0] == tokenizer.cls).all()


def test_words_are_masked_whole(batches, tokenizer):
    words = ["ballteam goal bank", "stockprice soupgoal"] * 20
    for batch in batches(some=words, mask=0.4)(0):
        predicted = np.zeros(batch["tokens"].size, bool)
        predicted[batch["positions"]] = True
        predicted, tokens = predicted.reshape(batch["tokens"].shape), originals(batch)
        joined = tokenizer.continues[tokens][:, 1:] & (tokens[:, :-1] != tokenizer.cls)
        assert joined.any()
        np.testing.assert_array_equal(predicted[:, 1:][joined], predicted[:, :-1][joined])


def test_sop_swaps_half_of_the_examples(batches, tokenizer, documents):
    labels, known = [], {document.replace("\n", " ") for document in documents}
    for batch in batches(pair="sop", room=100)(0):
        for parts, label in zip(segments_of(batch, tokenizer), batch["pair"], strict=True):
            labels.append(label)
            in_order = parts if label != 1 else parts[::-1]
            assert " ".join(in_order) in known
            assert (len(parts) == 1) == (label == -100)
    assert labels.count(-100) == 20  # every fourth document has one sentence
    assert 15 < labels.count(1) < 45


def test_nsp_takes_another_document_for_half_of_the_examples(batches, tokenizer, documents):
    epochs = batches(pair="nsp", room=29)
    lines = {line: n for n, document in enumerate(documents) for line in document.split("\n")}
    labels = []
    for epoch in range(3):
        for batch in epochs(epoch):
            assert (batch["tokens"] != 0).sum(axis=1).max() <= 32
            for parts, label in zip(segments_of(batch, tokenizer), batch["pair"], strict=True):
                labels.append(label)
                if label == -100:
                    assert len(parts) == 1
                    continue
                source = {n for n, document in enumerate(documents) if parts[0] in document.replace("\n", " ")}
                other = {n for line, n in lines.items() if parts[1][:20] in document_of(documents, n)}
                assert bool(source & other) == (label == 0)
    assert 0.4 < labels.count(1) / (labels.count(1) + labels.count(0)) < 0.6


def test_the_second_segment_is_whole_sentences_whatever_the_label(batches, tokenizer):
    random, documents = np.random.default_rng(5), []
    for _ in range(40):  # a document's first sentence begins with bank, the others with goal; all end with ball
        sizes = [0, *random.integers(1, 9, 5)]
        begins = ["bank", *["goal"] * 5]
        fillers = [" the" * size for size in random.permutation(sizes)]
        documents.append("\n".join(f"{begin}{filler} ball" for begin, filler in zip(begins, fillers, strict=True)))
    begun, epochs = {0: set(), 1: set()}, batches(some=documents, pair="nsp", room=100)
    for batch in epochs(0):
        for (_, second), label in zip(segments_of(batch, tokenizer), batch["pair"].tolist(), strict=True):
            assert second.endswith(" ball")
            begun[label].add(second.split()[0])
    assert begun == {0: {"goal"}, 1: {"bank", "goal"}}


def test_where_all_sentences_of_another_document_are_longer_one_is_cut(batches, tokenizer):
    epochs = batches(some=["goal ball\ngoal ball", f"bank{' the' * 20} ball"], pair="nsp", room=100)
    seen = {parts for epoch in range(9) for batch in epochs(epoch) for parts in segments_of(batch, tokenizer)}
    assert {parts[1] for parts in seen if len(parts) == 2} == {"goal ball", "bank the"}


def document_of(documents, n):
    return documents[n].replace("\n", " ")


def test_pairs_need_sentences_and_documents(batches):
    with pytest.raises(InputError, match="needs texts of two sentences"):
        batches(some=["ball goal", "soup"], pair="sop")
    with pytest.raises(InputError, match="needs at least two documents"):
        batches(some=["ball goal\nsoup"], pair="nsp")


def test_processes_share_a_batch(batches):
    epochs = batches()
    whole = [batch["tokens"].shape[0] for batch in epochs(0)]
    shares = [list(epochs(0, rank=rank, world=3)) for rank in range(3)]
    for step, n in enumerate(whole):
        rows = [share[step]["tokens"].shape[0] for share in shares if share[step]["n_targets"]]
        assert sum(rows) == n


@pytest.fixture
def model(encoder, tokenizer):
    def build(pair="none"):
        torch.manual_seed(0)
        prediction = TokenPrediction(encoder, LossConfig(), first_row=tokenizer.first_token)
        return (prediction if pair == "none" else PairClassification(prediction, 0.5)).eval()

    return build


def as_tensors(batch):
    return {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in batch.items()}


def test_the_loss_is_that_of_masked_tokens_and_of_pairs(model, batches):
    batch = as_tensors(next(iter(batches(pair="sop")(0))))
    module = model("sop")
    encoder = module.prediction.encoder
    encoded = encoder(batch["tokens"], segments=batch["segments"])
    hidden = encoded.tokens.flatten(0, 1)[batch["positions"]]
    expected = F.cross_entropy(hidden @ encoder.embeddings.token.weight[5:].T, batch["targets"].long() - 5)
    pairs = batch["pair"] != -100
    expected += 0.5 * F.cross_entropy(module.pair(encoded.tokens[:, 0])[pairs], batch["pair"][pairs])
    torch.testing.assert_close(module(batch), expected)


def test_a_second_loss_needs_segments_and_a_first_token_that_sees_the_others(settings, tokenizer):
    for change, message in (
        ({"n_segments": 0}, "n_segments 2; it is 0"),
        ({"attention": "causal"}, "sees no other one"),
    ):
        config = replace(settings, vocab_size=tokenizer.size, **change)
        with pytest.raises(InputError, match=message):
            PairClassification(TokenPrediction(Encoder(config), LossConfig(), first_row=5), 1.0)


@torch.no_grad()
def test_metrics_are_those_of_all_batches(model, batches):
    module, validation = model("sop"), batches(pair="sop")
    table = module.prediction.encoder.embeddings.token.weight[5:]
    right = total = log_p = right_pairs = n_pairs = 0
    for values in validation(0):
        batch = as_tensors(values)
        tokens = module.prediction.encoder(batch["tokens"], segments=batch["segments"]).tokens
        logits, pair = tokens.flatten(0, 1)[batch["positions"]] @ table.T, module.pair(tokens[:, 0])
        targets = batch["targets"].long() - 5
        right += int((logits.argmax(1) == targets).sum())
        log_p += float(logits.log_softmax(1)[torch.arange(len(targets)), targets].sum())
        total += len(targets)
        mask = batch["pair"] >= 0
        right_pairs += int((pair.argmax(1) == batch["pair"])[mask].sum())
        n_pairs += int(mask.sum())
    expected = {"accuracy": right / total, "log_likelihood": log_p / total, "perplexity": np.exp(-log_p / total)}
    expected |= {"pair_accuracy": right_pairs / n_pairs}
    assert evaluate(module, validation) == pytest.approx(expected, rel=1e-4)
    assert "pair_accuracy" not in evaluate(model(), batches())
