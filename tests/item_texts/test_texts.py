"""Words of items in a prepared log: which, of whom, and what is counted."""

import polars as pl
import pytest
from item_texts.conftest import item_table, topic_log

import recsys_bert as rb
from recsys_bert.clicks.item_words import clean_texts, item_texts
from recsys_bert.errors import InputError
from recsys_bert.item_texts.texts import has_texts, texts_of

TEXT = {"text": ["title"]}


def test_columns_are_joined_in_order_and_cleaned(texts_log):
    texts, first = texts_of(texts_log), texts_log.vocabulary.first_item
    assert texts[:first] == [""] * first
    by_id = dict(zip(texts_log.items["item_id"].to_list(), texts[first:], strict=True))
    table = item_table()
    for item, title, brands in table.select("item_id", "title", "brands").rows():
        plain = title.replace("<b>", "").replace("</b>", "").replace("&amp;", "&")
        assert by_id[item] == f"{plain} {brands[0]} co"


def test_texts_without_a_letter_or_digit_are_empty():
    texts = pl.Series(["a\x00b\u200b  c\n", "&lt;p&gt;x&lt;/p&gt;", "★ – …", "", None, "x < 3 > y", "汉字", "12"])
    assert clean_texts(texts).to_list() == ["a b c", "x", "", "", "", "x < 3 > y", "汉字", "12"]


def test_items_without_text_are_counted_by_reason(capsys):
    table = pl.DataFrame(
        {"item_id": [0, 1, 2, 3, 4, 20, 20], "title": ["red", None, " NA ", "<i>!!</i>", "blue", "new", "again"]}
    )
    dataset = rb.prepare(topic_log(n_items=12), items=table, item_features=TEXT)
    counts = dataset.manifest.texts
    assert counts["columns"] == ["title"]
    assert counts["items_with_text"] == 3  # red, blue, new
    assert counts["items_not_in_the_table"] == 7  # 5 to 11
    assert counts["items_with_all_text_columns_missing"] == 2
    assert counts["items_with_text_empty_after_cleaning"] == 1
    assert counts["texts_of_items_that_are_not_in_the_log"] == 1
    line = next(line for line in capsys.readouterr().err.splitlines() if "text of title" in line)
    assert "items with text: 3; items not in the table: 7" in line
    assert dataset.manifest.side_tables["items"]["repeated_id"] == 1


def test_a_column_may_be_a_feature_and_words():
    dataset = rb.prepare(topic_log(), items=item_table(), item_features={"text": ["topic"], "categorical": ["topic"]})
    assert dataset.item_feature_sizes == {"topic": 2 + 4}
    assert set(texts_of(dataset)) == {"", "nails", "hair", "tools", "print"}


def test_a_text_column_called_like_one_of_ours():
    table = item_table().rename({"title": "count"})
    dataset = rb.prepare(topic_log(), items=table, item_features={"text": ["count"]})
    assert dataset.manifest.texts["columns"] == ["count_side"]
    assert "model 3" in " ".join(texts_of(dataset))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.Series("title", [[0.5, 1.0]] * 24), "lists of numbers"),
        (pl.Series("title", [{"a": 1}] * 24), "no words"),
        (pl.Series("title", [b"x"] * 24), "no words"),
    ],
)
def test_columns_that_are_no_words_are_refused(column, message):
    with pytest.raises(InputError, match=message):
        rb.prepare(topic_log(), items=item_table().with_columns(column), item_features=TEXT)


def test_settings_that_cannot_be_met():
    with pytest.raises(InputError, match="no column 'name'"):
        rb.prepare(topic_log(), items=item_table(), item_features={"text": ["name"]})
    with pytest.raises(InputError, match="no table of items"):
        rb.prepare(topic_log(), item_features=TEXT)
    with pytest.raises(InputError, match="twice"):
        rb.prepare(topic_log(), items=item_table(), item_features={"text": ["title", "title"]})
    with pytest.raises(InputError, match="setting"):
        rb.prepare(topic_log(), user_features=TEXT)
    dataset = rb.prepare(topic_log())
    assert not has_texts(dataset)
    with pytest.raises(InputError, match="without words"):
        texts_of(dataset)


def test_appended_logs_keep_the_words_and_count_new_ones():
    table = item_table()
    dataset = rb.prepare(topic_log(n_items=12), items=table.head(14), item_features=TEXT)
    assert dataset.manifest.texts["texts_of_items_that_are_not_in_the_log"] == 2
    today = pl.DataFrame({"user_id": [0, 1], "item_id": [13, 16], "timestamp": [10**6, 10**6]})
    grown = rb.append(dataset, today, items=table.tail(8))
    texts = dict(zip(grown.items["item_id"].to_list(), texts_of(grown)[grown.vocabulary.first_item :], strict=True))
    expected = dict(zip(table["item_id"].to_list(), item_texts(table, ["title"]).to_list(), strict=True))
    assert texts == {item: text for item, text in expected.items() if item not in (14, 15)}
    assert grown.manifest.texts["items_with_text"] == 22
    assert grown.manifest.texts["texts_of_items_that_are_not_in_the_log"] == 22 - 14
