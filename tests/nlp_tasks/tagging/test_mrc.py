import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nlp_tasks.tagging.heads.mrc import MRC
from nlp_tasks.tagging.mrc import as_examples, as_sentences, read_queries, without_overlaps
from recsys_bert.errors import InputError
from recsys_bert.evaluation.spans import level_metrics

REAL = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])


def test_sentences_become_examples_and_back():
    entities = np.array([[0, 1, 2, 2], [0, 3, 4, 0], [2, 0, 1, 1]])
    examples = as_examples(entities, 3)
    np.testing.assert_array_equal(examples, [[0, 3, 4, 0], [2, 1, 2, 0], [7, 0, 1, 0]])
    np.testing.assert_array_equal(as_sentences(examples, 3), entities[[1, 0, 2]])
    assert as_examples(np.empty((0, 4), np.int64), 3).shape == (0, 4)


def test_flat_answers_keep_the_best_of_those_that_overlap():
    entities = np.array([[0, 0, 3, 0], [0, 2, 4, 1], [0, 3, 5, 0], [1, 2, 4, 0], [1, 2, 3, 1], [1, 2, 4, 1]])
    scores = np.array([0.7, 0.9, 0.6, 0.8, 0.8, 0.7])
    np.testing.assert_array_equal(entities[without_overlaps(entities, scores)], [[0, 2, 4, 1], [1, 2, 4, 0]])
    assert len(without_overlaps(np.empty((0, 4), np.int64), np.empty(0))) == 0


def test_questions_of_a_file(write):
    file = write("queries.tsv", "LOC\tWhich places?\n\nORG\tWhich firms?\n")
    assert read_queries(file, ["ORG", "LOC"]) == ["Which firms?", "Which places?"]
    assert read_queries(None, ["ORG", "LOC"]) == ["ORG", "LOC"]
    with pytest.raises(InputError, match="has no query for PER"):
        read_queries(file, ["LOC", "ORG", "PER"])
    with pytest.raises(InputError, match=r"no type \(line 3 of .*\) is called 'ORG'.* Known: LOC, PER"):
        read_queries(file, ["LOC", "PER"])
    with pytest.raises(InputError, match=r"line 2 of .* is a second query for LOC"):
        read_queries(write("two.tsv", "LOC\ta\nLOC\tb\n"), ["LOC"])
    with pytest.raises(InputError, match=r"line 2 of .* is not TYPE<tab>query"):
        read_queries(write("bad.tsv", "LOC\ta\nORG\n"), ["LOC"])


@pytest.mark.parametrize("options", [{"start_weight": 0}, {"end_weight": -1.0}, {"match_weight": float("nan")}])
def test_weights_of_losses_are_above_0(options):
    with pytest.raises(InputError, match=rf"head\.options: {next(iter(options))} is .*; it must be above 0"):
        MRC(4, 2, **options)


def test_the_loss_is_that_of_starts_ends_and_proposed_pairs():
    """By a plain loop over all pairs of two sentences."""
    torch.manual_seed(1)
    head = MRC(4, 2, start_weight=1.0, end_weight=0.5, match_weight=0.25, match_width=3)
    outputs = 2 * torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    entities = torch.tensor([[0, 0, 2, 0], [0, 1, 2, 0], [1, 2, 3, 0]])
    true = {(i, a, b - 1) for i, a, b, _ in entities.tolist()}
    losses = {"start": [], "end": [], "match": []}
    for i, a in REAL.nonzero().tolist():
        losses["start"].append(F.softplus(outputs[i, a, 0] * (-1) ** any((i, a) == t[:2] for t in true)))
        losses["end"].append(F.softplus(outputs[i, a, 1] * (-1) ** any((i, a) == t[::2] for t in true)))
        for b in range(a, int(REAL[i].sum())):
            begins = outputs[i, a, 0] > 0 or any((i, a) == t[:2] for t in true)
            ends = outputs[i, b, 1] > 0 or any((i, b) == t[::2] for t in true)
            if begins and ends:
                match = head.match(F.gelu(outputs[i, a, 2:5] + outputs[i, b, 5:])).squeeze()
                losses["match"].append(F.softplus(match * (-1) ** ((i, a, b) in true)))
    start, end, match = (torch.stack(one).mean() for one in losses.values())
    torch.testing.assert_close(head.loss(outputs, REAL, entities), start + 0.5 * end + 0.25 * match)


def test_answers_are_likely_starts_and_ends_that_match():
    head, outputs = MRC(4, 2, match_width=1), torch.full((2, 5, 4), -3.0)
    torch.nn.init.ones_(head.match.weight)
    torch.nn.init.constant_(head.match.bias, -1.0)
    outputs[0, [0, 1], 0] = 1.0  # starts
    outputs[0, [1, 3], 1] = 1.0  # ends
    outputs[0, 0, 2], outputs[0, 1, 2] = 1.0, 4.0
    outputs[0, 3, 3], outputs[0, 1, 3] = -2.0, 0.5
    outputs[1, 4] = 5.0  # on padding
    with torch.no_grad():
        entities, scores = head.decode(outputs, REAL)
    np.testing.assert_array_equal(entities, [[0, 0, 2, 0], [0, 1, 2, 0], [0, 1, 4, 0]])
    logits = F.gelu(torch.tensor([1.5, 4.5, 2.0], dtype=torch.float64)) - 1  # that of words 0 and 3 is below 0
    np.testing.assert_allclose(scores, logits.sigmoid(), rtol=1e-5)


def test_outer_and_inner_entities_have_metrics_of_their_own():
    true = np.array([[0, 0, 4, 0], [0, 1, 2, 1], [0, 3, 4, 1], [1, 0, 2, 0], [1, 0, 2, 1]])
    predicted = np.array([[0, 0, 4, 0], [0, 3, 4, 1], [1, 0, 2, 0]])
    metrics = level_metrics(true, predicted, ["A", "B"], 2)
    assert metrics["outer_f1"] == pytest.approx(2 * 2 / (3 + 2))  # of the same place, neither lies within the other
    assert metrics["inner_f1"] == pytest.approx(2 * 1 / (2 + 1))
