"""Pages: what users wrote reaches them as text only."""

import base64
import json
import re

import numpy as np

from recsys_bert.pages.page import packed, render, write_page

NASTY = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "{{script}}",
    "\u202eabc\x1b[31m",
    '日本 & "q" \'',
]


def data_of(page):
    """Data of a page, read as a browser does: up to the first end of the element."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_texts_of_users_stay_text():
    page = render("map", NASTY[0], {"titles": NASTY, "columns": {NASTY[1]: {}}})
    data = data_of(page)
    assert [title for title in data["titles"] if title not in NASTY] == ["\\u202eabc\\u001b[31m"]
    assert list(data["columns"]) == [NASTY[1]]
    assert page.count("<script") == 2
    assert "<img" not in page
    assert "<title>&lt;script&gt;alert(1)&lt;/script&gt;</title>" in page
    assert "\u202e" not in page
    assert not re.search(r"https?://|\{\{(?!script\}\})", page)  # no network; the mark within the data


def test_numbers_are_packed_for_typed_arrays():
    assert np.frombuffer(base64.b64decode(packed([[1.5, -2]], "float32")), "<f4").tolist() == [1.5, -2]


def test_a_page_is_written_whole(tmp_path):
    write_page(tmp_path / "page.html", "half \ud800")
    assert (tmp_path / "page.html").read_bytes() == b"half ?"
