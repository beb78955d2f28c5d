import json

import pytest

from nlp_tasks.config import FilesConfig
from nlp_tasks.data import read_table
from nlp_tasks.samples import write_samples
from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.files import read_annotated
from recsys_bert.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples") / "texts"
    write_samples(folder, n=60, seed=1)
    return folder


def test_the_same_seed_writes_the_same_files(folder, tmp_path):
    write_samples(tmp_path / "again", n=60, seed=1)
    write_samples(tmp_path / "other", n=60, seed=2)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
        assert path.read_bytes() != (tmp_path / "other" / path.name).read_bytes()


def test_the_tasks_read_them(folder):
    topics = read_table(folder / "topics.tsv", FilesConfig(), ["text"], "label")
    pairs = read_table(folder / "pairs.tsv", FilesConfig(), ["first", "second"], "label")
    named = read_annotated(folder / "entities.conll", AnnotatedFilesConfig(scheme="bio"))
    assert [len(one) for one in (topics, pairs, named)] == [60, 60, 60]
    assert set(topics.labels) == {("arts",), ("sport",), ("trade",)}
    assert set(pairs.labels) == {("0",), ("1",)}
    assert [one.text for one in named.sentences] == topics.texts["text"]
    for sentence in named.sentences:
        assert sorted(entity.type for entity in sentence.entities) == ["LOC", "ORG", "PER"]
        words = {entity.type: entity.stop - entity.start for entity in sentence.entities}
        assert words == {"LOC": 1, "ORG": 2, "PER": 2}


def test_every_answer_occurs_once_in_its_passage(folder):
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    assert all(row["context"].split().count(row["answers"][0].split()[0]) == 1 for row in rows)
    assert len({row["question"].split()[0] for row in rows}) == 4


def test_what_is_there_is_left_alone(folder):
    with pytest.raises(InputError, match="name a new folder"):
        write_samples(folder)
