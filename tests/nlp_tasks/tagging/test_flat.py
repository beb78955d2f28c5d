from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nlp_tasks.tagging.batches import word_batch
from nlp_tasks.tagging.config import SentenceLengthConfig, TaggingHeadConfig
from nlp_tasks.tagging.lexicon import flat
from nlp_tasks.tagging.lexicon.flat import Flat, sinusoids
from nlp_tasks.tagging.lexicon.lexicon import Lexicon
from nlp_tasks.tagging.model import TaggingModel
from nlp_tasks.tagging.sentences import join_words
from nlp_tasks.tagging.tagger import Tagger
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError

DIM, HEADS, ROWS = 8, 2, 6
REAL = torch.tensor([[True] * 7, [True] * 4 + [False] * 3, [True] + [False] * 6])
WORDS = torch.tensor([[0, 0, 2, 2], [0, 1, 5, 3], [0, 4, 5, 1], [0, 5, 7, 5], [1, 1, 3, 4], [1, 2, 4, 2], [1, 0, 4, 3]])


def build(**options):
    """A layer whose every weight is far from 0."""
    torch.manual_seed(0)
    layer = Flat(DIM, [1] * ROWS, n_heads=HEADS, width=5, ffn_dim=12, **options).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def characters_of(batch, seq):
    return torch.randn(batch, seq, DIM, generator=torch.Generator().manual_seed(1))


def wave(distance):
    """A sinusoid of one distance, number by number."""
    return np.array(
        [(np.cos if k % 2 else np.sin)(distance / 10_000 ** ((k - k % 2) / DIM)) for k in range(DIM)], np.float64
    )


def linear(map_, x):
    return x @ map_.weight.T + (0 if map_.bias is None else map_.bias)


def by_the_formula(layer, characters, words):
    """One sentence through the layer as the paper has it, every pair of the lattice by itself; all positions."""
    spans = [(at, at) for at in range(len(characters))] + [(start, stop - 1) for start, stop, _ in words]
    read = [linear(layer.up_proj, layer.embedding.weight[row]) for _, _, row in words]
    x = torch.stack([*characters, *read])
    q, k, v = (linear(map_, x).view(len(x), HEADS, -1) for map_ in (layer.query, layer.key, layer.value))
    mixed = torch.zeros(len(x), HEADS, DIM // HEADS, dtype=x.dtype)
    for i, (head, tail) in enumerate(spans):
        scores = torch.zeros(HEADS, len(x), dtype=x.dtype)
        for j, (other_head, other_tail) in enumerate(spans):
            waves = [head - other_head, tail - other_head, head - other_tail, tail - other_tail]
            relation = linear(layer.relation, torch.from_numpy(np.concatenate([wave(d) for d in waves]))).relu()
            key = linear(layer.relation_key, relation).view(HEADS, -1)
            for h in range(HEADS):
                scores[h, j] = (q[i, h] + layer.u[h]) @ k[j, h] + (q[i, h] + layer.v[h]) @ key[h]
        for h in range(HEADS):
            mixed[i, h] = (scores[h] * layer.scale).softmax(0) @ v[:, h]
    x = nn.functional.layer_norm(x + linear(layer.out, mixed.flatten(1)), [DIM], *layer.attention_norm.parameters())
    branch = linear(layer.ffn.down_proj, linear(layer.ffn.up_proj, x).relu())
    return nn.functional.layer_norm(x + branch, [DIM], *layer.ffn_norm.parameters())


@pytest.mark.parametrize("options", [{"shortest": 1}, {"shortest": 2}, {"scaled": True}])
@pytest.mark.parametrize("scores", [1, 1 << 9, 1 << 23])  # one character at a time, some, all at once
def test_it_is_the_papers_formula_however_many_characters_are_read_at_once(monkeypatch, options, scores):
    monkeypatch.setattr(flat, "_SCORES", scores)
    layer, characters = build(**options).double(), characters_of(3, 7).double()
    outputs = layer(characters, REAL, WORDS)
    for sentence in range(3):
        n = int(REAL[sentence].sum())
        words = [(a, b, row) for owner, a, b, row in WORDS.tolist() if owner == sentence and b - a >= layer.shortest]
        expected = by_the_formula(layer, characters[sentence, :n], words)[:n]
        torch.testing.assert_close(outputs[sentence, :n], expected)


def test_gradients_are_the_same_however_many_characters_are_read_at_once(monkeypatch):
    gradients = []
    for scores in (1 << 23, 1 << 9):
        monkeypatch.setattr(flat, "_SCORES", scores)
        layer, characters = build().double(), characters_of(3, 7).double().requires_grad_()
        layer(characters, REAL, WORDS)[REAL].pow(3).sum().backward()
        gradients.append([characters.grad, *(parameter.grad for parameter in layer.parameters())])
    torch.testing.assert_close(*gradients)


def test_sinusoids_number_by_number():
    distances = torch.tensor([-300, -7, 0, 1, 299])
    expected = np.stack([wave(int(distance)) for distance in distances])
    np.testing.assert_allclose(sinusoids(distances, DIM).numpy(), expected, atol=1e-4)
    assert sinusoids(distances, 5).shape == (5, 5)


class _Largest(TorchDispatchMode):
    """Records the size of the largest tensor, in bytes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [one.untyped_storage().nbytes() for one in tree_leaves(result) if isinstance(one, torch.Tensor)]
        self.bytes = max([self.bytes, *sizes])
        return result


def test_300_characters_never_make_a_tensor_of_queries_keys_and_width():
    batch, seq, dim = 2, 300, 64
    words = torch.tensor(
        [[n, at, at + length, 2] for n in range(batch) for length in (2, 3, 4) for at in range(seq - length)]
    )
    layer = Flat(dim, [1] * ROWS, n_heads=4)
    characters = torch.randn(batch, seq, dim, requires_grad=True)
    with _Largest() as largest:
        layer(characters, torch.ones(batch, seq, dtype=torch.bool), words).square().sum().backward()
    keys = seq + len(words) // batch
    assert largest.bytes <= 4 * flat._SCORES
    assert largest.bytes < 4 * batch * seq * keys * dim / 4


def test_a_word_is_told_by_where_it_begins_and_ends():
    layer, characters, mask = build(), characters_of(1, 7), REAL[:1]
    outputs = [layer(characters, mask, torch.tensor([[0, start, stop, 2]])) for start, stop in ((1, 3), (2, 4), (1, 4))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (outputs[one] - outputs[other]).abs().amax(2).min() > 1e-4


def test_words_reach_over_the_windows_of_a_long_sentence(tokenizer, types, marked, settings):
    """Windows end where the encoder does: the lattice is that of the sentence, and of no other one."""
    torch.manual_seed(0)
    encoder = Encoder(replace(settings, position="none", vocab_size=tokenizer.size))
    encoder.layers = nn.ModuleList()
    words = [word for one in marked(9) for word in one.words()]
    long, short = join_words(words, " "), join_words(words[:5], " ")
    lexicon = Lexicon({" ".join(words[at : at + n]): 2 for n in (2, 4) for at in range(0, len(words) - 4, 3)}, 1)
    model = TaggingModel(
        encoder, TaggingHeadConfig(name="crf", dropout=0.0), len(types), lexicon=Flat(encoder.out_dim, lexicon.counts)
    ).eval()
    outputs = []
    for max_len in (None, 10, 13):
        tagger = Tagger(model, tokenizer, types, SentenceLengthConfig(max_len=max_len), "words", lexicon=lexicon)
        inputs = tagger.inputs([long, short])
        assert len(inputs.matches.of(np.arange(2))) > len(words) // 2
        batch = word_batch(inputs, inputs.inputs.first_row, np.arange(2))
        outputs.append(model({name: torch.from_numpy(value) for name, value in batch.items()}))
    assert inputs.inputs.counts == {"read_in_windows": 1}
    for other in outputs[1:]:
        torch.testing.assert_close(other[0], outputs[0][0])
        torch.testing.assert_close(other[1, :5], outputs[0][1, :5])


@pytest.mark.parametrize("options", [{"width": 0}, {"shortest": 0}, {"n_heads": 3}, {"dropout": 1.0}])
def test_options_are_checked(options):
    with pytest.raises(InputError):
        Flat(DIM, [1] * ROWS, **options)
