import dataclasses
import gzip
import hashlib
import http.server
import io
import json
import threading
import zipfile

import pytest

from pipelines import download as pipeline
from recsys_bert.clicks import download
from recsys_bert.clicks import download_sources as sources
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.download import accept_licence, fetch, unpack
from recsys_bert.clicks.download_sources import Source
from recsys_bert.errors import InputError

BODY = bytes(range(256)) * 4_000


class Publisher(http.server.BaseHTTPRequestHandler):
    """Serves ``server.body``; breaks off after each number of bytes in ``server.breaks``."""

    def do_GET(self):
        server, body = self.server, self.server.body
        server.ranges.append(self.headers.get("Range"))
        if server.status:
            self.send_error(server.status)
            return
        start = 0
        requested = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, server.etag)
        if requested and same and server.resumes:
            start = int(requested.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = server.breaks.pop(0) if server.breaks else len(body)
        self.wfile.write(body[start:end])
        self.wfile.flush()

    def log_message(self, *args):
        pass


@pytest.fixture
def publisher(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "_WAIT_S", 0.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        server.daemon_threads = True
        server.body, server.etag, server.breaks, server.ranges = BODY, '"one"', [], []
        server.status, server.resumes = 0, True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def source(publisher):
    return Source(
        about="a set",
        url=f"http://127.0.0.1:{publisher.server_port}/files/set.bin",
        page="http://example.org/set",
        licence="Research only.",
        size=len(BODY),
        sha256=hashlib.sha256(BODY).hexdigest(),
    )


def without_checksum(source):
    return dataclasses.replace(source, sha256=None, size=None)


def test_a_whole_file_arrives_and_is_not_fetched_again(source, publisher, tmp_path):
    target = fetch(source, tmp_path / "new")
    assert target.read_bytes() == BODY
    assert [file.name for file in target.parent.iterdir()] == ["set.bin"]
    fetch(source, tmp_path / "new")
    assert publisher.ranges == [None]


def test_a_connection_broken_midway_goes_on_from_there(source, publisher, tmp_path):
    publisher.breaks = [100_000, 700_000]
    assert fetch(source, tmp_path).read_bytes() == BODY
    assert publisher.ranges == [None, "bytes=100000-", "bytes=700000-"]


def test_a_broken_download_is_resumed_by_the_next_call(source, publisher, tmp_path):
    publisher.breaks = [1_000, 2_000, 3_000, 4_000, 5_000]
    with pytest.raises(
        InputError, match=r"cannot be read .*5,000 bytes are in .*set\.bin\.part; run the command again"
    ):
        fetch(source, tmp_path)
    assert not (tmp_path / "set.bin").exists()
    assert fetch(source, tmp_path).read_bytes() == BODY
    assert publisher.ranges[-1] == "bytes=5000-"


@pytest.mark.parametrize("resumes", [True, False])
def test_a_file_replaced_in_between_is_read_from_the_start(source, publisher, tmp_path, resumes):
    publisher.breaks = [1_000] * 5
    source = without_checksum(source)
    with pytest.raises(InputError):
        fetch(source, tmp_path)
    publisher.body, publisher.etag, publisher.resumes = BODY[::-1], '"two"', resumes
    assert fetch(source, tmp_path).read_bytes() == BODY[::-1]


def test_without_version_and_checksum_nothing_is_resumed(source, publisher, tmp_path):
    publisher.etag = ""
    publisher.breaks = [1_000]
    assert fetch(without_checksum(source), tmp_path).read_bytes() == BODY
    assert publisher.ranges == [None, None]


def test_a_file_that_shrank_is_read_again(source, publisher, tmp_path):
    publisher.breaks = [600_000] * 5
    source = without_checksum(source)
    with pytest.raises(InputError):
        fetch(source, tmp_path)
    publisher.body = BODY[:500_000]  # under the same tag: the server answers 416
    assert fetch(source, tmp_path).read_bytes() == BODY[:500_000]


def test_a_wrong_checksum_removes_the_download(source, tmp_path):
    wrong = dataclasses.replace(source, sha256="0" * 64)
    with pytest.raises(InputError, match=rf"SHA-256 {source.sha256}, not 0000.*It was removed"):
        fetch(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_publishers_md5_is_checked_too(source, tmp_path):
    good = dataclasses.replace(source, md5=hashlib.md5(BODY, usedforsecurity=False).hexdigest())
    assert fetch(good, tmp_path / "good").exists()
    with pytest.raises(InputError, match="MD5"):
        fetch(dataclasses.replace(source, md5="0" * 32), tmp_path / "bad")


def test_a_damaged_file_that_was_there_is_named_and_left(source, tmp_path):
    (tmp_path / "set.bin").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"Remove .*set\.bin and run"):
        fetch(source, tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == b"something else"


def test_a_file_of_another_size_is_refused_before_it_is_read(source, tmp_path):
    with pytest.raises(InputError, match=r"has 1,024,000 bytes, not the 7 expected"):
        fetch(dataclasses.replace(source, size=7), tmp_path)
    assert not (tmp_path / "set.bin.part").exists()


def test_an_unpublished_checksum_is_recorded_at_the_first_download(source, publisher, tmp_path, capsys):
    source = without_checksum(source)
    target = fetch(source, tmp_path)
    digest = hashlib.sha256(BODY).hexdigest()
    assert (tmp_path / "set.bin.sha256").read_text() == f"{digest}  set.bin\n"
    assert digest in capsys.readouterr().err
    target.unlink()
    publisher.body = BODY + b"!"
    with pytest.raises(InputError, match=rf"not {digest} \(recorded at the first download"):
        fetch(source, tmp_path)
    assert not target.exists()


def test_a_missing_file_is_said_at_once(source, publisher, tmp_path):
    publisher.status = 404
    with pytest.raises(InputError, match=r"set\.bin answers 404 Not Found\. See http://example\.org/set"):
        fetch(source, tmp_path)
    assert len(publisher.ranges) == 1


def test_a_failing_server_is_tried_again(source, publisher, tmp_path):
    publisher.status = 503
    with pytest.raises(InputError, match="answers 503"):
        fetch(source, tmp_path)
    assert len(publisher.ranges) == 5


def test_nobody_listening_is_an_error_with_the_way_out(source, publisher, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    closed = dataclasses.replace(source, url="http://127.0.0.1:9/set.bin")
    with pytest.raises(InputError, match=r"or put the file there yourself as .*set\.bin"):
        fetch(closed, tmp_path)


def test_an_unwritable_folder_is_named(source, publisher, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*set\.bin"):
        fetch(source, tmp_path / "file" / "below")
    with pytest.raises(InputError, match=r"cannot write .*LICENCE"):
        accept_licence("set", source, tmp_path / "file" / "below", yes=True)
    assert publisher.ranges == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_licence_is_shown_with_size_and_checksum_and_asked_for_once(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", Terminal())
    answers = ["no", "y"]
    with pytest.raises(InputError, match="licence of set was not accepted; nothing was downloaded"):
        accept_licence("set", source, tmp_path, yes=False, ask=lambda _: answers.pop(0))
    message = capsys.readouterr().err
    assert "Research only." in message
    assert "1,024,000 bytes" in message
    assert source.sha256 in message
    for _ in range(2):
        accept_licence("set", source, tmp_path, yes=False, ask=lambda _: answers.pop(0))
    assert answers == []
    changed = dataclasses.replace(source, licence="Other terms.")
    with pytest.raises(InputError, match="not accepted"):
        accept_licence("set", changed, tmp_path, yes=False, ask=lambda _: "")


def test_without_a_terminal_the_licence_needs_yes(source, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(InputError, match="pass --yes"):
        accept_licence("set", source, tmp_path, yes=False)
    accept_licence("set", source, tmp_path, yes=True)
    assert (tmp_path / "LICENCE.txt").read_text() == "Research only.\n"


def zipped(entries):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return packed.getvalue()


def test_only_the_named_members_are_unpacked_and_into_the_folder(source, tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"../../a.csv": "1", "x/b.csv": "2", "x/c.csv": "3"}))
    unpack(dataclasses.replace(source, members=("../../a.csv", "x/b.csv")), archive, tmp_path / "one" / "raw")
    assert sorted(file.name for file in (tmp_path / "one" / "raw").iterdir()) == ["a.csv", "b.csv"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip", "one"]


def test_what_cannot_be_unpacked_leaves_no_folder(source, tmp_path):
    link = zipfile.ZipInfo("x/link")
    link.external_attr = 0o120777 << 16
    good = zipped({"x/b.csv": "2" * 1_000})
    cases = {
        "There is no item named": (good, "x/other.csv"),
        "is not a plain file": (zipped({link: "/etc/passwd"}), "x/link"),
        "is not a zip file": (b"<html>not found</html>", "x/b.csv"),
        "Bad CRC-32|cannot be unpacked": (good.replace(b"\x4b", b"\x4c", 1), "x/b.csv"),
    }
    for message, (content, member) in cases.items():
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(InputError, match=message):
            unpack(dataclasses.replace(source, members=(member,)), tmp_path / "a.zip", tmp_path / "raw")
        assert not (tmp_path / "raw").exists()


def ratings(separator, header=""):
    rows = [(user, 10 + (user + step) % 7, 3, 900_000_000 + 60 * step) for user in range(1, 6) for step in range(5)]
    return header + "".join(separator.join(map(str, row)) + "\n" for row in rows)


def movies(separator, genres, header=""):
    return header + "".join(f"{item}{separator}Café {item} (1995){separator}{genres}\n" for item in range(10, 17))


def archive_of(name):
    if name == "ml-100k":
        flags = "|".join(["0", "1", "1"])
        users = "".join(f"{user}|2{user}|F|writer|12345\n" for user in range(1, 6))
        item = movies("|", f"01-Jan-1995||http://x|{flags}").encode("latin-1")
        genre = "unknown|0\nAction|1\nComedy|2\n\n"
        files = {"u.data": ratings("\t"), "u.item": item, "u.user": users, "u.genre": genre, "README": "r"}
    elif name == "ml-1m":
        users = "".join(f"{user}::F::25::3::12345\n" for user in range(1, 6))
        item = movies("::", "Action|Comedy").encode("latin-1")
        files = {"ratings.dat": ratings("::"), "movies.dat": item, "users.dat": users, "README": "r"}
    else:
        table = movies(",", "Action|Comedy", "movieId,title,genres\n")
        files = {"ratings.csv": ratings(",", "userId,movieId,rating,timestamp\n"), "movies.csv": table}
        files["README.txt"] = "r"
    return zipped({f"{name}/{file}": text for file, text in files.items()})


@pytest.mark.parametrize("name", ["ml-100k", "ml-1m", "ml-20m", "ml-32m"])
def test_a_movielens_archive_goes_straight_into_prepare(publisher, tmp_path, monkeypatch, name):
    publisher.body = archive_of(name)
    url = f"http://127.0.0.1:{publisher.server_port}/{name}.zip"
    local = dataclasses.replace(sources.SOURCES[name], url=url, size=None, md5=None, sha256=None)
    monkeypatch.setitem(sources.SOURCES, name, local)
    config = pipeline.Config(name=name, out=tmp_path, yes=True)
    pipeline.run(config)
    dataset = open_dataset(tmp_path / name / "prepared")
    assert dataset.histories.n_users == 5
    assert dataset.histories.items.size == 25
    assert dataset.vocabulary.item_ids.drop_nulls().sort().to_list() == list(range(10, 17))
    assert dataset.item_feature_sizes["genres"] == 4  # none, unknown, Action, Comedy
    assert ("occupation" in dataset.user_features) == (name in ("ml-100k", "ml-1m"))
    titles = dataset.items["title"].drop_nulls().to_list()
    assert "Café 10 (1995)" in titles
    pipeline.run(config)  # once more: nothing is fetched or asked again
    assert len(publisher.ranges) == 1


def test_gzipped_reviews_go_straight_into_prepare(publisher, tmp_path, monkeypatch):
    lines = [
        json.dumps(
            {"reviewerID": f"A{user}", "asin": f"B{step}", "overall": 5.0, "unixReviewTime": 1_400_000_000 + step}
        )
        for user in range(3)
        for step in range(4)
    ]
    publisher.body = gzip.compress("\n".join(lines).encode())
    url = f"http://127.0.0.1:{publisher.server_port}/reviews_Beauty_5.json.gz"
    local = dataclasses.replace(sources.SOURCES["amazon-beauty"], url=url)
    monkeypatch.setitem(sources.SOURCES, "amazon-beauty", local)
    pipeline.run(pipeline.Config(name="amazon-beauty", out=tmp_path, yes=True))
    assert open_dataset(tmp_path / "amazon-beauty" / "prepared").histories.items.size == 12


SHEET = '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
RETAIL = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")


def sheet_of(rows, texts):
    """XML of a sheet as Excel writes it: texts by number, empty cells left out."""
    parts = [SHEET]
    for number, row in enumerate(rows, start=1):
        parts.append(f'<row r="{number}">')
        for column, value in zip("ABCDEFGH", row, strict=True):
            if isinstance(value, str):
                texts.append(value)
                parts.append(f'<c r="{column}{number}" t="s"><v>{len(texts) - 1}</v></c>')
            elif value is not None:
                parts.append(f'<c r="{column}{number}" s="1"><v>{value!r}</v></c>')
        parts.append("</row>")
    return "".join(parts) + "</sheetData></worksheet>"


def retail_archive():
    """Two sheets: five customers who buy articles 10 to 14, a cancellation, and a line without a customer."""
    day = 40_000 + 17 / 48  # 2009-07-06 08:30
    lines = [
        (489_434, 85_000 + n, f"CAFÉ & TEA {n}", 12, day + n, 6.95, 13_085 + user, "UK")
        for user in range(5)
        for n in range(5)
    ]
    odd = [
        ("C489449", 85_000, "CAFÉ & TEA 0", -12, day + 9, 2.95, 13_085, "UK"),
        (489_450, "79323P", None, 1, day, 0, None, "UK"),
    ]
    texts: list[str] = []
    sheets = [sheet_of([RETAIL, *lines[:12]], texts), sheet_of([RETAIL, *lines[12:], *odd], texts)]
    escaped = "".join(f"<si><t>{text.replace('&', '&amp;')}</t></si>" for text in texts)
    shared = f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{escaped}</sst>'
    book = {f"xl/worksheets/sheet{n}.xml": sheet for n, sheet in enumerate(sheets, start=1)}
    return zipped({"online_retail_II.xlsx": zipped({"xl/sharedStrings.xml": shared, **book})})


def test_a_spreadsheet_goes_straight_into_prepare(publisher, tmp_path, monkeypatch):
    publisher.body = retail_archive()
    url = f"http://127.0.0.1:{publisher.server_port}/online+retail+ii.zip"
    monkeypatch.setitem(
        sources.SOURCES, "online-retail-ii", dataclasses.replace(sources.SOURCES["online-retail-ii"], url=url)
    )
    pipeline.run(pipeline.Config(name="online-retail-ii", out=tmp_path, yes=True))
    dataset = open_dataset(tmp_path / "online-retail-ii" / "prepared")
    assert dataset.user_ids.to_list() == [str(13_085 + user) for user in range(5)]
    assert dataset.manifest.filters[0]["reasons"] == {"no user": 1, "event type dropped": 1}
    assert dataset.histories.items.size == 25
    assert dataset.histories.times[:2].tolist() == [1_246_869_000, 1_246_869_000 + 86_400]
    assert dataset.items.filter(item_id="85001")["title"].item() == "CAFÉ & TEA 1"


def test_known_sets_are_listed_and_an_unknown_one_is_refused(tmp_path, capsys):
    pipeline.run(pipeline.Config())
    assert set(sources.SOURCES) == {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    with pytest.raises(InputError, match="did you mean 'ml-1m'"):
        pipeline.run(pipeline.Config(name="ml1m", out=tmp_path))


@pytest.mark.parametrize("name", sources.SOURCES)
def test_every_set_states_licence_and_a_wellformed_checksum(name):
    source = sources.SOURCES[name]
    assert source.url.startswith("https://")
    assert "cite" in source.licence
    for value, length in ((source.sha256, 64), (source.md5, 32)):
        assert value is None or (len(value) == length and int(value, 16) >= 0)
    assert (source.sha256 is None) == (source.size is None)
