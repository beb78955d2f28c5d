"""Artefacts of strangers with a value replaced, and checksums that fit it: opened, or refused in one message."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from faults.commands import READERS
from faults.fuzzing import BUDGET, EXAMPLES
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipelines.cli import main
from recsys_bert.checksums import write_checksums

VALUES = st.sampled_from((None, True, 0, -1, 1.5, 10**12, "", "nonsense", "1", [], [1], ["a"], {}, {"a": 1}))


def value_paths(value, path=()):
    """Paths of all values in JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from value_paths(inner, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def seal(file, value):
    """Write JSON and the checksums that belong to it, as somebody who may write the whole artefact."""
    if "sha256" in value:
        value = {name: one for name, one in value.items() if name != "sha256"}
        counted = {name: one for name, one in value.items() if name != "seconds"}
        value |= {"sha256": hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()}
    file.write_text(json.dumps(value))
    for folder in file.parents:
        if (folder / "checksums.sha256").exists():
            write_checksums(folder)


def test_a_value_of_an_artefact_is_replaced(workplace, capsys):
    folder = workplace()
    fast = {name: [line for line in lines if "--out" not in line] for name, lines in READERS.items()}
    files = [(name, file) for name in fast if fast[name] for file in sorted((folder / name).rglob("*.json"))]
    files = [(name, file) for name, file in files if "checkpoints" not in file.parts and file.name != "tokenizer.json"]
    whole = {name: folder / f"{name} whole" for name in fast}
    for name, copy in whole.items():
        shutil.copytree(folder / name, copy)

    @settings(BUDGET, max_examples=EXAMPLES if EXAMPLES > 25 else 10)
    @given(data=st.data())
    def fuzz(data):
        name, file = data.draw(st.sampled_from(files))
        value = json.loads(file.read_text())
        path = data.draw(st.sampled_from(list(value_paths(value)) or [()]))
        new = data.draw(VALUES)
        seal(file, replaced(value, path, new))
        command = data.draw(st.sampled_from(fast[name]))
        try:
            capsys.readouterr()
            status, error = main(command), capsys.readouterr().err
            event(f"status {status}")
            assert status == 0 or (status, error.count("error: ")) == (2, 1), (file, path, new, error)
        except Exception as error:
            raise AssertionError(f"{file.relative_to(folder)}: {path} = {new!r}; {' '.join(command)}") from error
        finally:
            shutil.rmtree(folder / name)
            shutil.copytree(whole[name], folder / name)

    fuzz()
    assert Path.cwd() == folder


NAMES = [
    ("encoder", "encoder/objective.json", ("objective",)),
    ("encoder", "encoder/objective.json", ("loss", "name")),
    ("encoder", "encoder/objective.json", ("loss", "similarity")),
    ("encoder", "encoder/config.json", ("position",)),
    ("encoder", "encoder/config.json", ("neck",)),
    ("towers", "two_tower/config.json", ("loss", "name")),
    ("towers", "two_tower/config.json", ("loss", "similarity")),
    ("towers", "two_tower/config.json", ("encoder", "fusion")),
    ("classifier", "classifier/task.json", ("head", "name")),
    ("matcher", "matcher/task.json", ("form",)),
    ("tagger", "tagger/task.json", ("head", "name")),
    ("tagger", "tagger/task.json", ("lexicon", "name")),
    ("tagger", "tagger/task.json", ("granularity",)),
    ("tagger", "tagger/task.json", ("word_separator",)),
    ("classifier", "classifier/task.json", ("length", "long")),
]


@pytest.mark.parametrize(("artefact", "file", "keys"), NAMES, ids=lambda value: str(value))
def test_an_unknown_name_is_refused(workplace, capsys, artefact, file, keys):
    path = workplace() / artefact / file
    seal(path, replaced(json.loads(path.read_text()), keys, "nonsense"))
    capsys.readouterr()
    assert main(READERS[artefact][0]) == 2
    error = capsys.readouterr().err
    assert "nonsense" in error or str(keys[-1]) in error
