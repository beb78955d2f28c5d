from dataclasses import replace

import numpy as np
import pytest

from nlp_tasks.config import TEXT_ENCODER, LengthConfig
from nlp_tasks.inputs import longest, read_texts
from recsys_bert.errors import InputError

WORDS = ["ball", "goal", "team", "match", "bank", "stock", "price", "fund", "soup", "bread", "salt", "oven"]


@pytest.fixture
def rows(tokenizer):
    """Rows of texts as lists of tokens, and the inputs themselves."""

    def make(texts, others=None, max_len=10, **settings):
        inputs = read_texts(tokenizer, texts, others, LengthConfig(**settings), max_len)
        cut = [inputs.ids[a:b] for a, b in zip(inputs.offsets[:-1], inputs.offsets[1:], strict=True)]
        return [tokenizer.tokens(row) for row in cut], inputs

    return make


def text(first, last):
    """Words ``first`` … ``last - 1``."""
    return " ".join(WORDS[first:last])


def test_single_texts(rows):
    read, inputs = rows(["ball", text(0, 8), ""])
    assert read == [["[CLS]", "ball", "[SEP]"], ["[CLS]", *WORDS[:8], "[SEP]"], ["[CLS]", "[SEP]"]]
    assert inputs.owner.tolist() == [0, 1, 2]
    assert inputs.counts == {}
    assert len(inputs) == 3


def test_pairs(rows):
    read, inputs = rows(["ball", text(0, 3)], ["goal team", text(3, 7)])
    assert read[0] == ["[CLS]", "ball", "[SEP]", "goal", "team", "[SEP]"]
    assert inputs.second.tolist() == [3, 5]
    assert inputs.counts == {}


@pytest.mark.parametrize(("share", "head"), [(0.25, 2), (0.0, 0), (1.0, 8), (0.5, 4)])
def test_both_ends_are_kept(rows, share, head):
    read, inputs = rows([text(0, 12), text(0, 8)], head_share=share)
    assert read[0][1:-1] == [*WORDS[:head], *WORDS[12 - (8 - head) : 12]]
    assert read[1][1:-1] == WORDS[:8]
    assert inputs.counts == {"shortened": 1}


def test_a_pair_shares_the_room(rows):
    """Seven tokens of room: three for the first, or what the second leaves free, and the other way round."""
    lengths = {(12, 12): (3, 4), (2, 12): (2, 5), (12, 1): (6, 1), (12, 2): (5, 2), (3, 4): (3, 4)}
    for (a, b), lengths_left in lengths.items():
        read, inputs = rows([text(0, a)], [text(0, b)], head_share=1.0)
        assert read == [["[CLS]", *WORDS[: lengths_left[0]], "[SEP]", *WORDS[: lengths_left[1]], "[SEP]"]]
        assert inputs.counts.get("shortened", 0) == (a > lengths_left[0]) + (b > lengths_left[1])


def test_windows_cover_the_whole_text(rows):
    read, inputs = rows([text(0, 12), "ball", text(0, 9)], long="windows", overlap=0.5)
    assert inputs.owner.tolist() == [0, 0, 1, 2, 2]
    assert [row[1:-1] for row in read] == [WORDS[:8], WORDS[4:12], ["ball"], WORDS[:8], WORDS[1:9]]
    assert inputs.counts == {"read_in_windows": 2}
    assert inputs.first_row.tolist() == [0, 2, 3, 5]


def test_no_token_is_left_out_by_windows(tokenizer):
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, n)) for n in random.integers(1, 200, 30)]
    for overlap in (0.0, 0.25, 0.9):
        config = LengthConfig(long="windows", overlap=overlap, max_windows=10_000)
        inputs = read_texts(tokenizer, texts, None, config, 12)
        tokens = tokenizer(texts)
        for example in range(30):
            whole = tokens.ids[tokens.offsets[example] : tokens.offsets[example + 1]]
            stride, reach = max(1, int(10 * (1 - overlap))), 0
            for number, row in enumerate(np.flatnonzero(inputs.owner == example)):
                window = inputs.ids[inputs.offsets[row] + 1 : inputs.offsets[row + 1] - 1]
                start = min(number * stride, max(0, len(whole) - 10))
                np.testing.assert_array_equal(window, whole[start : start + 10])
                assert start <= reach
                reach = start + len(window)
            assert reach == len(whole)


def test_too_many_windows_are_spread_and_counted(rows):
    read, inputs = rows([" ".join(WORDS * 5)], long="windows", overlap=0.0, max_windows=3)
    whole = WORDS * 5
    assert [row[1:-1] for row in read] == [whole[:8], whole[26:34], whole[52:60]]
    assert inputs.counts == {"read_in_windows": 1, "windows_left_out": 1}
    assert len(rows([" ".join(WORDS * 5)], long="windows", max_windows=1)[0]) == 1


def test_windows_of_the_second_text_stand_behind_the_whole_first(rows):
    read, inputs = rows(["ball goal"], [text(4, 12)], long="windows", overlap=0.0)
    assert [row[:4] for row in read] == [["[CLS]", "ball", "goal", "[SEP]"]] * 2
    assert [row[4:-1] for row in read] == [WORDS[4:9], WORDS[7:12]]
    assert inputs.second.tolist() == [4, 4]
    assert inputs.owner.tolist() == [0, 0]


def test_key_sentences_are_kept_in_order(rows):
    sentences = ["ball goal team.", "soup bread.", "goal team match.", "ball team goal."]
    read, inputs = rows([" ".join(sentences), "ball."], long="key_sentences")
    assert read[0][1:-1] == ["ball", "goal", "team", "[UNK]", "ball", "team", "goal", "[UNK]"]
    assert read[1][1:-1] == ["ball", "[UNK]"]
    assert inputs.counts == {"shortened": 1}


def test_a_key_sentence_that_is_too_long_is_cut(rows):
    read, _ = rows([text(0, 12)], long="key_sentences", head_share=1.0)
    assert read[0][1:-1] == WORDS[:8]


def test_gathering_pads_and_marks_segments(rows, tokenizer):
    _, inputs = rows(["ball", "ball goal team"], ["goal", "team match"])
    batch = inputs.gather(np.array([1, 0]))
    assert [tokenizer.tokens(row) for row in batch["tokens"]] == [
        ["[CLS]", "ball", "goal", "team", "[SEP]", "team", "match", "[SEP]"],
        ["[CLS]", "ball", "[SEP]", "goal", "[SEP]", "[PAD]", "[PAD]", "[PAD]"],
    ]
    assert batch["segments"].tolist() == [[0] * 5 + [1] * 3, [0] * 3 + [1] * 2 + [0] * 3]


def test_an_encoder_reads_only_so_much():
    encoder = replace(TEXT_ENCODER, max_len=32)
    assert longest(LengthConfig(), encoder) == 32
    assert longest(LengthConfig(max_len=16), encoder) == 16
    with pytest.raises(InputError, match=r"length\.max_len is 64; this encoder reads 32"):
        longest(LengthConfig(max_len=64), encoder)
