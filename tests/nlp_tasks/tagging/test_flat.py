from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nlp_tasks.tagging.batches import unit_batch
from nlp_tasks.tagging.config import NerHeadConfig, SentenceLengthConfig
from nlp_tasks.tagging.lexicon import Lexicon
from nlp_tasks.tagging.model import NerModel
from nlp_tasks.tagging.sentences import join
from nlp_tasks.tagging.tagger import Tagger
from nlp_tasks.tagging.words import flat
from nlp_tasks.tagging.words.flat import Flat, sinusoids
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError

DIM, HEADS, ROWS = 8, 2, 6
REAL = torch.tensor([[True] * 7, [True] * 4 + [False] * 3, [True] + [False] * 6])
WORDS = torch.tensor([[0, 0, 2, 2], [0, 1, 5, 3], [0, 4, 5, 1], [0, 5, 7, 5], [1, 1, 3, 4], [1, 2, 4, 2], [1, 0, 4, 3]])


def build(**options):
    """A part whose every weight is far from 0."""
    torch.manual_seed(0)
    part = Flat(DIM, [1] * ROWS, n_heads=HEADS, width=5, ffn_dim=12, **options).eval()
    for parameter in part.parameters():
        nn.init.normal_(parameter, std=0.5)
    return part


def units_of(batch, seq):
    return torch.randn(batch, seq, DIM, generator=torch.Generator().manual_seed(1))


def wave(distance):
    """A sinusoid of one distance, number by number."""
    return np.array(
        [(np.cos if k % 2 else np.sin)(distance / 10_000 ** ((k - k % 2) / DIM)) for k in range(DIM)], np.float64
    )


def linear(map_, x):
    return x @ map_.weight.T + (0 if map_.bias is None else map_.bias)


def by_the_formula(part, units, words):
    """One sentence through the layer as the paper has it, every pair of the lattice by itself; all positions."""
    spans = [(at, at) for at in range(len(units))] + [(start, stop - 1) for start, stop, _ in words]
    read = [linear(part.widen, part.words.weight[row]) for _, _, row in words]
    x = torch.stack([*units, *read])
    q, k, v = (linear(map_, x).view(len(x), HEADS, -1) for map_ in (part.query, part.key, part.value))
    mixed = torch.zeros(len(x), HEADS, DIM // HEADS, dtype=x.dtype)
    for i, (head, tail) in enumerate(spans):
        scores = torch.zeros(HEADS, len(x), dtype=x.dtype)
        for j, (other_head, other_tail) in enumerate(spans):
            waves = [head - other_head, tail - other_head, head - other_tail, tail - other_tail]
            relation = linear(part.relation, torch.from_numpy(np.concatenate([wave(d) for d in waves]))).relu()
            key = linear(part.relation_key, relation).view(HEADS, -1)
            for h in range(HEADS):
                scores[h, j] = (q[i, h] + part.u[h]) @ k[j, h] + (q[i, h] + part.v[h]) @ key[h]
        for h in range(HEADS):
            mixed[i, h] = (scores[h] * part.scale).softmax(0) @ v[:, h]
    x = nn.functional.layer_norm(x + linear(part.out, mixed.flatten(1)), [DIM], *part.attention_norm.parameters())
    branch = linear(part.ffn.down_proj, linear(part.ffn.up_proj, x).relu())
    return nn.functional.layer_norm(x + branch, [DIM], *part.ffn_norm.parameters())


@pytest.mark.parametrize("options", [{"shortest": 1}, {"shortest": 2}, {"scaled": True}])
@pytest.mark.parametrize("scores", [1, 1 << 9, 1 << 23])  # one unit at a time, some, all at once
def test_it_is_the_papers_formula_however_many_units_are_read_at_once(monkeypatch, options, scores):
    monkeypatch.setattr(flat, "_SCORES", scores)
    part, units = build(**options).double(), units_of(3, 7).double()
    found = part(units, REAL, WORDS)
    for sentence in range(3):
        n = int(REAL[sentence].sum())
        words = [(a, b, row) for owner, a, b, row in WORDS.tolist() if owner == sentence and b - a >= part.shortest]
        expected = by_the_formula(part, units[sentence, :n], words)[:n]
        torch.testing.assert_close(found[sentence, :n], expected)


def test_gradients_are_the_same_however_many_units_are_read_at_once(monkeypatch):
    found = []
    for scores in (1 << 23, 1 << 9):
        monkeypatch.setattr(flat, "_SCORES", scores)
        part, units = build().double(), units_of(3, 7).double().requires_grad_()
        part(units, REAL, WORDS)[REAL].pow(3).sum().backward()
        found.append([units.grad, *(parameter.grad for parameter in part.parameters())])
    torch.testing.assert_close(*found)


def test_sinusoids_number_by_number():
    distances = torch.tensor([-300, -7, 0, 1, 299])
    expected = np.stack([wave(int(distance)) for distance in distances])
    np.testing.assert_allclose(sinusoids(distances, DIM).numpy(), expected, atol=1e-4)
    assert sinusoids(distances, 5).shape == (5, 5)


class _Largest(TorchDispatchMode):
    """Remembers the largest tensor that is made, in bytes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [one.untyped_storage().nbytes() for one in tree_leaves(made) if isinstance(one, torch.Tensor)]
        self.bytes = max([self.bytes, *sizes])
        return made


def test_300_characters_never_make_a_tensor_of_queries_keys_and_width():
    batch, seq, dim = 2, 300, 64
    words = torch.tensor(
        [[n, at, at + length, 2] for n in range(batch) for length in (2, 3, 4) for at in range(seq - length)]
    )
    part = Flat(dim, [1] * ROWS, n_heads=4)
    units = torch.randn(batch, seq, dim, requires_grad=True)
    with _Largest() as largest:
        part(units, torch.ones(batch, seq, dtype=torch.bool), words).square().sum().backward()
    keys = seq + len(words) // batch
    assert largest.bytes <= 4 * flat._SCORES
    assert largest.bytes < 4 * batch * seq * keys * dim / 4


def test_a_word_is_told_by_where_it_begins_and_ends():
    part, units, mask = build(), units_of(1, 7), REAL[:1]
    found = [part(units, mask, torch.tensor([[0, start, stop, 2]])) for start, stop in ((1, 3), (2, 4), (1, 4))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (found[one] - found[other]).abs().amax(2).min() > 1e-4


def test_words_reach_over_the_windows_of_a_long_sentence(tokenizer, types, marked, settings):
    """Windows end where the encoder does: the lattice is that of the sentence, and of no other one."""
    torch.manual_seed(0)
    encoder = Encoder(replace(settings, position="none", vocab_size=tokenizer.size))
    encoder.layers = nn.ModuleList()
    words = [word for one in marked(9) for word in one.words()]
    long, short = join(words, " "), join(words[:5], " ")
    lexicon = Lexicon({" ".join(words[at : at + n]): 2 for n in (2, 4) for at in range(0, len(words) - 4, 3)}, 1)
    model = NerModel(
        encoder, NerHeadConfig(name="crf", dropout=0.0), len(types), words=Flat(encoder.out_dim, lexicon.counts)
    ).eval()
    found = []
    for max_len in (None, 10, 13):
        made = Tagger(model, tokenizer, types, SentenceLengthConfig(max_len=max_len), "words", lexicon)
        units = made.inputs([long, short])
        assert len(units.words.of(np.arange(2))) > len(words) // 2
        batch = unit_batch(units, units.inputs.first_row, np.arange(2))
        found.append(model({name: torch.from_numpy(value) for name, value in batch.items()}))
    assert units.inputs.counts == {"read_in_windows": 1}
    for other in found[1:]:
        torch.testing.assert_close(other[0], found[0][0])
        torch.testing.assert_close(other[1, :5], found[0][1, :5])


@pytest.mark.parametrize("options", [{"width": 0}, {"shortest": 0}, {"n_heads": 3}, {"dropout": 1.0}])
def test_options_are_checked(options):
    with pytest.raises(InputError):
        Flat(DIM, [1] * ROWS, **options)
