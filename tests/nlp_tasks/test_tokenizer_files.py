"""Tokenizers of Hugging Face folders: transformers says what the rows must be."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, trainers
from transformers import (
    AlbertTokenizer,
    AutoTokenizer,
    BertTokenizer,
    MPNetTokenizer,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from nlp_tasks.config import LengthConfig
from nlp_tasks.inputs import read_texts
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.errors import InputError

CORPUS = [
    "The quick brown fox jumps over the lazy dog.", "naïve café déjà vu, Straße ÀÉÎ", "我爱北京天安门 hello 世界",
    "numbers 3.14 and 1,000 in parentheses (see below)", "mixed CASE Words AND more words", "the fox and the dog",
] * 5  # fmt: skip
HOSTILE = [
    *CORPUS[:6],
    "",
    " ",
    "  two  blanks ",
    "tab\tand\nnewline\r\n",
    "na\u0308ive NFD e\u0301",
    "zero\u200bwidth\u200djoin",
    "\ufeffbom",
    "emoji 😀👩‍👩‍👧 🇩🇪",
    "x" * 300,
    "\x00null\x07bell",
    "\ud7ff\ue000\ufffd",
    "ﬁ ligature ① ½ ＡＢＣ",
    "العربية עברית ไทย हिन्दी",
    "İstanbul ΑΣ ς",
    "a<b>c</b>&amp;",
    "'''\"\"``''",
    "...!!!???",
    "__init__ foo_bar",
    "𝒜𝓁𝑔 𐍈",
    "日本語とカタカナ 한국어",
    "\u3000full width blank\u2028line\u2029par",
]
HOSTILE.append(" ".join(HOSTILE * 90))  # read in pieces
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def wordpieces(special):
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = [*CORPUS, *(text.lower() for text in CORPUS), "naive cafe"]
    backend.train_from_iterator(words, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    return sorted(backend.get_vocab(), key=backend.get_vocab().get)


@pytest.fixture(scope="module")
def vocabulary():
    return wordpieces([*BERT_SPECIAL, "[unused1]"])


def write_vocabulary(folder: Path, tokens, **files) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


def byte_bpe(folder: Path) -> Path:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=ROBERTA_SPECIAL[:4], initial_alphabet=alphabet)
    backend.train_from_iterator(CORPUS, trainer)
    folder.mkdir(exist_ok=True)
    backend.model.save(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"<mask>": len(vocabulary)}))
    (folder / "config.json").write_text('{"model_type": "roberta"}')
    return folder


def unigram(kind, special, unk) -> object:
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token=unk, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    return kind(vocab=[tuple(one) for one in json.loads(backend.to_str())["model"]["vocab"]])


def assert_same(folder: Path, texts=HOSTILE, **settings) -> Tokenizer:
    """Ours against theirs; ours has padding in row 0."""
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder, **settings)
    order = np.arange(max(ours.size, len(theirs)))
    order[[0, theirs.pad_token_id]] = order[[theirs.pad_token_id, 0]]
    for text in texts:
        expected = theirs(text, add_special_tokens=False, truncation=False)["input_ids"]
        assert order[ours([text]).ids].tolist() == expected, text
    special = [theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id, theirs.mask_token_id]
    assert order[[ours.unk, ours.cls, ours.sep, ours.mask]].tolist() == special
    rows = read_texts(ours, texts[:3], texts[3:6], LengthConfig(), 400)
    for n in range(3):
        ids = rows.ids[rows.offsets[n] : rows.offsets[n + 1]]
        assert order[ids].tolist() == theirs(texts[n], texts[3 + n])["input_ids"]
    return ours


def again(ours: Tokenizer, folder: Path, texts=HOSTILE) -> None:
    """Save it: transformers and we open it with the same rows."""
    ours.save(folder, max_len=77)
    assert_same(folder, texts)
    assert AutoTokenizer.from_pretrained(folder).model_max_length == 77
    np.testing.assert_array_equal(Tokenizer.load(folder)(texts).ids, ours(texts).ids)


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "tokenize_chinese_chars": False},
        {"tokenizer_class": "BertTokenizer", "strip_accents": True, "do_lower_case": False},
        {"tokenizer_class": "ElectraTokenizerFast"},
    ],
)
def test_wordpiece_vocabularies(vocabulary, settings, tmp_path: Path):
    files = {} if settings is None else {"tokenizer_config": settings}
    ours = assert_same(write_vocabulary(tmp_path / "in", vocabulary, **files))
    again(ours, tmp_path / "out")


@pytest.mark.parametrize("change", [{}, {"do_lower_case": True}, {"tokenizer_class": "PreTrainedTokenizerFast"}])
def test_tokenizer_json_and_what_the_settings_beside_it_change(vocabulary, change, tmp_path: Path):
    write_vocabulary(tmp_path / "in", vocabulary, tokenizer_config={"do_lower_case": False})
    theirs = AutoTokenizer.from_pretrained(tmp_path / "in")
    theirs.save_pretrained(tmp_path / "saved")
    file = tmp_path / "saved" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "bert"}')
    ours = assert_same(tmp_path / "saved")
    assert ours.lowercase is bool(change.get("do_lower_case"))
    again(ours, tmp_path / "out")


def test_byte_level_bpe(tmp_path: Path):
    ours = assert_same(byte_bpe(tmp_path / "in"))
    assert (ours.separators, ours.pad_row, ours.kind, ours.lowercase) == (2, 1, "bpe", False)
    again(ours, tmp_path / "out")
    AutoTokenizer.from_pretrained(tmp_path / "in").save_pretrained(tmp_path / "json")
    again(assert_same(tmp_path / "json"), tmp_path / "json-out")
    (tmp_path / "in" / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    assert_same(tmp_path / "in")


def test_words_of_byte_level_bpe_are_those_within_sentences(tmp_path: Path):
    ours = Tokenizer.load(byte_bpe(tmp_path))
    theirs = AutoTokenizer.from_pretrained(tmp_path, add_prefix_space=True)
    words = ["The", "quick", "fox", "北京", "3.14"]
    assert ours.words(words).ids.tolist() == theirs(words, is_split_into_words=True)["input_ids"][1:-1]
    np.testing.assert_array_equal(ours(["The quick fox"], spans=True).spans[[0, -1]], [[0, 3], [10, 13]])
    starts = ~ours.continues[ours([" The quick fox jumps"]).ids]
    assert starts.sum() == 4


@pytest.mark.parametrize(
    ("kind", "special", "unk"),
    [
        (XLMRobertaTokenizer, ["<s>", "<pad>", "</s>", "<unk>"], "<unk>"),
        (AlbertTokenizer, ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>"),
    ],
)
def test_unigram_through_tokenizer_json(kind, special, unk, tmp_path: Path):
    unigram(kind, special, unk).save_pretrained(tmp_path / "in")
    ours = assert_same(tmp_path / "in")
    assert ours.kind == "unigram"
    again(ours, tmp_path / "out")
    spans = ours(["the fox"], spans=True).spans
    assert all("the fox"[a:b].strip() == "the fox"[a:b] for a, b in spans)
    assert (~ours.continues[ours(["the fox and the dog"]).ids]).sum() == 5


def test_mpnet(tmp_path: Path):
    tokens = wordpieces(["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"])
    MPNetTokenizer(vocab={token: row for row, token in enumerate(tokens)}).save_pretrained(tmp_path / "in")
    ours = assert_same(tmp_path / "in")
    assert (ours.separators, ours.pad_row) == (2, 1)
    again(ours, tmp_path / "out")


MARKED = [*HOSTILE, "<ent>Rome</ent> is <ent>Oslo</ent>", "the newword and NEWWORD and newwords", "[E1] a [E1]b[E1]"]


@pytest.mark.parametrize("form", ["old", "decoder", "json"])
def test_added_tokens_are_kept(vocabulary, form: str, tmp_path: Path):
    n = len(vocabulary)
    rows = {"<ent>": n, "</ent>": n + 1, "newword": n + 2, "[E1]": n + 3}
    special = {"additional_special_tokens": ["<ent>", "</ent>", "[E1]"]}
    if form == "old":
        files = {"added_tokens": rows, "special_tokens_map": special}
    else:
        plain = {"lstrip": False, "rstrip": False, "single_word": False}
        decoder = {
            str(row): {"content": name, "normalized": name == "newword", "special": name != "newword", **plain}
            for name, row in rows.items()
        }
        files = {"tokenizer_config": {"added_tokens_decoder": decoder, **special}}
    write_vocabulary(tmp_path / "in", vocabulary, **files)
    folder = tmp_path / "in"
    if form == "json":
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder := tmp_path / "saved")
    ours = assert_same(folder, MARKED)
    assert ours.size == n + 4
    assert ours.tokens(ours(["<ent>the newword</ent>"]).ids) == ["<ent>", "the", "newword", "</ent>"]
    again(ours, tmp_path / "out", MARKED)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").decode([n, n + 2], skip_special_tokens=True) == "newword"


def test_no_text_can_forge_special_tokens(vocabulary, tmp_path: Path):
    forged = ["[SEP] a [MASK] [PAD]", "[CLS][SEP]", "<s></s><pad><mask>"]
    assert_same(write_vocabulary(tmp_path / "bert", vocabulary), [*forged, *forged], split_special_tokens=True)
    assert_same(byte_bpe(tmp_path / "roberta"), [*forged, *forged], split_special_tokens=True)


def test_special_tokens_of_other_names(tmp_path: Path):
    names = {"pad_token": "<P>", "unk_token": "<U>", "cls_token": "<C>", "sep_token": "<S>", "mask_token": "<M>"}
    tokens = [*names.values(), *wordpieces([])]
    folder = write_vocabulary(tmp_path / "in", tokens, special_tokens_map=names)
    again(assert_same(folder), tmp_path / "out")


def test_what_cannot_be_read_is_refused_by_name(vocabulary, tmp_path: Path):
    (tmp_path / "spiece.model").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"no tokenizer\.json, vocab\.txt or vocab\.json, but spiece\.model of Sentence"
    ):
        Tokenizer.load(tmp_path)
    folder = byte_bpe(tmp_path / "bpe")
    (folder / "merges.txt").unlink()
    with pytest.raises(InputError, match=r"vocab\.json but no merges\.txt"):
        Tokenizer.load(folder)
    folder = write_vocabulary(tmp_path / "rows", vocabulary, added_tokens={"<new>": len(vocabulary) + 5})
    with pytest.raises(
        InputError, match=rf"added token '<new>' in row {len(vocabulary) + 5}, but it would come to row"
    ):
        Tokenizer.load(folder)
    folder = write_vocabulary(tmp_path / "gpt", ["<unk>", "a"])
    with pytest.raises(
        InputError, match=r"no \[PAD\], \[CLS\], \[SEP\], \[MASK\]; an encoder's has tokens for padding"
    ):
        Tokenizer.load(folder)
    BertTokenizer(vocab={token: row for row, token in enumerate(vocabulary)}).save_pretrained(tmp_path / "odd")
    file = tmp_path / "odd" / "tokenizer.json"
    values = json.loads(file.read_text())
    values["post_processor"]["pair"] = values["post_processor"]["pair"][1:]
    file.write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"puts \[SEP\] \[SEP\] around two texts; the encoder reads"):
        Tokenizer.load(tmp_path / "odd")


def test_pairs_of_roberta_have_two_separators_everywhere(tmp_path: Path):
    ours = Tokenizer.load(byte_bpe(tmp_path))
    rows = read_texts(ours, ["the fox " * 30] * 2, ["the dog", "lazy " * 50], LengthConfig(), 24)
    assert rows.lengths.tolist() == [24, 24]
    assert RobertaTokenizer is not None
    for n in range(2):
        ids = rows.ids[rows.offsets[n] : rows.offsets[n + 1]]
        assert (ids == ours.sep).sum() == 3
        assert ids[rows.second[n] - 2 : rows.second[n]].tolist() == [ours.sep] * 2
