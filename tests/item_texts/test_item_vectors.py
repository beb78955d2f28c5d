"""Text vectors of items: each way, its reduction, new texts, files, and logs that changed."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from item_texts.conftest import CountingEncoder, item_table, topic_log
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

import recsys_bert as rb
from recsys_bert.checksums import write_checksums
from recsys_bert.errors import InputError
from recsys_bert.item_texts import TEXT_VECTORS
from recsys_bert.item_texts.encoder import default_cache
from recsys_bert.item_texts.texts import texts_of
from recsys_bert.item_texts.tfidf import terms_of, words_of
from recsys_bert.item_texts.vector_files import load_item_vectors
from recsys_bert.retrieval.vector_files import save_vectors

TEXT = {"text": ["title"]}


def ready_table(width=6):
    vectors = np.random.default_rng(3).normal(size=(24, width)).astype(np.float32)
    return pl.DataFrame({"item_id": range(24), "vector": vectors.tolist()})


def sources(encoder):
    return {"encoder": encoder, "ready": ready_table()}


def topics(dataset):
    return dataset.items["item_id"].to_numpy() % 4


@pytest.mark.parametrize("by", TEXT_VECTORS)
def test_every_way_gives_unit_vectors_and_comes_back_from_disk(texts_log, encoder, by, tmp_path):
    source = sources(encoder).get(by)
    vectors = rb.item_vectors(texts_log, by=by, source=source, out=tmp_path / "out")
    first = texts_log.vocabulary.first_item
    assert vectors.rows.shape == (texts_log.n_rows, vectors.dim)
    assert vectors.rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors.rows[first:], axis=1), 1, atol=1e-5)
    assert not vectors.rows[:first].any()
    assert vectors.has.tolist() == [False] * first + [True] * 24
    loaded = load_item_vectors(tmp_path / "out", texts_log, source if by == "encoder" else None)
    np.testing.assert_array_equal(loaded.rows, vectors.rows)
    assert loaded.config == vectors.config
    assert not list((tmp_path / "out").rglob("*.pkl"))
    if by == "ready":
        with pytest.raises(InputError, match="new texts"):
            vectors.encode(["red nail polish"])
        return
    same_topic = topics(texts_log) == 0
    for some in (vectors, loaded):
        encoded = some.encode(["red nail polish lacquer", ""])
        assert not encoded[1].any()
        cosines = some.rows[first:] @ encoded[0]
        assert cosines[same_topic].mean() > cosines[~same_topic].mean() + 0.1
        assert some.encode([]).shape == (0, some.dim)
    rows = np.flatnonzero(vectors.has)[:5]
    texts = texts_of(texts_log)
    np.testing.assert_allclose(vectors.encode([texts[row] for row in rows]), vectors.rows[rows], atol=1e-4)


def test_the_sketch_keeps_the_cosines_of_tfidf(texts_log):
    texts = [text for text in texts_of(texts_log) if text]
    oracle = TfidfVectorizer(
        token_pattern=r"(?u)[^\W_]+", ngram_range=(1, 2), sublinear_tf=True, min_df=2, max_features=100_000
    ).fit_transform(texts)
    wide = rb.item_vectors(texts_log, dim=1 << 16)
    rows = wide.rows[wide.has]
    np.testing.assert_allclose(rows @ rows.T, (oracle @ oracle.T).toarray(), atol=1e-5)
    narrow = rb.item_vectors(texts_log, dim=512).rows[wide.has]
    assert np.abs(narrow @ narrow.T - rows @ rows.T).max() < 0.2


def test_words_and_characters_are_terms_by_script():
    assert words_of("Red-Nail_polish 5-Fluid Ünïcode") == ["red", "nail", "polish", "5", "fluid", "ünïcode"]
    assert words_of("红色指甲油 OPI สีแดง") == ["红", "色", "指", "甲", "油", "opi", *"สีแดง"]
    assert list(terms_of("红色 nail")) == ["红", "色", "nail", "红 色", "色 nail"]


def test_languages_without_blanks_find_each_other():
    titles = ["红色指甲油", "蓝色指甲油", "指甲油套装", "洗发水", "护发洗发水", "旅行洗发水"]
    log = pl.DataFrame(
        [(u, i, i) for u in range(6) for i in range(6)], ["user_id", "item_id", "timestamp"], orient="row"
    )
    dataset = rb.prepare(log, items=pl.DataFrame({"item_id": range(6), "title": titles}), item_features=TEXT)
    vectors = rb.item_vectors(dataset)
    rows = vectors.rows[dataset.rows(list(range(6)))]
    cosines = rows @ vectors.encode(["指甲油"])[0]
    assert cosines[:3].min() > cosines[3:].max() + 0.3


def test_whitening_parts_vectors_that_stand_close_together(texts_log, encoder):
    raw = encoder.encode([text for text in texts_of(texts_log) if text])
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    assert (raw @ raw.T).mean() > 0.6
    for whiten in (0.0, 1.0):
        vectors = rb.item_vectors(texts_log, by="encoder", source=encoder, dim=8, whiten=whiten)
        rows = vectors.rows[vectors.has]
        assert abs((rows @ rows.T).mean()) < 0.1
    centred = vectors.reduction.mean
    np.testing.assert_allclose(vectors.reduction.components.shape, (len(centred), 8))


def test_an_encoder_runs_once_for_each_text(texts_log, encoder, capsys):
    first = rb.item_vectors(texts_log, by="encoder", source=encoder)
    assert encoder.n_encoded == 24
    second = rb.item_vectors(texts_log, by="encoder", source=encoder)
    assert encoder.n_encoded == 24
    np.testing.assert_array_equal(first.rows, second.rows)
    other = CountingEncoder("two", 3.0)
    assert not np.array_equal(rb.item_vectors(texts_log, by="encoder", source=other).rows, first.rows)
    assert other.n_encoded == 24
    assert (
        rb.item_vectors(texts_log, by="encoder", source=encoder, options={"cache": ""}).rows.shape == first.rows.shape
    )
    assert encoder.n_encoded == 48
    capsys.readouterr()
    rb.item_vectors(texts_log, by="encoder", source=encoder.encode)
    assert "no digest" in capsys.readouterr().err


def test_a_damaged_cache_is_made_again(texts_log, encoder, tmp_path, capsys):
    first = rb.item_vectors(texts_log, by="encoder", source=encoder)
    (cache_file,) = (tmp_path / "cache").rglob("vectors.npy")
    cache_file.write_bytes(cache_file.read_bytes()[:-4] + b"oops")
    again = rb.item_vectors(texts_log, by="encoder", source=encoder)
    assert "made again" in capsys.readouterr().err
    assert encoder.n_encoded == 48
    np.testing.assert_array_equal(first.rows, again.rows)


def test_a_changed_encoder_is_noticed(texts_log, encoder, tmp_path):
    rb.item_vectors(texts_log, by="encoder", source=encoder, out=tmp_path / "out")
    with pytest.raises(InputError, match="text encoder changed"):
        load_item_vectors(tmp_path / "out", texts_log, CountingEncoder("two"))
    without = load_item_vectors(tmp_path / "out", texts_log)
    assert not without.can_encode
    with pytest.raises(InputError, match="not at hand"):
        without.encode(["red"])


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda texts: np.ones((len(texts) - 1, 4)), r"array \[23, 4\]"),
        (lambda texts: np.full((len(texts), 4), np.nan), "finite"),
        (lambda texts: np.ones(len(texts)), r"array \[24\]"),
    ],
)
def test_encoders_that_give_no_vectors(texts_log, encode, message):
    with pytest.raises(InputError, match=message):
        rb.item_vectors(texts_log, by="encoder", source=encode)


def test_texts_that_say_nothing_take_no_encoder(texts_log, encoder):
    for source in (encoder, encoder.encode):  # with a digest, so kept on disk, and without
        vectors = rb.item_vectors(texts_log, by="encoder", source=source)
        np.testing.assert_array_equal(vectors.encode(["", "<br>"]), np.zeros((2, vectors.dim)))
        shutil.rmtree(default_cache(), ignore_errors=True)
        np.testing.assert_array_equal(vectors.encode(["..."]), np.zeros((1, vectors.dim)))


def test_word_vectors_of_a_table_are_means_by_frequency(texts_log):
    class Table:
        table = np.eye(3, dtype=np.float32)

        def rows(self, words):
            return np.array(
                [["nail", "polish", "model"].index(w) if w in ("nail", "polish", "model") else -1 for w in words]
            )

    vectors = rb.item_vectors(texts_log, by="words", source=Table(), whiten=0.0, options={"smoothing": 0.01})
    counts = {
        word: sum(re.findall(r"\w+", text).count(word) for text in texts_of(texts_log))
        for word in ("nail", "polish", "model")
    }
    total = sum(len(words_of(text)) for text in texts_of(texts_log))
    weight = {word: 0.01 / (0.01 + n / total) for word, n in counts.items()}
    expected = np.array([weight["nail"] / 2, 0, weight["model"] / 2])
    encoded = vectors.encode(["nail MODEL"])[0]
    np.testing.assert_allclose(encoded, expected / np.linalg.norm(expected), rtol=1e-5)


@pytest.mark.parametrize("model", ["ppmi", "skip_gram", "cbow", "glove"])
def test_word_vectors_are_trained_on_the_items_texts(texts_log, model):
    vectors = rb.item_vectors(texts_log, by="words", options={"model": model, "width": 8})
    assert vectors.has.sum() == 24


def test_ready_vectors_are_joined_by_id_and_counted(texts_log, tmp_path):
    table = ready_table()
    extra = pl.DataFrame({"item_id": [5, 99, None], "vector": [[9.0] * 6] * 3})
    vectors = rb.item_vectors(texts_log, by="ready", source=pl.concat([table.filter(pl.col("item_id") != 7), extra]))
    reasons = {"of_unknown_items": 1, "repeated_id": 1, "without_usable_id": 1, "items_without_ready_vector": 1}
    assert {name: n for name, n in vectors.counts.items() if n} == {"items_with_vector": 23, **reasons}
    row = int(texts_log.rows([5])[0])
    expected = np.array(table["vector"][5], np.float32)
    np.testing.assert_allclose(vectors.rows[row], expected / np.linalg.norm(expected), rtol=1e-5)
    assert not vectors.has[texts_log.rows([7])[0]]
    forms = {}
    for form in ("parquet", "npy"):
        path = save_vectors(
            table.with_columns(pl.col("vector").cast(pl.Array(pl.Float32, 6))), tmp_path, "items", form
        )[0]
        forms[form] = rb.item_vectors(texts_log, by="ready", source=path).rows
    wide = pl.DataFrame({"item_id": table["item_id"], **{f"x{n}": table["vector"].list.get(n) for n in range(6)}})
    forms["columns"] = rb.item_vectors(texts_log, by="ready", source=wide).rows
    for rows in forms.values():
        np.testing.assert_allclose(rows, forms["parquet"], rtol=1e-6)
    assert rb.item_vectors(texts_log, by="ready", source=table, dim=3).dim == 3


def _with(position, value):
    vectors = ready_table()["vector"].to_list()
    vectors[position] = value
    return pl.DataFrame({"item_id": range(24), "vector": vectors})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (_with(3, [1.0, 2.0]), "1 vectors have not the width 6"),
        (_with(4, [float("nan")] * 6), "1 hold NaN"),
        (_with(4, [float("inf")] * 6), "that of id 4"),
        (ready_table().with_columns(pl.col("item_id") + 1000), "no id of the ready vectors is in the log"),
        (ready_table().with_columns(pl.format("i{}", "item_id").alias("item_id")), "of the log's type"),
        (pl.DataFrame({"item_id": [1], "name": ["a"]}), "no vectors"),
    ],
)
def test_ready_vectors_that_cannot_be_used(texts_log, table, message):
    with pytest.raises(InputError, match=message):
        rb.item_vectors(texts_log, by="ready", source=table)


def test_bad_ready_vectors_can_be_missing(texts_log):
    table = _with(3, [1.0, 2.0])
    vectors = rb.item_vectors(texts_log, by="ready", source=table, options={"bad_numbers": "missing"})
    assert vectors.counts["of_another_width"] == 1
    assert not vectors.has[texts_log.rows([3])[0]]


def test_npy_files_that_cannot_be_used(texts_log, tmp_path):
    np.save(tmp_path / "v.npy", np.ones((24, 3)))
    with pytest.raises(InputError, match=r"v_ids\.csv"):
        rb.item_vectors(texts_log, by="ready", source=tmp_path / "v.npy")
    pl.DataFrame({"item_id": range(23)}).write_csv(tmp_path / "v_ids.csv")
    with pytest.raises(InputError, match=r"24 vectors, v_ids\.csv 23 ids"):
        rb.item_vectors(texts_log, by="ready", source=tmp_path / "v.npy")
    np.save(tmp_path / "v.npy", np.array([{}] * 24), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        rb.item_vectors(texts_log, by="ready", source=tmp_path / "v.npy")
    with pytest.raises(InputError, match="no option 'ids'"):
        rb.item_vectors(texts_log, by="ready", source=tmp_path / "v.npy", options={"ids": "x"})


def test_items_that_came_later_and_texts_that_changed(encoder, tmp_path, capsys):
    table = item_table()
    dataset = rb.prepare(topic_log(n_items=12), items=table.head(14), item_features=TEXT)
    for by, source in (("tfidf", None), ("encoder", encoder)):
        rb.item_vectors(dataset, by=by, source=source, out=tmp_path / by)
    today = pl.DataFrame({"user_id": [0, 1, 2], "item_id": [13, 16, 3], "timestamp": [10**6] * 3})
    changed = pl.concat([table.tail(8), table.slice(3, 1).with_columns(title=pl.lit("steel hammer"))])
    grown = rb.append(dataset, today, items=changed)
    capsys.readouterr()
    vectors = load_item_vectors(tmp_path / "tfidf", grown)
    message = capsys.readouterr().err
    assert f"{vectors.counts['items_that_came_later']} items came after the text vectors" in message
    assert "the texts of 1 items changed" in message
    np.testing.assert_allclose(vectors.rows[grown.rows([3])], vectors.encode(["steel hammer"]), atol=1e-6)
    texts = texts_of(grown)
    assert vectors.has.tolist() == [bool(text) for text in texts]
    for item in (0, 13, 16):  # wherever its row is now
        row = int(grown.rows([item])[0])
        np.testing.assert_allclose(vectors.rows[row], vectors.encode([texts[row]])[0], atol=1e-6)
    without = load_item_vectors(tmp_path / "encoder", grown)
    message = capsys.readouterr().err
    assert "they have no text vector" in message
    assert "of their earlier texts" in message
    assert not without.has[grown.rows([16])[0]]
    other = rb.prepare(topic_log().with_columns(pl.col("item_id") + 500))
    with pytest.raises(InputError, match="another log"):
        load_item_vectors(tmp_path / "tfidf", other)


def test_what_others_put_into_the_folder_is_not_lost(texts_log, tmp_path):
    out = tmp_path / "vectors"
    for by in ("words", "tfidf", "words"):  # one replaces the other
        rb.item_vectors(texts_log, by=by, out=out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds other things as well \(notes.txt\)"):
        rb.item_vectors(texts_log, out=out)
    assert (out / "notes.txt").read_text() == "mine"


def test_one_process_writes_item_vectors_at_a_time(texts_log, tmp_path):
    def encode(texts):
        with ThreadPoolExecutor(1) as other:
            other.submit(rb.item_vectors, texts_log, out=tmp_path / "vectors").result()

    with pytest.raises(InputError, match="is being written by"):
        rb.item_vectors(texts_log, by="encoder", source=encode, out=tmp_path / "vectors")


def test_files_that_were_changed_are_refused(texts_log, tmp_path):
    rb.item_vectors(texts_log, dim=32, out=tmp_path / "out")
    vectors = np.load(tmp_path / "out" / "vectors.npy")
    np.save(tmp_path / "out" / "vectors.npy", vectors * 2)
    with pytest.raises(InputError, match="damaged"):
        load_item_vectors(tmp_path / "out", texts_log)
    np.save(tmp_path / "out" / "vectors.npy", vectors[:, :8])
    write_checksums(tmp_path / "out")
    with pytest.raises(InputError, match="8 wide"):
        load_item_vectors(tmp_path / "out", texts_log)
    with pytest.raises(InputError, match="no item vectors"):
        load_item_vectors(tmp_path, texts_log)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(InputError, match="holds no item vectors"):
        rb.item_vectors(texts_log, out=tmp_path / "mine")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "tfdif"}, "did you mean 'tfidf'"),
        ({"dim": 0}, "at least 1"),
        ({"whiten": 2.0}, r"\[0, 1\]"),
        ({"whiten": 0.5}, "sketch"),
        ({"by": "encoder"}, "no encoder"),
        ({"by": "encoder", "source": "folder"}, "is a path"),
        ({"by": "encoder", "source": 3}, "a int"),
        ({"by": "words", "source": 3}, "a int"),
        ({"by": "tfidf", "source": 3}, "leave the source out"),
        ({"by": "ready"}, "need a source"),
        ({"by": "words", "reduction": "sketch"}, "dense"),
        ({"options": {"min_itmes": 1}}, "min_itmes"),
        ({"options": {"min_items": 0}}, "at least 1"),
    ],
)
def test_settings_that_do_not_fit(texts_log, settings, message):
    with pytest.raises(InputError, match=message):
        rb.item_vectors(texts_log, **settings)


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 64},
        {"reduction": "svd"},
        {"seed": 1},
        {"options": {"min_items": 1}},
        {"options": {"max_terms": 5}},
        {"reduction": "svd", "whiten": 1.0},
        {"by": "words", "options": {"window": 1}},
        {"by": "words", "options": {"min_count": 3}},
        {"by": "words", "options": {"smoothing": 0.0}},
        {"by": "words", "whiten": 0.0},
        {"by": "words", "options": {"model": "glove", "width": 4, "seed": 3}},
    ],
)
def test_every_setting_has_an_effect(texts_log, changes):
    base = {name: changes[name] for name in ("by", "reduction") if name in changes and len(changes) > 1}
    if "model" in changes.get("options", {}):
        base["options"] = {**changes["options"], "seed": 1}
    before, after = (rb.item_vectors(texts_log, **settings).rows for settings in (base, changes))
    assert before.shape != after.shape or not np.allclose(before, after, atol=1e-4)


def other_log(tmp_path):
    """A log of garden tools, no word of which is in the other one's items."""
    items = pl.DataFrame({"item_id": range(6), "title": [f"spade garden rake{n % 2}" for n in range(6)]})
    events = pl.DataFrame({"user_id": np.repeat(range(4), 6), "item_id": [*range(6)] * 4, "timestamp": range(24)})
    return rb.prepare(events, items=items, item_features={"text": ["title"]}, out=tmp_path / "garden")


def test_a_map_is_fitted_on_the_words_of_several_logs(texts_log, tmp_path):
    other = other_log(tmp_path)
    alone = rb.item_vectors(texts_log, reduction="svd", dim=8)
    both = rb.item_vectors(texts_log, others=[other], reduction="svd", dim=8)
    first = other.vocabulary.first_item
    assert not alone.encode_log(other).any()
    assert both.encode_log(other)[first:].any(axis=1).all()
    texts = texts_of(texts_log) + texts_of(other)
    texts = [text for text in texts if text]
    weights = TfidfVectorizer(analyzer=terms_of, sublinear_tf=True, min_df=2).fit(texts)
    np.testing.assert_allclose(both.way.state()["idf"], weights.idf_)
    oracle = TruncatedSVD(8, algorithm="arpack", random_state=0).fit(weights.transform(texts))
    expected = oracle.transform(weights.transform([texts[0], texts[-1]]))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    got = both.encode([texts[0], texts[-1]])
    np.testing.assert_allclose(got @ got.T, expected @ expected.T, atol=1e-2)
    assert both.counts["items_of_other_logs"] == 6


def test_other_logs_that_cannot_be_read_are_refused(texts_log, tmp_path):
    with pytest.raises(InputError, match="others is a ClickDataset; give a list"):
        rb.item_vectors(texts_log, others=texts_log)
    frame = pl.DataFrame({"item_id": [0, 1], "vector": [[1.0, 0.0], [0.0, 1.0]]})
    with pytest.raises(InputError, match="have no map of texts that could be fitted on other logs"):
        rb.item_vectors(texts_log, by="ready", source=frame, others=[texts_log])
