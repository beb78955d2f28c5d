import numpy as np
import pytest

from nlp_tasks.word_vectors.files import read_vectors, write_vectors
from recsys_bert.errors import InputError


def test_what_is_written_is_what_gensim_reads_and_what_is_read(tmp_path):
    words, table = ["中国", "a", "'"], np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    path = tmp_path / "vectors.txt"
    write_vectors(path, words, table)
    back = read_vectors(path)
    assert (back.words, back.repeated) == (words, 0)
    np.testing.assert_allclose(back.table, table, rtol=1e-5)
    theirs = pytest.importorskip("gensim.models").KeyedVectors.load_word2vec_format(str(path))
    assert theirs.index_to_key == words
    np.testing.assert_array_equal(theirs.vectors, back.table)


@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_with_and_without_a_first_line_of_sizes(write, header):
    vectors = read_vectors(write("v.txt", header + "a 1 2\nb -3 4e-1 \n. . 5 6\n\n"))
    assert vectors.words == ["a", "b", ". ."]  # GloVe's large files have words with blanks
    np.testing.assert_allclose(vectors.table, [[1, 2], [-3, 0.4], [5, 6]])


def test_cells_may_be_apart_by_several_blanks(write):
    vectors = read_vectors(write("v.txt", "a  1 2\nb 3  \t4 \n. .   5 6\n  7 8\n"))
    assert vectors.words == ["a", "b", ". .", " "]  # the last as where every character has a vector
    np.testing.assert_allclose(vectors.table, [[1, 2], [3, 4], [5, 6], [7, 8]])


def test_vectors_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(InputError, match=r"1 of 2 vectors have numbers that are not finite; .* is not written"):
        write_vectors(tmp_path / "v.txt", ["a", "b"], np.array([[1, 2], [np.nan, 1]], np.float32))
    assert not (tmp_path / "v.txt").exists()


def test_the_first_of_repeated_words_counts(write):
    vectors = read_vectors(write("v.txt", "a 1 2\nb 3 4\na 5 6\n"))
    assert (vectors.words, vectors.repeated) == (["a", "b"], 1)
    np.testing.assert_allclose(vectors.table[0], [1, 2])


def test_only_some_words_are_read(write):
    vectors = read_vectors(write("v.txt", "a 1 2\nb x 4\nC 5 6\n"), {"a", "C", "d"})
    assert vectors.words == ["a", "C"]
    assert vectors.rows(["d", "C", "A", "c", "a"]).tolist() == [-1, 1, 0, -1, 0]  # A is looked up as a, never c as C
    assert read_vectors(write("v.txt", "a 1 2\n"), {"b"}).table.shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\nb 1\n", r"line 2 of .*v.txt has 1 numbers; the others 2\. Mend or delete the line"),
        ("a 1 2\nb 1 2 3\n", r"line 2 of .* has 3 numbers; the others 2"),
        ("a 1 2\nb 1 nan\n", r"line 2 of .* has 'nan' where a finite"),
        ("a 1 2\nb inf 1\n", r"line 2 of .* has 'inf'"),
        ("a 1 2\nb 1 1e39\n", r"line 2 of .* has '1e39' where a finite 32-bit number is needed"),
        ("a 1 2\nb 1 two\n", r"line 2 of .* has 'two'"),
        ("2 3\na 1 2 3\nb 1 2\n", r"line 3 of .* has 2 numbers; the others 3"),
        ("3 2\na 1 2\nb 1 2\n", r"declares 3 words in its first line and has 2\. It may be truncated"),
        ("", "holds no word vectors"),
        ("a\n", "holds no word vectors"),
        ("word a b\n", r"line 1 of .* has 'a' where a finite"),
    ],
)
def test_broken_files_are_refused_with_the_line(write, text, message):
    with pytest.raises(InputError, match=message):
        read_vectors(write("v.txt", text))


def test_other_files_are_refused(tmp_path, write):
    with pytest.raises(InputError, match="cannot be read"):
        read_vectors(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="binary form"):
        read_vectors(write("v.bin", "a 1"))
    (tmp_path / "v.vec").write_bytes(b"a 1 2\nb \xff 2\n")
    with pytest.raises(InputError, match=r"line 2 of .* is not UTF-8"):
        read_vectors(tmp_path / "v.vec")
