import json
import unicodedata

import numpy as np
import pytest

from nlp_tasks.config import CorpusConfig, TokenizerConfig
from nlp_tasks.pretraining.corpus import cut_corpus, hold_out_documents, read_documents
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.errors import InputError


def read(path, **settings):
    return read_documents(path, CorpusConfig(**settings))[0]


def squad_of(passage):
    return json.dumps({"data": [{"paragraphs": [{"context": passage}]}]})


def test_forms_of_text(write):
    text = "one. two\n\nthree\nfour\n \nfive"
    assert read(write("a.txt", text)) == ["one. two", "three", "four", "five"]
    assert read(write("b.txt", text), format="blocks") == ["one. two", "three\nfour", "five"]
    assert read(write("c", "a\tb\t1\nc\td\t0\n"), format="tsv", columns=("x", "y", "z"), texts=("x", "y")) == [
        *("a", "c"),
        *("b", "d"),
    ]
    squad = {"data": [{"paragraphs": [{"context": " p1 ", "qas": []}, {"context": "p2"}]}, {"paragraphs": []}]}
    assert read(write("d.json", json.dumps(squad)), format="squad") == ["p1", "p2"]


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.txt", "\n \n", {}, "holds no text"),
        ("a.txt", b"ok\n\xff\n", {}, "line 2 of .* is not UTF-8"),
        ("a.json", b'{"data":\n"\xff"}', {"format": "squad"}, "line 2 of .* is not UTF-8"),
        ("a.json", '{"data": [1]}', {"format": "squad"}, "not in SQuAD's form"),
        ("a.json", squad_of(" \ud83d"), {"format": "squad"}, r"a\.json: 1 passages hold half of a character"),
        ("a.json", "{", {"format": "squad"}, "cannot be read as JSON"),
        ("a.json", "{}", {}, "no key 'text'"),
        ("a.doc", "{}", {}, r"the ending '\.doc' is not known"),
    ],
)
def test_what_cannot_be_read_says_why(write, name, content, settings, message):
    with pytest.raises(InputError, match=message):
        read(write(name, content), **settings)


@pytest.fixture
def cut(tokenizer):
    def make(documents, room=6, whole_words="none"):
        corpus = cut_corpus(documents, tokenizer, room, whole_words)
        parts = [corpus.ids[a:b] for a, b in zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True)]
        return corpus, [tokenizer.text(part.tolist()) for part in parts]

    return make


def test_examples_are_whole_sentences_of_one_document(cut):
    lines = ["ball goal\nteam\nmatch bank stock\nprice", "soup bread", "", "salt"]
    corpus, texts = cut(lines)
    assert texts == ["ball goal team match bank stock", "price", "soup bread", "salt"]
    assert corpus.document.tolist() == [0, 0, 1, 3]
    starts = np.flatnonzero(corpus.sentence_starts)
    assert starts.tolist() == [0, 2, 3, 6, 7, 9]


def test_a_sentence_longer_than_the_room_is_cut(cut):
    corpus, texts = cut(["ball", "ball goal team match bank stock price fund soup bread salt oven ball\nsoup"], 5)
    assert [len(text.split()) for text in texts] == [1, 5, 5, 4]
    assert texts[3] == "salt oven ball soup"
    assert corpus.lengths.sum() == 15


def test_no_token_is_lost(cut, tokenizer, topics):
    texts = topics(60)[0]
    documents = ["\n".join(texts[n : n + 6]) for n in range(0, 60, 6)]
    corpus, _ = cut(documents, 20)
    np.testing.assert_array_equal(corpus.ids, tokenizer(texts).ids)
    assert corpus.lengths.max() <= 20
    assert (np.diff(corpus.document) >= 0).all()
    assert len(np.unique(corpus.document)) == 10


def test_words_are_those_of_the_tokenizer(cut, tokenizer):
    corpus, _ = cut(["ballteam goal", "xyball"], whole_words="tokenizer")
    pieces = tokenizer.tokens(corpus.ids)
    continued = [not start for start in corpus.word_starts]
    assert continued == [piece.startswith("##") and n > 0 for n, piece in enumerate(pieces)]
    assert any(continued)
    assert cut(["ballteam goal"], whole_words="none")[0].word_starts.all()


@pytest.mark.slow
def test_words_are_those_of_jieba():
    jieba = pytest.importorskip("jieba")
    texts = ["我来到北京清华大学，版本 2.0 iPhone手机！他来到了网易杭研大厦"] * 3
    tokenizer = Tokenizer.train(texts, TokenizerConfig(kind="characters", min_count=1))
    corpus = cut_corpus(texts[:1], tokenizer, 100, "jieba")
    pieces = [piece.removeprefix("##") for piece in tokenizer.tokens(corpus.ids)]
    starts = np.flatnonzero(corpus.word_starts)
    cut_words = ["".join(pieces[a:b]) for a, b in zip(starts, [*starts[1:], len(pieces)], strict=True)]
    cutter = jieba.Tokenizer()
    words = [word for sentence in texts[0].replace("！", "！|").split("|") for word in cutter.lcut(sentence)]
    assert cut_words == [unicodedata.normalize("NFKC", word).lower() for word in words if word.strip()]
    assert "清华大学" in cut_words


def test_documents_are_held_out_whole(cut, topics):
    documents = ["\n".join(topics(3, seed)[0]) for seed in range(40)]
    corpus, _ = cut(documents, 10, "tokenizer")
    train, held = hold_out_documents(corpus, 0.1, seed=0)
    assert len(np.unique(held.document)) == 4
    assert not set(held.document) & set(train.document)
    for part in (train, held):
        for example in range(len(part)):
            ids = part.ids[part.offsets[example] : part.offsets[example + 1]]
            matches = np.flatnonzero(corpus.document == part.document[example])
            pieces = [corpus.ids[corpus.offsets[m] : corpus.offsets[m + 1]].tolist() for m in matches]
            assert ids.tolist() in pieces
    assert train.sentence_starts.sum() + held.sentence_starts.sum() == corpus.sentence_starts.sum()
    with pytest.raises(InputError, match="there are 1 documents; holding out"):
        hold_out_documents(cut(["ball"])[0], 0.1, seed=0)
