"""Traditional Chinese characters read as Simplified ones: the same tokens and predictions, positions as they came."""

import json
import sys
import unicodedata

import pytest

from nlp_tasks import BM25, Classifier, OpenDomainQA, QuestionAnswerer, Tagger, TextEncoder
from nlp_tasks.config import TokenizerConfig
from nlp_tasks.normalisation import normalise, simplified, simplified_characters
from nlp_tasks.qa.config import RetrievalConfig
from nlp_tasks.recall.words import chinese_words, plain_words, simplified_words
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.errors import InputError

PAIRS = [("中国的台湾", "中國的臺灣"), ("头发发展", "頭髮發展"), ("我们在学习汉语", "我們在學習漢語")]
SIMPLE, TRADITIONAL = ([pair[n] for pair in PAIRS] for n in (0, 1))
CHINESE = {"min_count": 1, "chinese": "simplified"}
TINY = {
    "encoder": {"dim": 16, "n_layers": 1, "max_len": 24},
    "train": {"epochs": 12, "lr": 2e-2, "batch_size": 8, "patience": 0},
}


def trained(texts, **settings):
    return Tokenizer.train(texts, TokenizerConfig(min_count=1, **settings))


@pytest.mark.parametrize(("simple", "traditional"), PAIRS)
def test_each_character_has_its_simplified_one_at_its_position(simple, traditional):
    assert simplified(traditional) == simplified(simple) == simple
    assert simplified(f"x{traditional}é") == f"x{simple}é"


def test_the_table_is_one_for_one_and_final_and_agrees_with_normalisation():
    table = simplified_characters()
    assert len(table) > 3000
    assert all(len(letter) == 1 and ord(letter) not in table for letter in table.values())
    assert all(normalise(letter) == letter for letter in table.values())
    for code, letter in table.items():  # compatibility characters: in either order
        assert simplified(unicodedata.normalize("NFKC", chr(code))) == letter


@pytest.mark.parametrize("kind", ["characters", "wordpiece"])
def test_tokens_and_positions_are_the_same_however_it_is_written(kind):
    tokenizer = trained(SIMPLE, kind=kind, chinese="simplified")
    assert tokenizer.chinese == "simplified"
    ours, theirs = tokenizer(SIMPLE, spans=True), tokenizer(TRADITIONAL, spans=True)
    assert ours.ids.tolist() == theirs.ids.tolist()
    assert ours.spans.tolist() == theirs.spans.tolist()
    assert tokenizer.unk not in theirs.ids
    assert trained(TRADITIONAL, kind=kind, chinese="simplified")(SIMPLE).ids.tolist() == ours.ids.tolist()


def test_as_written_is_the_default_and_saves_nothing_new(tmp_path):
    tokenizer = trained(SIMPLE)
    assert tokenizer.chinese == "as_written"
    assert tokenizer.as_read(TRADITIONAL[0]) == TRADITIONAL[0]
    assert tokenizer.unk in tokenizer(TRADITIONAL).ids
    tokenizer.save(tmp_path)
    assert "chinese" not in json.loads((tmp_path / "tokenizer_config.json").read_text())
    kinds = [
        step["type"] for step in json.loads((tmp_path / "tokenizer.json").read_text())["normalizer"]["normalizers"]
    ]
    assert kinds == ["NFKC", "BertNormalizer"]


def test_a_saved_tokenizer_needs_neither_the_setting_nor_opencc(tmp_path, monkeypatch):
    from transformers import AutoTokenizer

    tokenizer = trained(SIMPLE, chinese="simplified")
    tokenizer.save(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "opencc", None)
    simplified_characters.cache_clear()
    loaded = Tokenizer.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    expected = tokenizer(SIMPLE).ids.tolist()
    for one in (loaded, Tokenizer.load(tmp_path / "b")):
        assert (one.chinese, one.lowercase) == ("simplified", True)
        assert one(TRADITIONAL).ids.tolist() == expected
    theirs = AutoTokenizer.from_pretrained(tmp_path / "b")
    for simple, traditional in PAIRS:
        assert theirs(traditional)["input_ids"] == [tokenizer.cls, *tokenizer([simple]).ids.tolist(), tokenizer.sep]
    (tmp_path / "a" / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"Simplified ones, by a table in its tokenizer\.json, which is missing"):
        Tokenizer.load(tmp_path / "a")


def test_without_opencc_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opencc", None)
    simplified_characters.cache_clear()
    for attempt in (lambda: trained(SIMPLE, chinese="simplified"), lambda: simplified_words(plain_words)):
        with pytest.raises(InputError, match=r"needs OpenCC: pip install 'recsys-bert\[text\]'"):
            attempt()
    assert trained(SIMPLE).chinese == "as_written"


def test_search_crosses_both_ways_to_write():
    for cut in (plain_words, chinese_words()):
        for texts, questions in ((SIMPLE, TRADITIONAL), (TRADITIONAL, SIMPLE)):
            index = BM25(texts, simplified_words(cut))
            assert [rows.tolist()[0] for rows, _ in index.search(questions, 1)] == [0, 1, 2]
    assert not len(BM25(["头发"], plain_words).search(["頭髮"], 1)[0][0])


def test_a_classifier_and_its_vectors_read_both_alike(tmp_path):
    texts, labels = SIMPLE * 8, ["a", "b", "c"] * 8
    Classifier.train(texts, labels, tokenizer=CHINESE, **TINY).save(tmp_path / "model")
    classifier = Classifier.load(tmp_path / "model")
    assert (classifier.probabilities(TRADITIONAL) == classifier.probabilities(SIMPLE)).all()
    assert classifier.predict(TRADITIONAL) == classifier.predict(SIMPLE)
    assert len(set(classifier.probabilities(SIMPLE)[:, 0].tolist())) == 3
    plain = Classifier.train(texts, labels, tokenizer={"min_count": 1}, **TINY)
    assert (plain.probabilities(TRADITIONAL) != plain.probabilities(SIMPLE)).any()
    encoder = TextEncoder(classifier.model.encoder, classifier.tokenizer)
    assert (encoder.encode(TRADITIONAL) == encoder.encode(SIMPLE)).all()
    more = {"init": tmp_path / "model", **TINY, "train": {"epochs": 1}}
    del more["encoder"]
    assert Classifier.train(texts, labels, **more).tokenizer.chinese == "simplified"
    with pytest.raises(InputError, match=r"tokenizer\.chinese is as_written, but that of init .* has simplified"):
        Classifier.train(texts, labels, tokenizer={"chinese": "as_written"}, **more)


@pytest.mark.parametrize("lexicon", ["none", "soft_lexicon"])
def test_a_tagger_predicts_the_same_entities_in_their_own_characters(lexicon, tmp_path):
    cities = ["台湾", "东京", "广东"]
    (tmp_path / "words.txt").write_text("臺灣\n东京\n廣東\n发展\n", encoding="utf-8")  # in both ways
    texts = [f"我们在{place}学习汉语" for place in cities] * 8
    more = {} if lexicon == "none" else {"lexicon": {"name": lexicon, "file": tmp_path / "words.txt", "min_count": 1}}
    tagger = Tagger.train(texts, [[(3, 5, "LOC")] for _ in texts], validation=0.25, tokenizer=CHINESE, **TINY, **more)
    tagger.save(tmp_path / "model")
    tagger = Tagger.load(tmp_path / "model")
    simple, traditional = ("我们在台湾学习汉语", "我們在臺灣學習漢語")
    ((ours,),), ((theirs,),) = tagger.predict([simple]), tagger.predict([traditional])
    assert (theirs.text, theirs.start, theirs.stop) == ("臺灣", 3, 5)
    assert (ours.text, ours.start, ours.stop, ours.score) == ("台湾", 3, 5, theirs.score)
    if tagger.lexicon is not None:
        assert "台湾" in tagger.lexicon.words
        assert "臺灣" not in tagger.lexicon.words


def test_answers_are_retrieved_across_and_are_the_paragraphs_own_characters(tmp_path):
    passages = ["臺灣在東海。", "北京在华北。", "廣東在南方。"] * 4
    questions, answers = ["台湾在哪里", "北京在哪里", "广东在哪里"] * 4, ["東海", "华北", "南方"] * 4
    answerer = QuestionAnswerer.train(questions, passages, answers, validation=0.25, tokenizer=CHINESE, **TINY)
    paragraphs = ["廣東發展。", "臺灣在東海。"]
    for words in ("words", "jieba"):
        off = OpenDomainQA(answerer, paragraphs, RetrievalConfig(words=words))
        on = RetrievalConfig(words=words, chinese="simplified")
        index = tmp_path / words
        OpenDomainQA(answerer, paragraphs, RetrievalConfig(words=words), index)
        for retriever in (OpenDomainQA(answerer, paragraphs, on, index), OpenDomainQA(answerer, paragraphs, on, index)):
            (best,) = retriever.predict(["广东"])[0]
            assert best[0].paragraph == 0
            answer = best[0].answer
            assert paragraphs[0][answer.start : answer.stop] == answer.text
        assert off.predict(["广东"]) == ([[]], {"questions_that_share_no_word": 1})
