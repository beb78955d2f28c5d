import collections

import pytest

from recsys_bert.encoder.parts import build, find
from recsys_bert.errors import InputError


class Thing:
    def __init__(self, width: int, *, causal: bool, size: int | None = None, rate: float = 0.5, name: str) -> None:
        self.given = (width, causal, size, rate, name)


TABLE = {"thing": Thing, "counter": "collections:Counter"}


def test_a_part_is_found_in_the_table_or_outside():
    assert find("part", "thing", TABLE) is Thing
    assert find("part", "counter", TABLE) is collections.Counter
    assert find("part", "collections:OrderedDict", TABLE) is collections.OrderedDict


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("thign", "no part is called 'thign'; did you mean 'thing'"),
        ("no_such_module:Thing", "module 'no_such_module' cannot be imported"),
        (":Thing", "cannot be imported"),
        ("collections:Conuter", "module 'collections' has no class 'Conuter'"),
        ("collections:abc", "module 'collections' has no class 'abc'"),
    ],
)
def test_a_part_that_is_nowhere_is_an_error(name: str, message: str):
    with pytest.raises(InputError, match=message):
        find("part", name, TABLE)


def test_options_reach_the_constructor():
    part = build("part", "thing", TABLE, 3, options={"size": 4, "rate": 1, "name": "x"}, causal=True)
    assert part.given == (3, True, 4, 1, "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "x", "sice": 4}, "part 'thing' has no option 'sice'; its options: name, rate, size"),
        ({"name": "x", "causal": False}, "part 'thing' has no option 'causal'"),
        ({"name": "x", "width": 4}, "part 'thing' has no option 'width'"),
        ({"size": 4}, "part 'thing' needs the option 'name'"),
        ({"name": "x", "size": "4"}, "part 'thing', option 'size'.*got '4'"),
        ({"name": "x", "size": 4.5}, "part 'thing', option 'size'.*got 4.5"),
        ({"name": 3}, "part 'thing', option 'name'.*got 3"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        build("part", "thing", TABLE, 3, options=options, causal=True)
