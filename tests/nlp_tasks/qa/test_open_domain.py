import numpy as np
import pytest
import torch

from nlp_tasks.qa.config import QAConfig, RetrievalConfig
from nlp_tasks.qa.model import SpanModel
from nlp_tasks.qa.open_domain import OpenDomainQA, recall_at, words_of
from nlp_tasks.qa.question_answerer import QuestionAnswerer
from nlp_tasks.recall.bm25 import BM25
from nlp_tasks.recall.words import plain_words
from recsys_bert.errors import InputError

PARAGRAPHS = [
    "  the ball and the goal of a team .",
    "a bank with stock and a fund . the price of the bank .",
    "soup with salt . bread in an oven . a match of soup and salt . the team by the goal . bread .",
    "ball by ball to the match",
]


@pytest.fixture
def answerer(encoder, tokenizer):
    torch.manual_seed(2)
    return QuestionAnswerer(SpanModel(encoder, 0.0).eval(), tokenizer, QAConfig(max_answer=4), "english")


def test_answers_come_with_paragraph_characters_and_scores(answerer):
    open_domain = OpenDomainQA(answerer, PARAGRAPHS, RetrievalConfig(paragraphs=3))
    questions = ["the stock price", "zebra", "goal of the ball"]
    ranked, counts = open_domain.predict(questions, k=3)
    assert counts["questions_that_share_no_word"] == 1
    assert ranked[1] == []
    for question, some in zip(questions, ranked, strict=True):
        rows, scores = open_domain.bm25.search([question], 3)[0]
        assert {one.paragraph for one in some} == set(rows.tolist())
        best = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        for one in some:
            answer = one.answer
            assert PARAGRAPHS[one.paragraph][answer.start : answer.stop] == answer.text != ""
            alone = answerer.predict([question], [PARAGRAPHS[one.paragraph]])[0]
            assert (alone.start, alone.stop) == (answer.start, answer.stop)
            assert one.bm25 == pytest.approx(best[one.paragraph])
            assert one.score == pytest.approx(answer.score * one.bm25 / scores[0], rel=1e-5)
        assert [one.score for one in some] == sorted((one.score for one in some), reverse=True)
    assert [some[:1] for some in ranked] == open_domain.predict(questions)[0]


def test_the_weight_of_bm25(answerer):
    for weight in (0.0, 2.0):
        ranked, _ = OpenDomainQA(answerer, PARAGRAPHS, RetrievalConfig(bm25_weight=weight)).predict(
            ["the goal of the match"], k=5
        )
        top = max(one.bm25 for one in ranked[0])
        for one in ranked[0]:
            assert one.score == pytest.approx(one.answer.score * (one.bm25 / top) ** weight, rel=1e-5)


def test_long_paragraphs_are_shortened_and_answers_stay_in_one_piece(answerer, tokenizer):
    long = PARAGRAPHS[2]
    open_domain = OpenDomainQA(answerer, PARAGRAPHS, RetrievalConfig(paragraphs=1, longest=12))
    for seed in range(10):
        torch.manual_seed(seed)
        torch.nn.init.normal_(answerer.model.output.weight, std=3.0)
        (ranked,), counts = open_domain.predict(["soup bread oven"])
        assert counts["passages_shortened"] == 1
        answer = ranked[0].answer
        assert long[answer.start : answer.stop] == answer.text
        assert len(tokenizer([answer.text]).ids) <= 4
        shortened = answerer.passages([long], 12)
        inside = (shortened.tokens.spans[:, 0] >= answer.start) & (shortened.tokens.spans[:, 1] <= answer.stop)
        assert inside.sum() == len(tokenizer([answer.text]).ids)  # nothing that was left out lies within


def test_recall_counts_the_right_paragraph_among_the_first():
    index = BM25(PARAGRAPHS, plain_words)
    questions, right = ["stock", "goal", "ball", "zebra"], [1, 2, 0, 3]
    ranks = [
        index.search([q], 9)[0][0].tolist().index(r) if q != "zebra" else 9
        for q, r in zip(questions, right, strict=True)
    ]
    assert recall_at(index, questions, right, (1, 2, 5)) == {
        f"recall@{k}": float(np.mean(np.array(ranks) < k)) for k in (1, 2, 5)
    }
    assert recall_at(index, ["stock"], [1], (1,)) == {"recall@1": 1.0}


def test_what_counts_as_a_word():
    assert words_of(["the cat"], "auto") is plain_words
    assert "主教" in words_of(["他在1963年被任为主教"], "auto")("公司的主教")


def test_paragraphs_and_settings_that_do_not_fit(answerer):
    with pytest.raises(InputError, match="paragraph 2 is empty; 1 such"):
        OpenDomainQA(answerer, ["a", " "])
    for settings in ({"paragraphs": 0}, {"longest": 2}, {"b": 1.5}, {"bm25_weight": -1.0}):
        with pytest.raises(InputError, match=rf"{next(iter(settings))}"):
            RetrievalConfig(**settings)
