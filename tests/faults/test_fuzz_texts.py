"""Random labelled texts, annotated sentences, questions and corpora are read whole or refused in words."""

import json
import tempfile
from pathlib import Path

import pytest
from faults.fuzzing import BUDGET, CELLS, WORDS, damage, table_files, write
from hypothesis import event, given
from hypothesis import strategies as st

from nlp_tasks.config import CorpusConfig, FilesConfig
from nlp_tasks.data import read_table
from nlp_tasks.pretraining.corpus import read_documents
from nlp_tasks.qa.config import QuestionFilesConfig
from nlp_tasks.qa.files import read_set
from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.files import read_annotated
from recsys_bert.errors import InputError

BAD_ROWS = st.sampled_from(("raise", "drop"))
TAGS = st.sampled_from(("O", "O", "B-PER", "I-PER", "B-LOC", "E-LOC", "S-PER", "PER", "", "B-", "b-per"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELLS, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def quiet(capsys):
    yield
    capsys.readouterr()


@st.composite
def conll_files(draw):
    lines = []
    for _ in range(draw(st.integers(0, 30))):
        row = [draw(WORDS), draw(TAGS)]
        odd = draw(st.integers(0, 19))
        row = [draw(CELLS), row[1]] if odd == 0 else row[:1] if odd == 1 else [] if odd in (2, 3) else row
        lines.append(draw(st.sampled_from("\t "))[:1].join(row))
    name = draw(st.sampled_from(("file.conll", "file.iob2", "file.txt", "file.tsv")))
    return name, draw(damage("\n".join(lines).encode("utf-8", "surrogatepass")))


@st.composite
def json_files(draw, example, name):
    """JSON lines around ``example``, some with other values."""
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        row = draw(example)
        if row and draw(st.integers(0, 5)) == 0:
            row = row | {draw(st.sampled_from(sorted(row))): draw(JSON)}
        lines.append(json.dumps(row))
    return name, draw(damage("\n".join(lines).encode("utf-8", "surrogatepass")))


SPANS = st.lists(
    st.fixed_dictionaries({"start": st.integers(-1, 9), "end": st.integers(-1, 12), "type": WORDS}), max_size=3
)
SENTENCES = st.fixed_dictionaries({"text": CELLS.map(lambda cell: f"the {cell} sat"), "entities": SPANS})
QUESTIONS = st.fixed_dictionaries(
    {"question": CELLS, "context": CELLS.map(lambda cell: f"the {cell} sat"), "answers": st.lists(CELLS, max_size=2)}
)


def read_or_refuse(read, file, *arguments):
    """Result of a reader, None where it refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = read(write(Path(folder), file), *arguments)
        except InputError:
            event("refused")
            return None
        event("read")
        return result


@BUDGET
@given(file=table_files({"text": WORDS, "label": WORDS}), bad_rows=BAD_ROWS)
def test_random_labelled_texts(file, bad_rows):
    table = read_or_refuse(read_table, file, FilesConfig(bad_rows=bad_rows), ["text"], "label")
    if table is not None:
        assert len(table) == len(table.texts["text"]) == len(table.labels) > 0
        assert all(text.strip() for text in table.texts["text"])


@BUDGET
@given(file=conll_files(), bad_rows=BAD_ROWS, scheme=st.sampled_from((None, "iob2", "iobes")))
def test_random_columns_of_tags(file, bad_rows, scheme):
    sentences = read_or_refuse(read_annotated, file, AnnotatedFilesConfig(bad_rows=bad_rows, scheme=scheme))
    if sentences is not None:
        for sentence in sentences.sentences:
            assert all(0 <= one.start < one.stop <= len(sentence) for level in sentence.levels for one in level)


@BUDGET
@given(file=json_files(SENTENCES, "file.jsonl"), bad_rows=BAD_ROWS)
def test_random_spans(file, bad_rows):
    sentences = read_or_refuse(read_annotated, file, AnnotatedFilesConfig(bad_rows=bad_rows))
    assert sentences is None or len(sentences.sentences) > 0


@BUDGET
@given(file=json_files(QUESTIONS, "file.jsonl"), bad_rows=BAD_ROWS)
def test_random_questions(file, bad_rows):
    questions = read_or_refuse(read_set, file, QuestionFilesConfig(bad_rows=bad_rows))
    assert questions is None or len(questions.questions) > 0


@BUDGET
@given(file=table_files({"text": WORDS}), form=st.sampled_from(("auto", "lines", "blocks", "csv", "squad")))
def test_random_corpora(file, form):
    read = read_or_refuse(read_documents, file, CorpusConfig(format=form))
    assert read is None or all(text.strip() for text in read[0])
