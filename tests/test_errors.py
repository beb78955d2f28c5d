from recsys_bert.errors import unknown_name


def test_a_near_name_is_suggested():
    error = unknown_name("layer", "ligrr", ["pre_norm", "ligr"])
    assert str(error) == "no layer is called 'ligrr'; did you mean 'ligr'? Known: ligr, pre_norm."


def test_a_far_name_gets_no_suggestion():
    assert str(unknown_name("layer", "xyz", ["bert"])) == "no layer is called 'xyz'. Known: bert."


def test_a_long_name_is_cut():
    assert str(unknown_name("layer", "x" * 101, ["bert"])) == f"no layer is called {'x' * 100 + '…'!r}. Known: bert."
