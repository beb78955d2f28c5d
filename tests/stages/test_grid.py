import pytest

from recsys_bert.errors import InputError
from recsys_bert.stages.comparison.grid import Axis, configurations, parse_axis, parse_grid


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("encoder.fusion=last,scalar_mix", "encoder.fusion", ("last", "scalar_mix")),
        ("encoder.n-layers = 2, 4", "encoder.n_layers", (2, 4)),
        ("train.lr=1e-3,0.5", "train.lr", (1e-3, 0.5)),
        ("train.auxiliary.weight=0.0,0.8", "train.auxiliary.weight", (0.0, 0.8)),
        ("encoder.embedding_norm=false,true", "encoder.embedding_norm", (False, True)),
        ("init=None,runs/a b", "init", ("None", "runs/a b")),
        ("features=[],['a', 'b']", "features", ([], ["a", "b"])),
        ("encoder.neck_options={width = 3},{}", "encoder.neck_options", ({"width": 3}, {})),
        ('label="1","a,b"', "label", ("1", "a,b")),
        ("data.test=a=b", "data.test", ("a=b",)),
    ],
)
def test_values_are_what_a_recipe_would_have(text, name, values):
    axis = parse_axis(text)
    assert axis == Axis(name, values)
    assert [type(value) for value in axis.values] == [type(value) for value in values]


@pytest.mark.parametrize("text", ["encoder.fusion", "=a", "a=", "a=b,,c", "a=b,", ""])
def test_what_is_no_axis_is_refused(text):
    with pytest.raises(InputError, match=r"is no setting with values; write it as encoder\.fusion=last,scalar_mix"):
        parse_axis(text)


def test_a_value_comes_once():
    with pytest.raises(InputError, match=r"has 0\.001 twice"):
        parse_axis("train.lr=1e-3,0.001")
    assert parse_axis("a=1,true").values == (1, True)


def test_all_combinations_the_last_axis_fastest():
    combined = configurations(
        [Axis("e.fusion", ("last", "pool")), Axis("train.epochs", (3,)), Axis("e.neck", ("none", "cnn"))]
    )
    assert [one.name for one in combined] == [
        "fusion=last neck=none",
        "fusion=last neck=cnn",
        "fusion=pool neck=none",
        "fusion=pool neck=cnn",
    ]
    assert combined[1].values == {"e.fusion": "last", "train.epochs": 3, "e.neck": "cnn"}
    assert combined[1].folder == "fusion=last,neck=cnn"


def test_without_a_grid_there_is_the_recipe_alone():
    assert [(one.name, one.values) for one in configurations([])] == [("the recipe", {})]


def test_settings_of_one_name_keep_their_tables():
    names = [
        one.name for one in configurations([Axis("encoder.dropout", (0.1, 0.2)), Axis("head.dropout", (0.3, 0.4))])
    ]
    assert names[0] == "encoder.dropout=0.1 head.dropout=0.3"


def test_folders_are_told_apart_and_are_safe():
    strange = [Axis("init", ("a/b", "a b", "..", "x" * 300, "x" * 301)), Axis("n", (1, 2))]
    folders = [one.folder for one in configurations(strange)]
    assert len(set(folders)) == len(folders)
    assert all("/" not in folder and len(folder) <= 120 and folder not in (".", "..") for folder in folders)


def test_a_grid_that_grows_keeps_its_folders():
    small = configurations([Axis("a.fusion", ("last", "pool")), Axis("a.neck", ("none", "cnn"))])
    large = configurations([Axis("a.fusion", ("token_mix", "pool", "last")), Axis("a.neck", ("cnn", "gru", "none"))])
    assert {one.folder for one in small} < {one.folder for one in large}


AXES = [
    Axis("e.neck", ("none", "cnn")),
    Axis("e.residual", ("add", "concat", "none")),
    Axis("t.auxiliary", (False, True)),
]


def test_configurations_can_be_left_out():
    names = {
        one.name for one in configurations(AXES, ["e.neck=none e.residual=concat,none", "t.auxiliary=true e.neck=cnn"])
    }
    assert names == {
        "neck=none residual=add auxiliary=false",
        "neck=none residual=add auxiliary=true",
        "neck=cnn residual=add auxiliary=false",
        "neck=cnn residual=concat auxiliary=false",
        "neck=cnn residual=none auxiliary=false",
    }


def test_tables_are_named_by_their_keys():
    axis = parse_axis("t.averaging={method='none'},{method='ema',decay=0.99}")
    grid = configurations([axis, Axis("teacher", ("None", "run"))], ["t.averaging.method=ema teacher=run"])
    assert [one.name for one in grid] == [
        "averaging={method=none} teacher=None",
        "averaging={method=none} teacher=run",
        "averaging={method=ema,decay=0.99} teacher=None",
    ]


@pytest.mark.parametrize(
    ("skip", "message"),
    [
        ("e.nekc=none", r"no setting of the grid is called 'e\.nekc'; did you mean 'e\.neck'\?"),
        ("e.neck=gru", r"no value of e\.neck in the grid is called 'gru'.* Known: cnn, none"),
        ("", "skip is empty"),
        ("e.neck=none,cnn", "leaves no configuration"),
        ("neck none", "is no setting with values"),
    ],
)
def test_a_skip_that_means_nothing_is_refused(skip, message):
    with pytest.raises(InputError, match=message):
        configurations(AXES, [skip])


def test_a_later_axis_replaces_one_of_the_same_setting_and_says_so(capsys):
    combined = parse_grid(["train.epochs=8", "e.neck=none,cnn", "train.epochs=1,2"])
    assert combined == [Axis("train.epochs", (1, 2)), Axis("e.neck", ("none", "cnn"))]
    assert capsys.readouterr().err == "grid: train.epochs=1,2 replaces 8\n"
