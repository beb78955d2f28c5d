"""One normalisation and one word splitter: NFC and NFD, full and half width, and characters that are not seen."""

import unicodedata
from itertools import pairwise

import pytest

from nlp_tasks import BM25, Classifier, Tagger, TextEncoder
from nlp_tasks.config import TokenizerConfig
from nlp_tasks.normalisation import composed, is_plain, is_visible, normalise, with_positions, word_spans, words
from nlp_tasks.qa.data import question_set
from nlp_tasks.qa.metrics import chinese_em, english_em
from nlp_tasks.recall.words import chinese_words, plain_words
from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.data import LOST
from nlp_tasks.tagging.files import read_annotated
from nlp_tasks.tagging.formats.reading import UNSEEN
from nlp_tasks.tagging.lexicon.lexicon import occurrences, prefixes
from nlp_tasks.tagging.sentences import split_words
from nlp_tasks.tokenization import Tokenizer

NFD = unicodedata.normalize("NFD", "Köln")
PAIRS = [  # the same text, written in two ways
    ("Köln liegt am Rhein", unicodedata.normalize("NFD", "Köln liegt am Rhein")),
    ("IBM 2024 テスト", "ＩＢＭ ２０２４ ﾃｽﾄ"),
    ("ガス", "ｶﾞｽ"),
    ("한국", unicodedata.normalize("NFD", "한국")),
    ("Zero width", "Ze\u200bro\ufeff wid\u00adth"),
]


def cut(text, granularity="words"):
    return [text[start:stop] for start, stop in word_spans(text, granularity)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"in {NFD}.", ["in", NFD, "."]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("a\u00adb \u200b c\u200b", ["a\u00adb", "c"]),
        ("\u0308 x", ["x"]),
        ("中国IBM don't x_y", ["中", "国", "IBM", "don", "'", "t", "x", "_", "y"]),
        ("❤\ufe0f!", ["❤\ufe0f", "!"]),
        ("\u200b\ufeff", []),
    ],
)
def test_marks_belong_to_words_and_what_is_not_seen_is_none(text, expected):
    assert cut(text) == expected


def test_characters_have_their_marks():
    assert cut(f"{NFD}\u200b 中", "characters") == ["K", "o\u0308", "l", "n", "中"]


@pytest.mark.parametrize(("text", "other"), PAIRS)
def test_two_ways_to_write_a_text_are_one_for_search_and_tokens(text, other):
    assert normalise(other) == text
    assert words(other) == words(text) == plain_words(other)
    index = BM25([text, "another paragraph"], plain_words)
    assert index.search([other], 1)[0][0].tolist() == [0]
    for lowercase in (True, False):
        tokenizer = Tokenizer.train([text], TokenizerConfig(min_count=1, lowercase=lowercase))
        assert tokenizer([other]).ids.tolist() == tokenizer([text]).ids.tolist()
        assert tokenizer.unk not in tokenizer([other]).ids


def test_search_of_chinese_words_is_normalised():
    assert chinese_words()("ＩＢＭ在中国") == chinese_words()("IBM在中国")


@pytest.mark.parametrize(("text", "other"), PAIRS)
def test_positions_are_those_of_the_text_as_it_came(text, other):
    normal, positions = with_positions(other)
    assert normal == text
    assert len(positions) == len(normal) + 1
    pieces = [other[a:b] for a, b in pairwise(positions)]
    assert "".join(pieces) == other
    assert all(normalise(piece) == letter for piece, letter in zip(pieces, normal, strict=True))


def test_tokens_of_the_trained_tokenizer_keep_their_characters():
    tokenizer = Tokenizer.train(["Köln ist gut"], TokenizerConfig(min_count=1, lowercase=False))
    text = f"{NFD} ist"
    spans = tokenizer([text], spans=True).spans.tolist()
    assert (spans[0][0], max(stop for _, stop in spans)) == (0, len(text))
    assert [a for a, _ in spans[1:]] == [b + (text[b : b + 1] == " ") for _, b in spans[:-1]]  # nothing in between


def test_plain_texts_are_known():
    assert is_plain("Köln 中，")
    assert not is_plain(NFD)
    assert not is_plain("a\u200b")
    assert not is_visible("\u200b \u0308")
    assert composed("，\u200b" + NFD) == "，Köln"


def test_a_trained_tokenizer_opens_in_transformers_with_the_same_tokens(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = Tokenizer.train(["Köln liegt am Rhein"], TokenizerConfig(min_count=1))
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("Köln am Rhein", f"{NFD} ＡＭ"):
        ours = [tokenizer.cls, *tokenizer([text]).ids.tolist(), tokenizer.sep]
        assert theirs(text)["input_ids"] == ours
    assert Tokenizer.load(tmp_path)([NFD]).ids.tolist() == tokenizer(["Köln"]).ids.tolist()
    assert Tokenizer.load(tmp_path).lowercase is True


def test_an_answer_in_another_normalisation_is_found_with_its_characters():
    passage = f"Die Stadt {NFD} liegt am Rhein."
    examples = question_set(["wo?", "wo?"], [passage, "in ＩＢＭ's Haus"], ["Köln", "IBM"], "test")
    for question, expected in zip(examples.questions, (NFD, "ＩＢＭ"), strict=True):
        target, text = question.target, examples.passages[question.passage]
        assert text[target.start : target.stop] == expected
        assert target.text in ("Köln", "IBM")  # as the file has it, for the metrics


def test_metrics_compare_composed_text():
    assert english_em(NFD, "Köln") == chinese_em(NFD, "Köln") == 1


def test_a_lexicon_matches_in_any_width():
    entries = {"IBM", "中国"}
    matches = list(occurrences(split_words("ＩＢＭ在中国", "characters"), entries, prefixes(entries)))
    assert matches == [(0, 3, "IBM"), (4, 6, "中国")]
    (match,) = occurrences(split_words("x\u200b中国", "characters"), entries, prefixes(entries))
    assert match == (1, 3, "中国")


def test_invisible_words_of_columns_are_left_out_and_counted(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("a\tO\n\u200b\tB-X\nb\tI-X\n\n\ufeff\tB-Y\nc\tO\n", encoding="utf-8")
    data = read_annotated(path, AnnotatedFilesConfig())
    assert [one.words() for one in data.sentences] == [["a", "b"], ["c"]]
    assert [one.levels[0] for one in data.sentences] == [((1, 2, "X"),), ()]
    assert data.repaired == {UNSEEN: 2, LOST: 1}


TINY = {"encoder": {"dim": 16, "n_layers": 1, "max_len": 16}, "train": {"epochs": 12, "lr": 2e-2, "batch_size": 8}}


def test_a_tagger_predicts_the_same_entities_in_nfd_with_their_own_characters():
    texts = [f"wir sehen {city} heute" for city in ("Köln", "Düren", "Mölln")] * 8
    entities = [[(10, text.index(" heute"), "LOC")] for text in texts]
    tagger = Tagger.train(texts, entities, validation=0.25, **TINY)
    for text in ("wir sehen Köln heute", unicodedata.normalize("NFD", "wir sehen Köln heute")):
        ((entity,),) = tagger.predict([text])
        assert text[entity.start : entity.stop] == entity.text
        assert normalise(entity.text) == "Köln"
    assert tagger.predict([["\u200b"], ["\u200b", "heute"]]) == [[], []]


def test_classification_and_vectors_are_the_same_in_nfd():
    texts, labels = ["schöne Größe", "kalter Fluß"] * 10, ["x", "y"] * 10
    classifier = Classifier.train(texts, labels, tokenizer={"lowercase": False, "min_count": 1}, **TINY)
    other = [unicodedata.normalize("NFD", text) for text in texts[:2]]
    assert (classifier.probabilities(other) == classifier.probabilities(texts[:2])).all()
    encoder = TextEncoder(classifier.model.encoder, classifier.tokenizer)
    assert (encoder.encode(other) == encoder.encode(texts[:2])).all()
