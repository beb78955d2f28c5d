from dataclasses import replace

import numpy as np
import pytest
import torch

from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig
from nlp_tasks.encoders import make_text_encoder
from nlp_tasks.word_vectors.files import write_vectors
from recsys_bert.errors import InputError

TEXTS = ["我爱北京 ab", "北京 我们 ab"] * 3


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    write_vectors(path, ["我", "京", "b", "[CLS]", "龙"], np.eye(5, 8, dtype=np.float32))
    return path


def test_the_token_table_starts_on_vectors_of_its_characters(vectors, capsys):
    settings = replace(TEXT_ENCODER, dim=8, n_heads=2, n_layers=1, init_std=0.5)
    tables = []
    for path in (None, vectors):
        torch.manual_seed(0)
        encoder, tokenizer = make_text_encoder(None, settings, TokenizerConfig(vectors=path), TEXTS)
        tables.append(encoder.embeddings.token.weight.detach())
    tokens = tokenizer.tokens(range(tokenizer.size))
    changed = [token for token, row, other in zip(tokens, *tables, strict=True) if not torch.equal(row, other)]
    assert sorted(changed) == sorted(["我", "京", "##b"])  # a special token's name is no word
    axis = {"我": 0, "京": 1, "##b": 2}
    assert all(tables[1][tokens.index(token)].argmax() == place for token, place in axis.items())
    assert f"3 of {tokenizer.size} tokens start on vectors of {vectors}" in capsys.readouterr().err


def test_capitals_start_on_the_vectors_of_small_letters(tmp_path):
    write_vectors(tmp_path / "vectors.txt", ["rome", "b"], np.eye(2, 8, dtype=np.float32))
    settings = replace(TEXT_ENCODER, dim=8, n_heads=2, n_layers=1)
    config = TokenizerConfig(lowercase=False, vectors=tmp_path / "vectors.txt")
    encoder, tokenizer = make_text_encoder(None, settings, config, ["Rome B"] * 9)
    tokens, table = tokenizer.tokens(range(tokenizer.size)), encoder.embeddings.token.weight
    assert [int(table[tokens.index(token)].argmax()) for token in ("Rome", "B")] == [0, 1]
    assert [int((table[tokens.index(token)] != 0).sum()) for token in ("Rome", "B")] == [1, 1]


def test_what_does_not_fit_is_refused(vectors, tmp_path):
    with pytest.raises(InputError, match=r"vectors are 8 wide, the table 128\. Set encoder\.dim to 8"):
        make_text_encoder(None, TEXT_ENCODER, TokenizerConfig(vectors=vectors), TEXTS)
    factorised = replace(TEXT_ENCODER, embedding_dim=16)
    with pytest.raises(InputError, match=r"Set encoder\.embedding_dim to 8"):
        make_text_encoder(None, factorised, TokenizerConfig(vectors=vectors), TEXTS)
    with pytest.raises(InputError, match=r"tokenizer\.vectors starts a new encoder; init brings a trained one"):
        make_text_encoder(tmp_path, TEXT_ENCODER, TokenizerConfig(vectors=vectors), TEXTS)
