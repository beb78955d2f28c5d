import json
from dataclasses import replace

import pytest

from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import split_words
from pipelines.benchmarks import pu_table, sample_dictionary
from pipelines.support.flags import load_config
from pipelines.text.tag import train
from recsys_bert.errors import InputError

LINES = "ada B-PER\nand O\nbob B-PER\nin O\nbonn B-LOC\n\nin O\noslo B-LOC\nby O\ncarl B-PER\n\n"
RECIPE = """
out = "unused"
[data]
train = "{folder}/train.bio"
test = "{folder}/test.bio"
scheme = "bio"
bad_rows = "drop"
[pu]
dictionary = "unused.tsv"
warm_up = 0
[tokenizer]
min_count = 1
vocab_size = 60
[encoder]
dim = 8
n_layers = 1
n_heads = 2
max_len = 24
[head]
name = "binary"
[train]
epochs = 1
batch_size = 4
device = "cpu"
"""


@pytest.fixture
def recipe(tmp_path):
    for name, n in (("train", 8), ("test", 2)):
        (tmp_path / f"{name}.bio").write_text(LINES * n)
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(folder=tmp_path))
    return path


def table(recipe, tmp_path, *more):
    flags = ["--out", str(tmp_path / "pu"), "--recipe", str(recipe), "--seeds", "2", "--share", "0.2"]
    return pu_table.run(load_config(pu_table.Config, [*flags, *more]))


def test_every_row_is_measured_once(recipe, tmp_path, monkeypatch):
    rows = ["--rows", "matching", "non_negative", "supervised"]
    result = table(recipe, tmp_path, *rows)
    assert [len(result["rows"][row]) for row in rows[1:]] == [2, 2, 2]
    assert all(0 <= one["f1"] <= 1 for row in result["rows"].values() for one in row)
    assert result["rows"]["matching"][0]["f1"] > 0
    assert [one["rows"] for one in result["order"]] == [["matching", "non_negative"], ["non_negative", "supervised"]]
    assert json.loads((tmp_path / "pu.json").read_text()) == result
    written = (tmp_path / "pu.md").read_text()
    assert written.count("\n| non_negative |") == 1
    assert "| matching → non_negative |" in written

    monkeypatch.setattr(train, "run", None)  # nothing is trained again
    assert table(recipe, tmp_path, *rows)["rows"] == result["rows"]


def test_what_other_settings_or_files_left_is_refused(recipe, tmp_path):
    rows = ["--rows", "matching", "non_negative", "--seeds", "1"]
    table(recipe, tmp_path, *rows)
    with pytest.raises(InputError, match=r"dictionary-0\.tsv is not what share 0\.01 of the mentions of .*train\.bio"):
        table(recipe, tmp_path, *rows, "--share", "0.01")
    annotated, test = tmp_path / "train.bio", tmp_path / "test.bio"
    before = annotated.read_text()
    annotated.write_text(before.replace("ada", "eve").replace("oslo", "rome").replace("bonn", "bern"))
    with pytest.raises(InputError, match=r"dictionary-0\.tsv is not what"):
        table(recipe, tmp_path, *rows)
    annotated.write_text(before)
    table(recipe, tmp_path, *rows)
    for path in (annotated, test):  # the dictionary stays as it was
        before = path.read_text()
        path.write_text(before.replace("and", "or"))
        with pytest.raises(InputError, match=rf"{path.name} is not what .*non_negative/seed-0 was begun with"):
            table(recipe, tmp_path, *rows)
        path.write_text(before)


def test_a_name_with_a_dot_stays(recipe, tmp_path):
    table(recipe, tmp_path, "--rows", "matching", "--out", str(tmp_path / "v0.1"))
    assert (tmp_path / "v0.1.md").exists()
    assert (tmp_path / "v0.1.json").exists()


def test_what_cannot_be_compared(recipe, tmp_path):
    with pytest.raises(InputError, match="no row is called 'nnpu'"):
        table(recipe, tmp_path, "--rows", "nnpu")
    with pytest.raises(InputError, match=r"share is 0\.0"):
        table(recipe, tmp_path, "--share", "0")
    (tmp_path / "test.bio").write_text(LINES + "club B-ORG\n\n")
    with pytest.raises(InputError, match=r"has no entity of type 'ORG', but .*test\.bio has"):
        table(recipe, tmp_path)
    recipe.write_text(recipe.read_text().replace('dictionary = "unused.tsv"\nwarm_up = 0', ""))
    with pytest.raises(InputError, match=r"must name pu\.dictionary and data\.test"):
        table(recipe, tmp_path)


def test_a_sample_has_no_entity_that_a_line_cannot_hold():
    with pytest.raises(InputError, match="seed is -1; it cannot be negative"):
        load_config(sample_dictionary.Config, ["--out", "unused.tsv", "--seed", "-1"])
    level = (Span(0, 2, "A"), Span(2, 3, "A"))
    sentence = replace(split_words("甲\t乙丙", "characters"), levels=(level,))
    assert sample_dictionary.sample([sentence], 1.0, "mentions", 0) == [("丙", "A")]


def test_a_sample_has_the_share_and_every_type():
    entity = {"A": Span(0, 1, "A"), "B": Span(0, 1, "B"), "C": Span(0, 1, "C")}
    texts = (
        [("甲乙丙丁戊己庚辛"[n % 8], "A") for n in range(80)]
        + [("子丑"[n % 2], "B") for n in range(18)]
        + [("寅", "C")]
    )
    sentences = [replace(split_words(text, "characters"), levels=((entity[kind],),)) for text, kind in texts]
    for seed in range(3):
        entries = sample_dictionary.sample(sentences, 0.05, "mentions", seed)
        assert {kind for _, kind in entries} == {"A", "B", "C"}
        assert 3 <= len(entries) <= 5 + 2
        assert set(entries) <= set(texts)
        assert entries == sample_dictionary.sample(sentences, 0.05, "mentions", seed)
    assert len(sample_dictionary.sample(sentences, 1.0, "entities", 0)) == 11
    with pytest.raises(InputError, match="none of the 1 sentences has an entity"):
        sample_dictionary.sample([split_words("甲", "characters")], 0.1, "mentions", 0)
