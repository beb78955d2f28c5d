"""Artefacts of strangers that name a part from outside: opening them runs no code."""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.commands import COMMANDS, READERS

import nlp_tasks
import recsys_bert as rb
from pipelines.cli import main
from recsys_bert.checksums import write_checksums
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError

PLANTED = "from pathlib import Path\nPath('ran').touch()\n"
NAME = "planted_by_a_stranger:Part"
HOSTILE = {  # artefact → files and the settings in them that name the part
    "encoder": [
        ("encoder/config.json", "layer"),
        ("encoder/config.json", "fusion"),
        ("encoder/config.json", "neck"),
        ("encoder/objective.json", "objective"),
    ],
    "towers": [("two_tower/config.json", "encoder.layer"), ("two_tower/config.json", "encoder.neck")],
    "ctr": [("ctr/config.toml", "head"), ("ctr/encoder/config.json", "layer")],
    "text_encoder": [("encoder/config.json", "fusion")],
    "classifier": [("classifier/config.json", "neck"), ("classifier/task.json", "head.name")],
    "matcher": [("matcher/task.json", "head.name")],
    "answerer": [("question_answerer/config.json", "layer")],
    "tagger": [("tagger/task.json", "head.name"), ("tagger/task.json", "lexicon.name")],
}
RUNS, ANSWERER = [*map(Path, ("classifier", "matcher", "answerer", "tagger"))], "question_answerer/config.json"
START, TEXTS, LABELS, FLAGS = Path("text_encoder"), ["a goal", "the bank"] * 10, ["x", "y"] * 10, [0, 1] * 10
CASES = [(artefact, *where) for artefact, settings in HOSTILE.items() for where in settings]


def log():
    return rb.open_dataset(Path("prepared"))


def train(kind, *arguments):
    *columns, allow = arguments
    return kind.train(*columns, init=START, **allow)


def seal(folder):
    """Write checksums that fit, in the folder and in those around it that have some."""
    for one in (folder, *folder.parents):
        if (one / "checksums.sha256").exists():
            write_checksums(one)


def rewrite(path: Path, setting: str) -> None:
    """Name the part in a JSON or TOML file, as somebody who may write the whole artefact."""
    if path.suffix == ".toml":
        text = re.sub(rf'(?m)^{setting} = ".*"$', f'{setting} = "{NAME}"', path.read_text().partition("\n")[2])
        first = "# resolved settings of x, recsys-bert 1"
        digest = hashlib.sha256(f"{first}\n{text}".encode()).hexdigest()
        path.write_text(f"{first}, sha256 {digest}\n{text}")
        seal(path.parent)
        return
    values = table = json.loads(path.read_text())
    *tables, last = setting.split(".")
    for name in tables:
        table = table[name]
    table[last] = NAME
    path.write_text(json.dumps(values))
    seal(path.parent)


@pytest.fixture
def hostile(workplace: Callable[..., Path]) -> Callable[[str, str, str], Path]:
    """Let an artefact name a planted part, in the working folder and in the artefact itself."""

    def plant(artefact: str, file: str, setting: str) -> Path:
        folder = workplace()
        for place in (folder, folder / artefact, (folder / artefact / file).parent):
            (place / "planted_by_a_stranger.py").write_text(PLANTED)
        rewrite(folder / artefact / file, setting)
        return folder

    return plant


@pytest.mark.parametrize(("artefact", "file", "setting"), CASES)
def test_no_command_runs_the_code_of_a_strangers_artefact(hostile, capsys, artefact, file, setting):
    folder = hostile(artefact, file, setting)
    commands = READERS[artefact] + (READERS["fusion"] if artefact in ("encoder", "towers") else [])
    for command in commands:
        capsys.readouterr()
        for left in (folder / "out", folder / "out.parquet"):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        status, error = main(command), capsys.readouterr().err
        assert not (folder / "ran").exists(), command
        if file == "classifier/task.json" and "--init" in command:  # takes the encoder alone
            continue
        assert status == 2, command
        assert NAME in error, (command, error)
        assert "--allow-parts" in error
    assert main([*commands[0], "--allow-parts"]) == 2  # it is looked up now: the module runs, and has no such class
    assert "has no class 'Part'" in capsys.readouterr().err
    assert (folder / "ran").exists()
    sys.modules.pop("planted_by_a_stranger")


@pytest.mark.parametrize(
    ("artefact", "file", "setting", "load"),
    [
        ("encoder", "encoder/config.json", "layer", lambda **allow: rb.load("encoder", "prepared", **allow)),
        ("encoder", "encoder/config.json", "layer", lambda **allow: rb.Encoder.load("encoder/encoder", **allow)),
        ("encoder", "encoder/config.json", "layer", lambda **allow: rb.evaluate("encoder", log(), **allow)),
        ("encoder", "encoder/config.json", "layer", lambda **allow: rb.fuse(["encoder"], log(), **allow)),
        ("encoder", "encoder/config.json", "layer", lambda **allow: rb.pretrain(log(), init="encoder", **allow)),
        ("encoder", "encoder/config.json", "layer", lambda **allow: rb.train_retrieval(log(), init="encoder", **allow)),
        ("ctr", "ctr/config.toml", "head", lambda **allow: rb.load("ctr", **allow)),
        ("text_encoder", "encoder/config.json", "neck", lambda **a: nlp_tasks.TextEncoder.load("text_encoder", **a)),
        ("text_encoder", "encoder/config.json", "neck", lambda **a: nlp_tasks.pretrain(TEXTS, init=START, **a)),
        ("text_encoder", "encoder/config.json", "neck", lambda **a: train(nlp_tasks.Classifier, TEXTS, LABELS, a)),
        ("text_encoder", "encoder/config.json", "neck", lambda **a: train(nlp_tasks.Matcher, TEXTS, TEXTS, FLAGS, a)),
        ("classifier", "classifier/task.json", "head.name", lambda **a: nlp_tasks.Classifier.load(RUNS[0], **a)),
        ("matcher", "matcher/task.json", "head.name", lambda **a: nlp_tasks.Matcher.load(RUNS[1], **a)),
        ("answerer", ANSWERER, "layer", lambda **a: nlp_tasks.QuestionAnswerer.load(RUNS[2], **a)),
        ("tagger", "tagger/task.json", "head.name", lambda **a: nlp_tasks.Tagger.load(RUNS[3], **a)),
    ],
)  # fmt: skip
def test_python_opens_parts_only_if_it_is_told_so(hostile, artefact, file, setting, load):
    folder = hostile(artefact, file, setting)
    with pytest.raises(InputError, match=re.escape(NAME) + r".*allow_parts=True"):
        load()
    assert not (folder / "ran").exists()
    with pytest.raises(InputError, match=r"has no class 'Part'|cannot be imported"):
        load(allow_parts=True)


@pytest.mark.parametrize("artefact", ["encoder", "classifier"])
def test_a_strangers_config_as_a_recipe_names_no_parts(hostile, capsys, artefact):
    folder = hostile(artefact, f"{'encoder' if artefact == 'encoder' else 'classifier'}/config.json", "layer")
    recipe = folder / artefact / "config.toml"
    rewrite(recipe, "layer")
    words = COMMANDS[artefact][: COMMANDS[artefact].index("--out") - (2 if artefact == "encoder" else 0)]
    assert main([*words, str(recipe), "--out", "out"]) == 2
    assert f"config.toml names the encoder.layer '{NAME}'" in capsys.readouterr().err
    if artefact == "classifier":
        assert main(["compare", *words, str(recipe), "--out", "out"]) == 2
        assert f"config.toml names the encoder.layer '{NAME}'" in capsys.readouterr().err
    assert not (folder / "ran").exists()


def test_parts_of_the_users_own_settings_are_opened_again(workplace):
    """A flag names the part, so that its code ran already: the run that it trained opens in the same process."""
    workplace()
    layer = "contracts.outside_parts:PlainLayer"
    model = rb.pretrain(log(), out=Path("own"), encoder={"layer": layer, "dim": 8, "n_heads": 2}, train={"epochs": 1})
    assert rb.load("own", log()).ranker.shape == model.ranker.shape
    assert find("layer", layer, {}).__name__ == "PlainLayer"
