import numpy as np
import pytest
import torch
from torch import nn

from nlp_tasks.word_vectors.files import WordVectors
from nlp_tasks.word_vectors.start import start_rows
from recsys_bert.errors import InputError

VECTORS = WordVectors(["a", "b"], np.array([[3, 0], [0, 4]], np.float32))


def test_rows_start_in_the_direction_of_their_words_and_in_the_size_of_the_table():
    torch.manual_seed(0)
    table = nn.Embedding(5, 2)
    before = table.weight.detach().clone()
    assert start_rows(table, ["", "b", "c", "A", "b"], VECTORS, "width") == 3
    torch.testing.assert_close(table.weight[[0, 2]], before[[0, 2]])
    size = (before.square().mean() / ((16 + 9 + 16) / 6)) ** 0.5
    torch.testing.assert_close(table.weight[[1, 3, 4]], torch.tensor([[0, 4], [3, 0], [0, 4.0]]) * size)
    assert table.weight.requires_grad


def test_nothing_found_changes_nothing():
    table = nn.Embedding(2, 2)
    before = table.weight.detach().clone()
    assert start_rows(table, ["", "x"], VECTORS, "width") == 0
    torch.testing.assert_close(table.weight, before)


def test_another_width_is_refused():
    with pytest.raises(InputError, match=r"word vectors are 2 wide, the table 3\. Set encoder.dim to 2"):
        start_rows(nn.Embedding(2, 3), ["a", "b"], VECTORS, "encoder.dim")
