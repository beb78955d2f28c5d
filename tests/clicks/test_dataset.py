import json
import shutil

import pytest

from recsys_bert.checksums import write_checksums
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.errors import InputError

LOG = [(user, item, user + item) for user in (1, 2, 3) for item in (10, 20, 30, 40)]


@pytest.fixture
def dataset(prepare):
    return prepare(LOG)


def edit(dataset, **values):
    path = dataset.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")
    write_checksums(dataset.folder)


def test_opened_again_it_is_the_same(dataset):
    again = open_dataset(dataset.folder)
    assert again.manifest == dataset.manifest
    assert again.n_rows == again.vocabulary.size == 3 + 2
    assert again.has_times
    assert again.user_ids.to_list() == [1, 2, 3]
    assert again.items.columns == ["item_row", "item_id", "count"]
    assert again.item_features == {}


def test_users_are_found_by_id(dataset):
    assert dataset.user_rows([3, 1]).tolist() == [2, 0]
    with pytest.raises(InputError, match=r"1 of 2 users are not in .*: 9"):
        dataset.user_rows([1, 9])


def test_a_run_on_other_rows_is_refused(dataset):
    assert dataset.known_to(dataset.fingerprint) is dataset
    with pytest.raises(InputError, match="trained on the vocabulary 0123"):
        dataset.known_to("0123")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema": 99}, "schema version 99; this version reads 3"),
        ({"kind": "a web page"}, "not the manifest of a prepared click log"),
        ({"surprise": 1}, "does not fit: .*surprise"),
        ({"counts": {"users": 3, "events": 11}}, "it has 12 events, not 11"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_with_the_reason(dataset, values, message):
    edit(dataset, **values)
    with pytest.raises(InputError, match=message):
        open_dataset(dataset.folder)


def test_files_of_two_runs_do_not_mix(dataset, prepare):
    other = prepare(LOG[:8], "other")
    shutil.copy(other.folder / "histories.arrow", dataset.folder)
    with pytest.raises(InputError, match=r"histories\.arrow is damaged"):
        open_dataset(dataset.folder)
    write_checksums(dataset.folder)  # as somebody who means it
    with pytest.raises(InputError, match="it has 2 users, not 3"):
        open_dataset(dataset.folder)


@pytest.mark.parametrize("name", ["histories.arrow", "vocabulary.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
def test_damaged_or_missing_files_are_refused(dataset, name, damage):
    path = dataset.folder / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-60] if damage == "cut" else b"")
    with pytest.raises(InputError, match=name):
        open_dataset(dataset.folder)


def test_a_folder_that_is_not_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match="was not made by prepare"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        open_dataset(tmp_path / "nowhere")


def test_a_dataset_shows_its_counts_and_features(side_log):
    counts = side_log.manifest.counts
    text, html = repr(side_log), side_log._repr_html_()
    assert f"40 users · {counts['items']} items" in text
    assert "split leave_one_out: training" in text
    assert "item features kind, tags\nuser features age" in text
    assert "<tr><th>users</th><td>40</td></tr>" in html
    assert "<tr><th>item features</th><td>kind, tags</td></tr>" in html


def test_a_history_is_a_list_of_ids(prepare):
    rows = [(7, 30, 3), (7, 10, 1), (7, 20, 2), (5, 10, 1)]
    assert prepare(rows).history(7) == [10, None, None]  # the held-out items have no training event, hence no row
    with pytest.raises(InputError, match="1 of 1 users are not in"):
        prepare(rows).history(6)
