import numpy as np
import pytest

from nlp_tasks.tagging.batches import WordBatches, word_batch
from nlp_tasks.tagging.config import SentenceLengthConfig
from nlp_tasks.tagging.inputs import RaggedRows, read_sentences
from nlp_tasks.tagging.sentences import join_words, split_words
from recsys_bert.errors import InputError


def pieces(tokenizer, word):
    return tokenizer([word]).ids.tolist() or [tokenizer.unk]


def spoken(tokenizer, words, example, max_len):
    """The first sub-token of every word of an example, by the batch's word positions."""
    batch = word_batch(words, words.inputs.first_row, np.array([example]))
    assert batch["tokens"].shape[1] <= max_len
    return batch["tokens"].reshape(-1)[batch["word_positions"][0]].tolist()


def test_the_first_sub_token_speaks_for_its_word(tokenizer):
    sentences = [join_words(["the", "tooo", "\u200b", "ball"], " "), join_words(["of"], " ")]
    words = read_sentences(tokenizer, sentences, SentenceLengthConfig(), 32)
    row = [t for word in sentences[0].words() for t in pieces(tokenizer, word)]
    ids, offsets = words.inputs.ids, words.inputs.offsets
    assert ids[: offsets[1]].tolist() == [tokenizer.cls, *row, tokenizer.sep]
    assert len(pieces(tokenizer, "tooo")) > 1
    for number, sentence in enumerate(sentences):
        assert spoken(tokenizer, words, number, 32) == [pieces(tokenizer, word)[0] for word in sentence.words()]
    assert words.inputs.counts == {}


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("max_len", [8, 11, 16])
def test_windows_cover_long_sentences(tokenizer, overlap, max_len):
    random = np.random.default_rng(0)
    words = [*map(str, random.choice(["the", "tooo", "ball", "soup", "x-ray"], 60))]
    sentences = [split_words(" ".join(words[:n]), "words") for n in (60, 3, 1, 40)]
    inputs = read_sentences(tokenizer, sentences, SentenceLengthConfig(overlap=overlap), max_len)
    assert inputs.inputs.counts["read_in_windows"] == 2
    assert inputs.inputs.lengths.max() <= max_len
    for number, sentence in enumerate(sentences):
        assert spoken(tokenizer, inputs, number, max_len) == [pieces(tokenizer, word)[0] for word in sentence.words()]


def test_a_word_is_read_in_the_window_with_most_context(tokenizer):
    words = read_sentences(tokenizer, [join_words(["the"] * 16, " ")], SentenceLengthConfig(overlap=0.5), 12)
    assert words.inputs.lengths.tolist() == [12, 12, 8]  # windows over words 0–10, 5–15 and 10–16
    assert words.window.tolist() == [0] * 7 + [0] + [1] * 5 + [2] * 3
    assert words.position.tolist() == [*range(1, 9), *range(4, 9), *range(4, 7)]


def test_long_sentences_are_refused_if_set(tokenizer):
    sentences = [join_words(["the"] * n, " ") for n in (3, 30, 40)]
    with pytest.raises(InputError, match=r"sentence 2 has 30 tokens, more than 10; 2 such sentences"):
        read_sentences(tokenizer, sentences, SentenceLengthConfig(long="refuse"), 12)


def test_a_word_of_more_than_half_a_row_is_shortened_and_counted(tokenizer):
    words = ["the", "t" + "o" * 40, "of"]
    inputs = read_sentences(tokenizer, [join_words(words, " ")], SentenceLengthConfig(), 12)
    assert inputs.inputs.counts == {"words_shortened": 1}
    assert spoken(tokenizer, inputs, 0, 12) == [pieces(tokenizer, word)[0] for word in words]


def test_queries_make_an_example_of_each_sentence(tokenizer):
    sentences = [join_words(["the", "ball"] * n, " ") for n in (2, 20, 1)]
    queries = ["of sport", "a team on goal"]
    words = read_sentences(tokenizer, sentences, SentenceLengthConfig(), 16, queries)
    assert len(words) == 6
    assert words.lengths.tolist() == [4, 4, 40, 40, 2, 2]
    for example in range(6):
        sentence = sentences[example // 2]
        assert spoken(tokenizer, words, example, 16) == [pieces(tokenizer, word)[0] for word in sentence.words()]
        row = int(words.inputs.first_row[example])
        query = tokenizer([queries[example % 2]]).ids.tolist()
        begins = words.inputs.ids[words.inputs.offsets[row] :][: len(query) + 2].tolist()
        assert begins == [tokenizer.cls, *query, tokenizer.sep]
    batch = word_batch(words, words.inputs.first_row, np.arange(6))
    assert batch["segments"].any()
    with pytest.raises(InputError, match="leave no room"):
        read_sentences(tokenizer, sentences, SentenceLengthConfig(), 8, queries)


def test_batches_show_everything_once_and_the_same_again(tokenizer):
    random = np.random.default_rng(1)
    sentences = [join_words(["the"] * int(n), " ") for n in random.integers(1, 30, 23)]
    entities = np.array([(i, 0, 1, i % 3) for i in range(23) if i % 4] + [(22, 0, 1, 0)] * 0)
    words = read_sentences(tokenizer, sentences, SentenceLengthConfig(), 16)
    batches = WordBatches(words, entities, batch_size=5, seed=3)
    seen = list(batches(1))
    assert len(seen) == batches.steps == 5
    assert sorted(n for batch in seen for n in batch["word_mask"].sum(axis=1)) == sorted(map(len, sentences))
    assert sum(batch["n_targets"] for batch in seen) == sum(map(len, sentences))
    assert sum(len(batch["entities"]) for batch in seen) == len(entities)
    for one, other in zip(seen[2:], batches(1, 2), strict=True):
        np.testing.assert_array_equal(one["tokens"], other["tokens"])
        np.testing.assert_array_equal(one["word_positions"], other["word_positions"])
        np.testing.assert_array_equal(one["entities"], other["entities"])


def test_examples_without_entities_are_drawn_anew_for_every_epoch(tokenizer):
    sentences = [join_words(["the"] * n, " ") for n in range(1, 25)]  # each of another length, by which it is known
    entities = np.array([(i, 0, 1, 0) for i in range(0, 24, 4)])
    words = read_sentences(tokenizer, sentences, SentenceLengthConfig(), 64)
    batches = WordBatches(words, entities, batch_size=5, seed=3, negative_share=0.5)
    assert batches.steps == 3  # 6 with an entity and 9 of 18 without
    epochs = [{int(n) for batch in batches(epoch) for n in batch["word_mask"].sum(axis=1)} for epoch in range(4)]
    for seen in epochs:
        assert len(seen) == 15
        assert set(range(1, 25, 4)) <= seen
    assert len({tuple(sorted(seen)) for seen in epochs}) > 1
    assert sum(len(batch["entities"]) for batch in batches(0)) == 6


def test_ragged_rows_follow_their_examples():
    ragged = RaggedRows(np.array([[0, 7], [0, 8], [2, 9]]), 4)
    np.testing.assert_array_equal(ragged.of(np.array([2, 1, 0, 2])), [[0, 9], [2, 7], [2, 8], [3, 9]])
    assert ragged.of(np.array([1, 3])).shape == (0, 2)


def test_a_sentence_without_end_is_refused(tokenizer, monkeypatch):
    monkeypatch.setattr("nlp_tasks.tagging.inputs.MOST_WORDS", 4)
    sentences = [split_words("the ball", "words"), split_words("a b c d e", "words")]
    with pytest.raises(InputError, match=r"sentence 2 has 5 words.*In a file of columns sentences end at an empty"):
        read_sentences(tokenizer, sentences, SentenceLengthConfig(), 32)
