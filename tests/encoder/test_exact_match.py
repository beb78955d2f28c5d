import pytest
import torch

from recsys_bert.encoder.exact_match import ExactMatch
from recsys_bert.errors import InputError

#           [  question    ][        passage        ]
TOKENS = torch.tensor([[4, 5, 6, 9, 5, 6, 7, 4, 4, 5, 6, 0]])
SEGMENTS = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]])


def by_hand(tokens, segments, longest):
    """Length of the longest run through each position that the other segment has as well, run by run."""
    mask = [n for n, token in enumerate(tokens) if token]
    lengths = [0] * len(tokens)
    for first in mask:
        for stop in range(first + 1, min(first + longest, len(mask)) + 1):
            run = tokens[first:stop]
            if len(set(segments[first:stop])) == 1 and any(
                tokens[other : other + len(run)] == run
                and set(segments[other : other + len(run)]) == {1 - segments[first]}
                for other in mask
            ):
                for n in range(first, stop):
                    lengths[n] = max(lengths[n], len(run))
    return lengths


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (1, [1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0]),
        (2, [2, 2, 2, 0, 2, 2, 0, 1, 2, 2, 2, 0]),
        (4, [3, 3, 3, 0, 2, 2, 0, 1, 3, 3, 3, 0]),
    ],
)
def test_the_longest_shared_run_around_a_position(longest, expected):
    part = ExactMatch(longest, 4)
    assert part.lengths(TOKENS, TOKENS != 0, SEGMENTS).tolist() == [expected]
    assert by_hand(TOKENS[0].tolist(), SEGMENTS[0].tolist(), longest) == expected


def test_runs_are_those_of_a_search():
    longest = 3
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 5, (40, 12), generator=random)
    segments = (torch.arange(12) >= torch.randint(1, 12, (40, 1), generator=random)).long()
    tokens = tokens * (torch.arange(12) < torch.randint(6, 13, (40, 1), generator=random))
    lengths = ExactMatch(longest, 4).lengths(tokens, tokens != 0, segments)
    for row, one, own in zip(lengths.tolist(), tokens.tolist(), segments.tolist(), strict=True):
        assert row == by_hand(one, own, longest)


def test_an_encoder_starts_as_without_them_and_learns_them(make):
    plain, encoder = make(n_segments=2, max_len=12), make(n_segments=2, max_len=12, exact_match=3)
    encoder.load_state_dict(plain.state_dict(), strict=False)
    tokens = encoder(TOKENS, segments=SEGMENTS).tokens
    assert torch.equal(tokens, plain(TOKENS, segments=SEGMENTS).tokens)
    tokens[0, 0].sum().backward()
    touched = encoder.embeddings.exact_match.table.weight.grad.abs().sum(1) > 0
    assert touched.tolist() == [False, True, True, True]


def test_one_segment_has_nothing_to_share(make):
    with pytest.raises(InputError, match="exact_match is 2, but n_segments is 0"):
        make(exact_match=2)
    with pytest.raises(InputError, match="but got no segments"):
        make(exact_match=2, n_segments=2)(torch.tensor([[3, 4]]))
