"""Metrics of generated texts, against sacrebleu and rouge-score."""

import random

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from recsys_bert.evaluation.generation import bleu_words, distinct, generation_metrics

SENTENCE = 'the cat sat on a mat , and don\'t ask ( why ) it cost 3.50 euros - or 1,000 . Really ? "yes" self-made'
WORDS = SENTENCE.split()
CHINESE = list("床前明月光，疑是地上霜。举头望明月，低头思故乡。abc 12")


def corpus(words, joint, seed):
    choices = random.Random(seed)
    texts = [choices.choices(words, k=choices.randint(3, 14)) for _ in range(30)]
    references = [[word if choices.random() < 0.7 else choices.choice(words) for word in text] for text in texts]
    return [joint.join(text) for text in texts], [joint.join(text) for text in references]


@pytest.mark.parametrize(("words", "joint", "tokenize"), [(WORDS, " ", "13a"), (CHINESE, "", "zh")])
@pytest.mark.parametrize("seed", [0, 1])
def test_bleu_and_chrf_are_sacrebleus(words, joint, tokenize, seed):
    texts, references = corpus(words, joint, seed)
    metrics = generation_metrics(texts, references)
    assert metrics["bleu"] == pytest.approx(BLEU(tokenize=tokenize).corpus_score(texts, [references]).score)
    assert metrics["chrf"] == pytest.approx(CHRF().corpus_score(texts, [references]).score)


@pytest.mark.parametrize("texts", [["a b c d e"], ["a b x d y"], ["a"], ["a b c d e f g h"]])
def test_lengths_without_a_match_count_as_in_sacrebleu(texts):
    references = ["a b c d e z"]
    expected = BLEU().corpus_score(texts, [references]).score
    assert generation_metrics(texts, references)["bleu"] == pytest.approx(expected)


def test_rouge_is_that_of_rouge_score():
    texts, references = corpus(WORDS, " ", 0)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = [scorer.score(reference, text) for text, reference in zip(texts, references, strict=True)]
    metrics = generation_metrics(texts, references)
    for ours, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        assert metrics[ours] == pytest.approx(sum(score[theirs].fmeasure for score in scores) / len(scores))


def test_a_small_example_by_hand():
    metrics = generation_metrics(["the cat sat", " 明月光 ", ""], ["the cat ran", "明月光", "x"])
    assert metrics["exact"] == pytest.approx(1 / 3)
    assert metrics["rouge_1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert metrics["rouge_2"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert metrics["distinct_1"] == 1.0
    assert distinct([["a", "b", "a"], ["a", "b"]], 2) == pytest.approx(2 / 3)  # ab, ba, ab
    assert distinct([[]], 1) == 0.0


def test_nothing_is_a_score_of_nothing():
    metrics = generation_metrics([""], ["the cat"])
    assert [metrics[name] for name in ("bleu", "chrf", "rouge_1", "rouge_l", "exact", "distinct_1")] == [0.0] * 6
    assert bleu_words("") == []
