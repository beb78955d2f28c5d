import pytest

from pipelines.comparison.grid import Axis, cells, parse_axis, parse_grid
from recsys_bert.errors import InputError


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("encoder.fusion=last,scalar_mix", "encoder.fusion", ("last", "scalar_mix")),
        ("encoder.n-layers = 2, 4", "encoder.n_layers", (2, 4)),
        ("train.lr=1e-3,0.5", "train.lr", (1e-3, 0.5)),
        ("train.auxiliary.weight=0.0,0.8", "train.auxiliary.weight", (0.0, 0.8)),
        ("encoder.causal=false,true", "encoder.causal", (False, True)),
        ("init=None,runs/a b", "init", ("None", "runs/a b")),
        ("features=[],['a', 'b']", "features", ([], ["a", "b"])),
        ("encoder.neck_options={width = 3},{}", "encoder.neck_options", ({"width": 3}, {})),
        ('label="1","a,b"', "label", ("1", "a,b")),
        ("data.test=a=b", "data.test", ("a=b",)),
    ],
)
def test_values_are_what_a_recipe_would_have(text, name, values):
    found = parse_axis(text)
    assert found == Axis(name, values)
    assert [type(value) for value in found.values] == [type(value) for value in values]


@pytest.mark.parametrize("text", ["encoder.fusion", "=a", "a=", "a=b,,c", "a=b,", ""])
def test_what_is_no_axis_is_refused(text):
    with pytest.raises(InputError, match=r"is no setting with values; write it as encoder\.fusion=last,scalar_mix"):
        parse_axis(text)


def test_a_value_comes_once():
    with pytest.raises(InputError, match=r"has 0\.001 twice"):
        parse_axis("train.lr=1e-3,0.001")
    assert parse_axis("a=1,true").values == (1, True)


def test_all_combinations_the_last_axis_fastest():
    found = cells([Axis("e.fusion", ("last", "pool")), Axis("train.epochs", (3,)), Axis("e.neck", ("none", "cnn"))])
    assert [cell.name for cell in found] == [
        "fusion=last neck=none",
        "fusion=last neck=cnn",
        "fusion=pool neck=none",
        "fusion=pool neck=cnn",
    ]
    assert found[1].values == {"e.fusion": "last", "train.epochs": 3, "e.neck": "cnn"}
    assert found[1].folder == "fusion=last,neck=cnn"


def test_without_a_grid_there_is_the_recipe_alone():
    assert [(cell.name, cell.values) for cell in cells([])] == [("the recipe", {})]


def test_settings_of_one_name_keep_their_tables():
    names = [cell.name for cell in cells([Axis("encoder.dropout", (0.1, 0.2)), Axis("head.dropout", (0.3, 0.4))])]
    assert names[0] == "encoder.dropout=0.1 head.dropout=0.3"


def test_folders_are_told_apart_and_are_safe():
    strange = [Axis("init", ("a/b", "a b", "..", "x" * 300, "x" * 301)), Axis("n", (1, 2))]
    folders = [cell.folder for cell in cells(strange)]
    assert len(set(folders)) == len(folders)
    assert all("/" not in folder and len(folder) <= 120 and folder not in (".", "..") for folder in folders)


def test_a_grid_that_grows_keeps_its_folders():
    small = cells([Axis("a.fusion", ("last", "pool")), Axis("a.neck", ("none", "cnn"))])
    large = cells([Axis("a.fusion", ("token_mix", "pool", "last")), Axis("a.neck", ("cnn", "gru", "none"))])
    assert {cell.folder for cell in small} < {cell.folder for cell in large}


AXES = [
    Axis("e.neck", ("none", "cnn")),
    Axis("e.residual", ("add", "concat", "none")),
    Axis("t.auxiliary", (False, True)),
]


def test_cells_can_be_left_out():
    found = {cell.name for cell in cells(AXES, ["e.neck=none e.residual=concat,none", "t.auxiliary=true e.neck=cnn"])}
    assert found == {
        "neck=none residual=add auxiliary=false",
        "neck=none residual=add auxiliary=true",
        "neck=cnn residual=add auxiliary=false",
        "neck=cnn residual=concat auxiliary=false",
        "neck=cnn residual=none auxiliary=false",
    }


def test_tables_are_named_by_their_keys():
    axis = parse_axis("t.averaging={method='none'},{method='ema',decay=0.99}")
    grid = cells([axis, Axis("teacher", ("None", "run"))], ["t.averaging.method=ema teacher=run"])
    assert [cell.name for cell in grid] == [
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
        ("e.neck=none,cnn", "leaves no cell"),
        ("neck none", "is no setting with values"),
    ],
)
def test_a_skip_that_means_nothing_is_refused(skip, message):
    with pytest.raises(InputError, match=message):
        cells(AXES, [skip])


def test_a_later_axis_replaces_one_of_the_same_setting_and_says_so(capsys):
    found = parse_grid(["train.epochs=8", "e.neck=none,cnn", "train.epochs=1,2"])
    assert found == [Axis("train.epochs", (1, 2)), Axis("e.neck", ("none", "cnn"))]
    assert capsys.readouterr().err == "grid: train.epochs=1,2 replaces 8\n"
