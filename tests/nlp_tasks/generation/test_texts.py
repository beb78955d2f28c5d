"""Tokens as text, whole and piece by piece."""

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from nlp_tasks.config import TokenizerConfig
from nlp_tasks.generation.texts import pieces, text_of
from nlp_tasks.tokenization import Tokenizer

ENGLISH = "The poet's house, don't go (to Rome): it cost 3.14 or 1,000 self-made?"
CHINESE = "床前明月光，疑是地上霜。abc举头！"


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_marks_and_chinese_characters_stand_as_they_were_written(text):
    tokenizer = Tokenizer.train([text] * 3, TokenizerConfig(lowercase=False))
    ids = tokenizer([text]).ids.tolist()
    assert text_of(tokenizer, ids) == text
    assert "".join(pieces(tokenizer, ids)) == text
    assert all(piece for piece in pieces(tokenizer, ids))


def test_half_a_character_waits_for_the_other_half():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = _bytes({token: n for n, token in enumerate(alphabet)})
    ids = tokenizer.ids("aé国🎉b")
    assert len(ids) == 1 + 2 + 3 + 4 + 1
    assert "".join(pieces(tokenizer, ids)) == "aé国🎉b"
    assert all("\ufffd" not in piece for piece in pieces(tokenizer, ids))
    assert "".join(pieces(tokenizer, ids[:-2])) == text_of(tokenizer, ids[:-2])  # broken off: as the tokenizer says it
    assert list(pieces(tokenizer, [])) == []


class _bytes:
    """A tokenizer whose tokens are bytes, as far as texts need one."""

    kind = "bpe"

    def __init__(self, vocab):
        self.backend = Backend(models.BPE(vocab, []))
        self.backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.backend.decoder = decoders.ByteLevel()

    def ids(self, text):
        return self.backend.encode(text).ids

    def text(self, ids):
        return self.backend.decode(ids)
