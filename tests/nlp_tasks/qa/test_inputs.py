import numpy as np
import pytest

from nlp_tasks.config import TokenizerConfig
from nlp_tasks.qa.config import NewQuestionsConfig, QAConfig
from nlp_tasks.qa.data import Question, Reference
from nlp_tasks.qa.files import read_set
from nlp_tasks.qa.inputs import label, read_passages, read_windows, some_empty
from nlp_tasks.tokenization import Tokenizer

WILD = "　范廷颂（Phạm Đình Tụng）， 1919年\t生于 Cafe\u0301 Zürich…\n他在1963年 被任为主教。  New-York 3.14! "


@pytest.fixture(scope="module")
def mixed() -> Tokenizer:
    """Reads Chinese characters and pieces of words."""
    return Tokenizer.train([WILD, "什么时候？ where when"], TokenizerConfig(min_count=1))


def windows_of(tokenizer, passage, question="什么时候？", max_len=24, longest=None, **settings):
    passages = read_passages(tokenizer, [passage], longest)
    return read_windows(tokenizer, passages, [question], np.array([0]), QAConfig(**settings), max_len)


def question(text, start, passage=0):
    return Question("q", "什么时候？", passage, (Reference(text, start),), "here")


def test_windows_cover_every_token_and_say_where_it_stands(mixed):
    windows = windows_of(mixed, WILD, overlap=0.5)
    tokens = windows.passages.tokens
    assert len(windows.question) > 3
    seen = np.zeros(len(tokens.ids), int)
    for row in range(len(windows.question)):
        ids = windows.inputs.ids[windows.inputs.offsets[row] : windows.inputs.offsets[row + 1]]
        second, width = windows.inputs.second[row], windows.width[row]
        assert len(ids) <= 24
        assert mixed.tokens(ids[:second]) == ["[CLS]", *mixed.tokens(mixed(["什么时候？"]).ids), "[SEP]"]
        assert mixed.tokens(ids[-1:]) == ["[SEP]"]
        span = slice(windows.first[row], windows.first[row] + width)
        np.testing.assert_array_equal(ids[second:-1], tokens.ids[span])
        seen[span] += 1
        pieces = windows.pieces(np.array([row]), 30)[0]
        assert np.flatnonzero(pieces).tolist() == list(range(second, second + width))
    assert seen.min() >= 1
    assert (seen[9:-9] >= 2).mean() > 0.8  # half a window is read again
    assert windows.counts == {"read_in_windows": 1}


def test_characters_are_those_of_the_text(mixed):
    """Every token's own characters, in a text with blanks, accents, full-width marks and words in pieces."""
    windows = windows_of(mixed, WILD, max_len=200)
    assert len(windows.question) == 1
    first, spans = int(windows.inputs.second[0]), windows.passages.tokens.spans
    for place, (start, stop) in enumerate(spans.tolist()):
        assert windows.characters(0, first + place, first + place) == (start, stop)
        assert WILD[start:stop].strip() == WILD[start:stop] != ""
    words = {WILD[start:stop] for start, stop in spans.tolist()}
    assert {"范", "（", "1963" if "1963" in words else "1", "年", "主", "。"} <= words


@pytest.mark.parametrize("answer", ["1963年", "范廷颂", "主教", "Phạm Đình Tụng", "年\t生于", "3.14", "1919年"])
@pytest.mark.parametrize("max_len", [24, 200])
def test_labels_give_the_answer_back_in_every_window_that_holds_it(mixed, answer, max_len):
    windows = windows_of(mixed, WILD, max_len=max_len)
    targets = [question(answer, WILD.index(answer))]
    labels = label(windows, targets, QAConfig())
    assert labels.reasons == [""]
    assert labels.counts["windows_with_the_answer"] >= 1
    for row, (start, end) in enumerate(zip(labels.starts, labels.ends, strict=True)):
        first, stop = windows.characters(
            row, windows.inputs.second[row], windows.inputs.second[row] + windows.width[row] - 1
        )
        whole = first <= targets[0].target.start and targets[0].target.start + len(answer) <= stop
        assert (end > 0) == whole
        if whole:
            first, stop = windows.characters(row, start, end)
            assert WILD[first:stop] == answer


def test_answers_that_tokens_do_not_fit(mixed):
    windows = windows_of(mixed, WILD, max_len=24)
    cases = {
        "生于 Cafe\u0301 Zürich…\n他在1963年 被任为主教。  New-York 3.14!": "no window holds the whole answer",
        "　": "the answer has no token of its own",
    }
    for text, reason in cases.items():
        assert label(windows, [question(text, WILD.index(text))], QAConfig()).reasons[0].startswith(reason)
    tokenizer = Tokenizer.train(["goalkeeper goal keeper"] * 3, TokenizerConfig(min_count=1))
    one = windows_of(tokenizer, "a goalkeeper", question="goal", max_len=24)
    labels = label(one, [question("keeper", 6)], QAConfig(max_answer=1))
    assert labels.counts["windows_with_the_answer"] == 1
    assert labels.counts.get("answers_within_a_token") == 1  # the token is the whole word
    none = label(one, [Question("q", "goal", 0, (), "here")], QAConfig())
    assert none.ends.tolist() == [0]
    assert none.reasons == [""]


def test_several_passages_and_questions(mixed):
    texts = ["1919年生于", WILD, "", "\u200b", "他在1963年"]
    passages = read_passages(mixed, texts)
    assert passages.counts == {"passages_without_a_token": 2}
    about = [4, 0, 1, 3]
    windows = read_windows(mixed, passages, ["何时"] * 4, np.array(about), QAConfig(), 24)
    assert windows.passage.tolist() == [about[q] for q in windows.question]
    targets = [
        question("1963年", 2, 4),
        question("生于", 5, 0),
        question("主教", WILD.index("主教"), 1),
        Question("", "", 3, (), ""),
    ]
    labels = label(windows, targets, QAConfig())
    for row in np.flatnonzero(labels.ends):
        first, stop = windows.characters(row, labels.starts[row], labels.ends[row])
        assert texts[windows.passage[row]][first:stop] == targets[windows.question[row]].target.text
    assert {0, 1, 2} == set(windows.question[labels.ends > 0].tolist())


def test_a_long_question_leaves_room_for_the_passage(mixed):
    windows = windows_of(mixed, "生于 1919年", question="什么时候？" * 9, max_len=23)
    assert windows.inputs.second.tolist() == [12] * len(windows.question)
    assert windows.counts["questions_shortened"] == 1
    assert windows_of(mixed, "生于", question="什么时候？" * 9, max_question=4, max_len=200).inputs.second.tolist() == [
        6
    ]


def test_a_long_passage_is_shortened_to_whole_sentences(mixed):
    sentences = ["他在1963年。", "他在生于。", "New-York！", "他在1963年生于主教。", "被任为主教。"]
    text = " ".join(sentences)
    lengths = mixed(sentences).lengths
    passages = read_passages(mixed, [text, "他。"], longest=int(lengths[3] + lengths[0]))
    assert passages.counts == {"passages_shortened": 1}
    spans = passages.tokens.spans[: passages.tokens.offsets[1]]
    assert passages.tokens.lengths[1] == 2  # a short one stays
    words = [text[start:stop] for start, stop in spans.tolist()]
    assert "New" not in words
    pieces = passages.piece[: len(spans)]
    assert len(spans) <= lengths[3] + lengths[0]
    for piece in np.unique(pieces):  # a piece is an unbroken stretch of the text
        part = spans[pieces == piece]
        stretch = text[part[0, 0] : part[-1, 1]]
        np.testing.assert_array_equal(mixed([stretch]).lengths, [len(part)])
    assert pieces.min() == 1
    whole = read_passages(mixed, ["他在1963年生于主教" * 4 + "。"], longest=10)
    assert whole.tokens.lengths.tolist() == [10]  # one sentence, longer than there is room: its beginning


def test_empty_windows_are_drawn_anew(mixed):
    windows = windows_of(mixed, WILD * 4, overlap=0.0)
    labels = label(windows, [question("1963年", WILD.index("1963年"))], QAConfig())
    n, full = len(labels.ends), np.flatnonzero(labels.ends)
    choose = some_empty(windows, labels, np.array([True]), 0.5)
    samples = [choose(np.random.default_rng(seed)) for seed in range(5)]
    for one in samples:
        assert len(one) == len(full) + round(0.5 * (n - len(full)))
        assert set(full) <= set(one.tolist())
    assert len({tuple(one) for one in samples}) > 1
    everything = some_empty(windows, labels, np.array([False]), 0.0)  # a question without an answer keeps all windows
    assert len(everything(np.random.default_rng(0))) == n


@pytest.mark.slow
@pytest.mark.shared_data
def test_every_answer_of_a_real_set_is_found_to_the_character(shared_data):
    examples = read_set(shared_data / "cmrc2018" / "cmrc2018_trial.json", NewQuestionsConfig(bad_rows="drop"))
    assert len(examples) == 1000
    assert (examples.left_out, examples.counts) == ({"question is empty": 2}, {"answers_begin_elsewhere": 5})
    tokenizer = Tokenizer.train(examples.passages, TokenizerConfig())
    passages, about = read_passages(tokenizer, examples.passages), np.array([q.passage for q in examples.questions])
    windows = read_windows(tokenizer, passages, [q.text for q in examples.questions], about, QAConfig(), 512)
    labels = label(windows, examples.questions, QAConfig())
    for question, reason in zip(examples.questions, labels.reasons, strict=True):
        assert (
            not reason or len(question.target.text) > 200
        )  # half a window, which is read again, holds any shorter one
    exact = [
        examples.passages[windows.passage[row]][slice(*windows.characters(row, labels.starts[row], labels.ends[row]))]
        == examples.questions[windows.question[row]].target.text
        for row in np.flatnonzero(labels.ends)
    ]
    assert len(exact) == labels.counts["windows_with_the_answer"] > 1000
    assert exact.count(False) == labels.counts["answers_within_a_token"] == 1
