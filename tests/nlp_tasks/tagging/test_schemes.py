from itertools import pairwise, product

import pytest

from nlp_tasks.tagging.schemes import EDGE, SCHEMES, Span, find_scheme, may_follow, write_tags
from recsys_bert.errors import InputError

SENTENCE = {  # PER of three words, O, LOC of one, LOC of two at once, ORG of one
    "iob1": "I-PER I-PER I-PER O I-LOC B-LOC I-LOC I-ORG",
    "iob2": "B-PER I-PER I-PER O B-LOC B-LOC I-LOC B-ORG",
    "bio": "B-PER I-PER I-PER O B-LOC B-LOC I-LOC B-ORG",
    "iobes": "B-PER I-PER E-PER O S-LOC B-LOC E-LOC S-ORG",
    "bmes": "B-PER M-PER E-PER O S-LOC B-LOC E-LOC S-ORG",
    "bilou": "B-PER I-PER L-PER O U-LOC B-LOC L-LOC U-ORG",
}
ENTITIES = [Span(0, 3, "PER"), Span(4, 5, "LOC"), Span(5, 7, "LOC"), Span(7, 8, "ORG")]


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_reads_and_writes_the_same_entities(name, read_tags):
    tags = SENTENCE[name].split()
    assert read_tags(tags, SCHEMES[name]) == (ENTITIES, None)
    assert write_tags(ENTITIES, 8, SCHEMES[name]) == tags


@pytest.mark.parametrize("name", SCHEMES)
def test_a_type_may_hold_a_hyphen(name, read_tags):
    tags = write_tags([Span(1, 3, "B-X")], 4, SCHEMES[name])
    assert read_tags(tags, SCHEMES[name]) == ([Span(1, 3, "B-X")], None)


@pytest.mark.parametrize(
    ("name", "tags", "position", "why"),
    [
        ("bmes", "O M-A E-A", 1, "M-A cannot follow O in bmes"),
        ("bmes", "M-A E-A", 0, "M-A cannot begin a sentence in bmes"),
        ("bmes", "O B-A", 1, "B-A cannot end a sentence in bmes"),
        ("bmes", "B-A E-B", 1, "E-B cannot follow B-A in bmes"),
        ("bmes", "B-A B-A E-A", 1, "B-A cannot follow B-A in bmes"),
        ("bmes", "B-A O", 1, "O cannot follow B-A in bmes"),
        ("bmes", "B-A I-A", 1, "'I-A' is no tag of bmes, as O and B, M, E, S with -TYPE are"),
        ("iobes", "S-A E-A", 1, "E-A cannot follow S-A in iobes"),
        ("iob2", "O I-A", 1, "I-A cannot follow O in iob2"),
        ("iob2", "B-A I-B", 1, "I-B cannot follow B-A in iob2"),
        ("bio", "I-A", 0, "I-A cannot begin a sentence in bio"),
        ("iob1", "O B-A", 1, "B-A cannot follow O in iob1"),
        ("iob2", "O B", 1, "'B' is no tag of iob2"),
        ("iob2", "O ORG", 1, "'ORG' is no tag of iob2"),
    ],
)
def test_what_a_scheme_forbids_is_named_with_its_position(name, tags, position, why, read_tags):
    entities, problem = read_tags(tags.split(), SCHEMES[name])
    assert entities == []
    assert problem[0] == position
    assert problem[1].startswith(why)


@pytest.mark.parametrize("name", SCHEMES)
def test_exactly_what_can_be_written_can_be_read(name, read_tags):
    """All sequences of four tags: allowed ones are those that some choice of entities gives."""
    scheme = SCHEMES[name]
    tags = ["O", *(f"{letter}-{kind}" for letter in {*scheme.letters, "B"} for kind in "XY")]
    runs = [Span(a, b, kind) for a in range(4) for b in range(a + 1, 5) for kind in "XY"]
    choices = [[]]
    for run in sorted(runs):
        choices += [[*choice, run] for choice in choices if not choice or choice[-1].stop <= run.start]
    written = {tuple(write_tags(choice, 4, scheme)): choice for choice in choices}
    assert len(written) == len(choices)
    for sequence in product(tags, repeat=4):
        entities, problem = read_tags(sequence, scheme)
        assert (problem is None) == (sequence in written)
        assert entities == written.get(sequence, [])
        steps = all(may_follow(left, right, scheme) for left, right in pairwise([EDGE, *sequence, EDGE]))
        assert steps == (sequence in written)


def test_an_unknown_scheme():
    with pytest.raises(InputError, match="no tag scheme is called 'bmse'; did you mean 'bmes'"):
        find_scheme("bmse")
