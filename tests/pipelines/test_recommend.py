"""recommend, similar and index from the command line, on an encoder with random weights."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from pipelines import prepare, recommend
from pipelines.cli import main
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.queries import Queries
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval import exact
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.load import open_run
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, save_encoder

N_ITEMS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``data`` prepared from 30 users of 5 to 20 events on items i0 … i39 with titles, and two runs on it."""
    folder = tmp_path_factory.mktemp("recommend")
    rng = np.random.default_rng(0)
    events = [
        (f"u{user}", f"i{item}", 1_700_000_000 + position)
        for user in range(30)
        for position, item in enumerate([user, *rng.choice(N_ITEMS, rng.integers(5, 20), replace=False)])
    ]
    events += [("last", f"i{item}", 1_700_000_000) for item in range(N_ITEMS)]  # has seen them all
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(folder / "log.parquet")
    titles = pl.DataFrame(
        {"item_id": [f"i{n}" for n in range(N_ITEMS)], "title": [f"Film {n}" for n in range(N_ITEMS)]}
    )
    titles.write_csv(folder / "items.csv")
    events = str(folder / "log.parquet")
    prepare.run(prepare.Config(events=events, out=folder / "data", items=folder / "items.csv"))
    for seed, name in enumerate(["run", "other"]):
        write_run(folder / name, open_dataset(folder / "data"), seed)
    return folder


def write_run(run, dataset, seed, similarity="dot", **settings):
    torch.manual_seed(seed)
    size = dataset.vocabulary.size
    config = EncoderConfig(vocab_size=size, dim=8, n_layers=1, max_len=12, attention="causal", init_std=1.0, **settings)
    prediction = TokenPrediction(
        Encoder(config), LossConfig(similarity=similarity), first_row=dataset.vocabulary.first_item
    )
    (run / "encoder").mkdir(parents=True)
    save_encoder(run / "encoder", PretrainedEncoder(prediction, "next_item"), dataset)


@pytest.fixture
def call(folder, capsys, monkeypatch):
    """``call("recommend", flags …)`` → (exit status, stdout, stderr)."""
    monkeypatch.chdir(folder)

    def command(name, *flags):
        status = main([name, "--data", "data", "--run", "run", *flags])
        return status, *capsys.readouterr()

    return command


def best(folder, histories, k, seen=False):
    """Item ids by a plain product of the run's vectors."""
    dataset = open_dataset(folder / "data")
    ranker = open_run(folder / "run", dataset)
    rows = [dataset.rows(history) for history in histories]
    scores = ranker.user_vectors(Queries.from_lists(rows)) @ ranker.item_vectors().T
    scores[:, : dataset.vocabulary.first_item] = -np.inf
    for number, history in enumerate(rows):
        if not seen:
            scores[number, history] = -np.inf
    return [dataset.ids(line).to_list() for line in np.argsort(-scores, axis=1)[:, :k]]


def lists(output):
    return [[item["item_id"] for item in line["items"]] for line in json.loads(output)["results"]]


def test_histories_on_the_fly(call, folder):
    status, out, err = call("recommend", "--history", "i3 i7", "i1 i2 i3", "--k", "5", "--json")
    assert (status, err) == (0, "")
    assert lists(out) == best(folder, [["i3", "i7"], ["i1", "i2", "i3"]], 5)
    first = json.loads(out)["results"][0]["items"][0]
    assert first["title"] == first["item_id"].replace("i", "Film ")


def test_histories_from_a_file_and_with_seen_items(call, folder, tmp_path):
    (tmp_path / "histories.txt").write_text("i3 i7\ni5\n")
    out = call("recommend", "--histories", str(tmp_path / "histories.txt"), "--k", "40", "--seen", "--json")[1]
    assert lists(out) == best(folder, [["i3", "i7"], ["i5"]], 40, seen=True)


def test_users_of_the_log_with_all_their_events(call, folder):
    log = pl.read_parquet(folder / "log.parquet")
    out = call("recommend", "--users", "u4", "u20", "u4", "--k", "3", "--json")[1]
    histories = [log.filter(user_id=user)["item_id"].to_list() for user in ("u4", "u20")]  # written in order
    assert [line["user_id"] for line in json.loads(out)["results"]] == ["u4", "u20"]
    assert lists(out) == best(folder, histories, 3)


def test_the_table_shows_titles(call, folder):
    out = call("recommend", "--history", "i3 i7", "--k", "2")[1]
    lines = out.splitlines()
    assert lines[0] == "query 1"
    for rank, (line, item) in enumerate(zip(lines[1:], best(folder, [["i3", "i7"]], 2)[0], strict=True), start=1):
        cells = line.split()
        assert (cells[0], cells[1], " ".join(cells[3:])) == (str(rank), item, item.replace("i", "Film "))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_files_hold_the_same_as_the_output(call, folder, tmp_path, suffix):
    target = tmp_path / f"lists.{suffix}"
    status, out, err = call("recommend", "--all-users", "--k", "4", "--out", str(target), "--json")
    summary = json.loads(out)
    assert (status, summary["asked"], summary["short_lists"], "results" in summary) == (0, 31, 1, False)
    assert "1 lists are shorter than 4" in err  # the user who has seen everything
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[suffix]
    frame = read(target)
    assert frame.columns == ["user_id", "rank", "item_id", "score", "source", "title"]
    assert set(frame["source"]) == {"history"}
    assert frame.height == 30 * 4
    assert frame.filter(user_id="last").is_empty()
    u4 = pl.read_parquet(folder / "log.parquet").filter(user_id="u4")["item_id"].to_list()
    assert frame.filter(user_id="u4")["item_id"].to_list() == best(folder, [u4], 4)[0]


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF4,Flat"])
def test_an_index_gives_the_exact_lists(call, folder, tmp_path, factory):
    more = ["--nprobe", "4"] if "IVF" in factory else []
    status, out, err = call("index", "--factory", factory, *more, "--out", str(tmp_path / "index"), "--json")
    assert (status, json.loads(out)["items"]) == (0, N_ITEMS)
    assert f"{factory} by ip over 40 items of dim 8" in err
    flags = ["--users", "u4", "u20", "u9", "--k", "6", "--json"]
    exact, searched = (call("recommend", *flags, *way)[1] for way in ([], ["--index", str(tmp_path / "index")]))
    assert lists(exact) == lists(searched)


def test_item_vectors_are_computed_once_and_not_for_an_index(call, tmp_path, monkeypatch):
    assert call("index", "--out", str(tmp_path / "index"))[0] == 0
    calls, honest = [], EncoderRanker.item_vectors
    monkeypatch.setattr(EncoderRanker, "item_vectors", lambda self: calls.append(1) or honest(self))
    assert call("recommend", "--users", "u4")[0] == 0
    assert len(calls) == 1
    assert call("recommend", "--users", "u4", "--index", str(tmp_path / "index"))[0] == 0
    assert len(calls) == 1


def test_what_was_put_beside_an_index_is_not_lost(call, tmp_path):
    assert call("index", "--out", str(tmp_path / "index"))[0] == 0
    assert call("index", "--out", str(tmp_path / "index"))[0] == 0
    (tmp_path / "index" / "notes.txt").write_text("mine")
    status, _, err = call("index", "--out", str(tmp_path / "index"))
    assert status == 2
    assert "is an item index, but holds other things as well (notes.txt)" in err
    assert (tmp_path / "index" / "notes.txt").read_text() == "mine"


def test_similar_items(call, folder, tmp_path):
    dataset = open_dataset(folder / "data")
    vectors = open_run(folder / "run", dataset).item_vectors()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)  # padding is all zeros
    words = dataset.rows(["i5", "i30"])
    cosine = unit[words] @ unit.T
    cosine[:, : dataset.vocabulary.first_item] = -np.inf
    cosine[[0, 1], words] = -np.inf
    expected = [dataset.ids(line).to_list() for line in np.argsort(-cosine, axis=1)[:, :7]]
    out = call("similar", "--items", "i5", "i30", "--k", "7", "--json")[1]
    assert lists(out) == expected
    assert [line["similar_to"] for line in json.loads(out)["results"]] == ["i5", "i30"]
    call("index", "--metric", "cosine", "--out", str(tmp_path / "index"))
    out = call("similar", "--items", "i5", "i30", "--k", "7", "--json", "--index", str(tmp_path / "index"))[1]
    assert lists(out) == expected
    status, _, err = call("recommend", "--users", "u3", "--index", str(tmp_path / "index"))
    assert status == 2
    assert "searches by cosine, but scores of run are inner products with vectors of different lengths" in err


@pytest.mark.parametrize(("factory", "metric"), [("Flat", "cosine"), ("Flat", "l2"), ("LSH1024r", "cosine")])
def test_an_index_of_angles_serves_a_run_of_cosines(call, folder, tmp_path, factory, metric):
    write_run(tmp_path / "run", open_dataset(folder / "data"), 0, similarity="cosine")
    run, index = ["--run", str(tmp_path / "run")], str(tmp_path / "index")
    assert call("index", *run, "--factory", factory, "--metric", metric, "--out", index)[0] == 0
    flags = [*run, "--users", "u4", "u20", "--k", "6", "--json"]
    exact, searched = (json.loads(call("recommend", *flags, *more)[1])["results"] for more in ([], ["--index", index]))
    for line, other in zip(exact, searched, strict=True):
        scores = [{item["item_id"]: item["score"] for item in answer["items"]} for answer in (line, other)]
        common = scores[0].keys() & scores[1].keys()
        assert len(common) >= (4 if "LSH" in factory else 6)
        tolerance = 1.0 if "LSH" in factory else 1e-3  # hashes estimate angles
        assert all(scores[1][item] == pytest.approx(scores[0][item], abs=tolerance) for item in common)


def test_a_list_is_no_longer_than_the_catalogue(call, folder):
    status, out, err = call("recommend", "--history", "i3", "--k", "50", "--seen", "--json")
    assert (status, lists(out)) == (0, best(folder, [["i3"]], 40, seen=True))
    assert "k is 50; the catalogue has 40 items, so lists have 40" in err
    status, out, err = call("similar", "--items", "i3", "--k", "50", "--json")
    assert (status, len(lists(out)[0])) == (0, 39)
    assert "the catalogue has 40 items" in err


def test_a_run_of_another_kind_is_called_by_it(call, tmp_path):
    run = tmp_path / "classifier"
    run.mkdir()
    (run / "config.toml").write_text("# resolved settings of text classify train, recsys-bert 0.1.0\n")
    status, _, err = call("recommend", "--history", "i3", "--run", str(run))
    assert status == 2
    assert f"{run} is a run of text classify train; a run of pretrain, train-retrieval or fuse is needed" in err


def test_a_run_that_reads_times_answers_for_users_of_the_log_only(call, folder, tmp_path):
    write_run(tmp_path / "timed", open_dataset(folder / "data"), 0, time_gaps=True)
    run = ["--run", str(tmp_path / "timed")]
    status, _, err = call("recommend", "--history", "i3 i7", *run)
    assert status == 2
    assert "reads when events happened, and a history given on the fly does not say. Ask about users of the log" in err
    assert call("recommend", "--users", "u4", *run)[0] == 0


def test_unknown_items_are_counted(call):
    status, out, err = call("recommend", "--history", "i3 nope i7", "--json")
    assert (status, json.loads(out)["unknown_items"]) == (0, 1)
    assert "1 of 3 items are unknown and read as such: 'nope'" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["recommend", "--history", "i3", "nope no"], "1 of 2 histories hold no item of data; the first is number 2"),
        (["recommend", "--history", " "], "no history holds an item"),
        (["recommend", "--histories", "missing.txt"], "missing.txt cannot be read"),
        (["recommend", "--users", "u1", "--only", "none.csv"], "'none.csv' is no file, and no COLUMN=VALUE"),
        (["recommend", "--users", "u1", "--without", "kind=x"], "whose columns are: title"),
        (["recommend", "--users", "u1", "--max-per", "kind=2"], "no side column of the items is called 'kind'"),
        (["recommend", "--users", "u1", "--max-per", "title=0"], "a number of at least 1"),
        (["recommend", "--users", "u1", "--diversity", "1"], "it must lie in [0, 1)"),
        (["recommend", "--history", "i1", "--profiles", "x.csv"], "they have no effect on histories"),
        (["similar", "--items", "i5", "--users", "u1"], "give one of items, users, text and new_items"),
        (["similar", "--users", "u1", "--only", "title=Film 3"], "has no effect on users"),
        (["similar", "--users", "u1", "nobody"], "1 users have no events in data, so no vector: 'nobody'"),
        (["export-vectors", "--out", "vectors", "--no-items", "--no-users"], "neither items nor users"),
        (["score", "--pairs", "missing.csv", "--out", "scores.csv"], "missing.csv names no file"),
        (["recommend", "--history", "i3", "--index", "data"], "data is not an item index"),
        (["recommend", "--history", "i3", "--run", "nowhere"], "there is no run folder nowhere"),
        (["similar", "--items", "i5", "nope"], "1 of 2 items are not in data: 'nope'"),
        (
            ["similar", "--items", "i5", "--similarity", "ip", "--index", "index"],
            "an index is searched by its own metric",
        ),
        (["index", "--factory", "IVF64,Flat", "--out", "index"], "learns 64 centroids but there are only 40 items"),
        (["index", "--factory", "Flot", "--out", "index"], "FAISS cannot build 'Flot'"),
        (["index", "--out", "data"], "data is there and is no item index"),
    ],
)
def test_bad_input_ends_with_its_message(call, folder, flags, message):
    before = sorted(path.name for path in folder.iterdir())
    status, out, err = call(*flags)
    assert (status, out) == (2, "")
    assert message in err
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("words", [["recommend", "--history", "i3"], ["similar", "--items", "i3"]])
@pytest.mark.parametrize("indexed", [False, True])
def test_what_cannot_be_written_is_refused_before_the_search(call, tmp_path, monkeypatch, words, indexed):
    if indexed:
        call("index", "--out", str(tmp_path / "index"))
        words = [*words, "--index", str(tmp_path / "index")]
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("")

    def never(*_, **__):
        raise AssertionError("something was searched")

    monkeypatch.setattr(EncoderRanker, "user_vectors", never)
    monkeypatch.setattr(exact, "exact_top_k", never)
    monkeypatch.setattr(ItemIndex, "search", never)
    for flags, message in (
        (["--out", str(tmp_path / "folder.csv")], "folder.csv is a folder"),
        (["--out", str(tmp_path / "file" / "lists.csv")], f"cannot write {tmp_path / 'file' / 'lists.csv'}: "),
    ):
        status, _, err = call(*words, *flags)
        assert status == 2
        assert message in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history": ()}, "0 of users, all_users, history and histories are given"),
        ({"users": ("u1",)}, "2 of users, all_users, history and histories are given"),
        ({"k": 0}, "k is 0"),
        ({"out": Path("lists.xlsx")}, "its ending says what is written: .parquet, .csv, .jsonl"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        recommend.Config(**{"run": Path("run"), "data": Path("data"), "history": ("i3",), **change})


def test_an_index_of_another_run_is_refused(call, tmp_path):
    call("index", "--run", "other", "--out", str(tmp_path / "index"))
    status, _, err = call("recommend", "--history", "i3", "--index", str(tmp_path / "index"))
    assert status == 2
    assert "was made from other weights than those of run and data (run 'other')" in err


def test_allow_and_deny_lists_by_id_and_by_column(call, folder, tmp_path):
    (tmp_path / "deny.txt").write_text("i3\ni7\nunknown\n")
    pl.DataFrame({"item_id": [f"i{n}" for n in range(20)]}).write_csv(tmp_path / "allow.csv")
    flags = ["--history", "i5 i6", "--k", "40", "--json"]
    only, without = ["--only", str(tmp_path / "allow.csv")], ["--without", str(tmp_path / "deny.txt"), "title=Film 9"]
    everything = lists(call("recommend", *flags)[1])[0]
    status, out, err = call("recommend", *flags, *only, *without)
    expected = [item for item in everything if int(item[1:]) < 20 and item not in ("i3", "i7", "i9")]
    assert (status, lists(out)) == (0, [expected])
    assert "1 of 3 ids of deny.txt are not in data" in err
    assert "only and without leave 17 items, so lists have 17" in err
    call("index", "--factory", "HNSW16", "--out", str(tmp_path / "index"))
    indexed = call("recommend", *flags, *only, *without, "--index", str(tmp_path / "index"))[1]
    assert lists(indexed) == [expected]
    similar = lists(call("similar", "--items", "i5", "--k", "40", "--json", *only, *without)[1])[0]
    assert sorted(similar) == sorted(item for item in [*expected, "i6"] if item != "i5")


def test_users_without_events_get_popular_items(call, folder):
    flags = ["--users", "nobody", "u4", "--k", "3", "--without", "title=Film 0"]
    _, out, err = call("recommend", *flags, "--json")
    results = json.loads(out)["results"]
    assert [(line["user_id"], line["source"]) for line in results] == [("nobody", "popular"), ("u4", "history")]
    dataset = open_dataset(folder / "data")
    vocabulary = dataset.vocabulary
    popular = [item for item in vocabulary.item_ids[vocabulary.first_item :].to_list() if item != "i0"][:3]
    assert [item["item_id"] for item in results[0]["items"]] == popular
    assert "1 users have no events: 0 by features, 1 popular items" in err
    assert "user nobody (no events: popular items)" in call("recommend", "--users", "nobody")[1]


def test_lists_of_few_titles_and_of_spread_items(call):
    plain = lists(call("recommend", "--users", "u4", "--k", "5", "--json")[1])[0]
    capped = lists(call("recommend", "--users", "u4", "--k", "5", "--max-per", "title=1", "--json")[1])[0]
    diverse = lists(call("recommend", "--users", "u4", "--k", "5", "--diversity", "0.9", "--json")[1])[0]
    assert capped == plain  # every title is another
    assert diverse[0] == plain[0]
    assert diverse != plain


def test_pairs_are_scored_as_lists_score_them(call, folder, tmp_path):
    first = json.loads(call("recommend", "--users", "u4", "--k", "3", "--json")[1])["results"][0]["items"]
    pairs = [("u4", item["item_id"]) for item in first] + [("nobody", "i1"), ("u4", "unknown")]
    pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row").write_csv(tmp_path / "pairs.csv")
    out = tmp_path / "scores.parquet"
    status, printed, err = call("score", "--pairs", str(tmp_path / "pairs.csv"), "--out", str(out), "--json")
    frame = pl.read_parquet(out)
    assert (status, json.loads(printed)["by_source"]["history"]) == (0, 3)
    assert frame["score"].to_list()[:3] == pytest.approx([item["score"] for item in first], abs=1e-5)
    assert frame["score"].to_list()[3:] == [None, None]
    assert frame["source"].to_list() == [*["history"] * 3, "no events", "unknown item"]
    assert "2 of 5 pairs have no score: 1 no events, 1 unknown item" in err


def test_similar_users_and_exported_vectors_agree(call, folder, tmp_path):
    status, _, err = call("export-vectors", "--out", str(tmp_path / "table"))
    assert status == 0
    assert "items.parquet" in err
    call("export-vectors", "--out", str(tmp_path / "arrays"), "--format", "npy", "--no-items")
    users = pl.read_parquet(tmp_path / "table" / "users.parquet")
    vectors = np.load(tmp_path / "arrays" / "users.npy")
    assert [path.name for path in sorted((tmp_path / "arrays").iterdir())] == ["users.npy", "users_ids.csv"]
    np.testing.assert_array_equal(users["vector"].to_numpy(), vectors)
    ids = pl.read_csv(tmp_path / "arrays" / "users_ids.csv")["user_id"].to_list()
    assert users["user_id"].to_list() == ids
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit[ids.index("u4")] @ unit.T
    results = json.loads(call("similar", "--users", "u4", "--k", "5", "--json")[1])["results"][0]["items"]
    assert "u4" not in [item["user_id"] for item in results]
    scores = [cosine[ids.index(item["user_id"])] for item in results]
    assert [item["score"] for item in results] == pytest.approx(scores, abs=1e-5)
    assert scores == pytest.approx(np.sort(cosine)[::-1][1:6].tolist(), abs=1e-5)
    items = pl.read_parquet(tmp_path / "table" / "items.parquet")
    np.testing.assert_array_equal(
        items["vector"].to_numpy(), open_run(folder / "run", open_dataset(folder / "data")).item_vectors()[3:]
    )


HISTORIES = {
    "lines.txt": "i3 i5\nnope\n\ni7\n",
    "lists.jsonl": '["i3", "i5"]\n["nope", 4]\n[broken\n["i7"]\n',
    "objects.jsonl": '{"user": 1, "history": ["i3", "i5"]}\n{"history": []}\n{"history": "i7"}\n{"history": ["i7"]}\n',
    "table.parquet": [["i3", "i5"], ["nope"], [], ["i7"]],
}


@pytest.mark.parametrize("name", HISTORIES)
def test_histories_of_a_file_are_read_and_bad_ones_counted(folder, tmp_path, capsys, name):
    content, path = HISTORIES[name], tmp_path / name
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        pl.DataFrame({"user": range(len(content)), "history": content}).write_parquet(path)
    common = ["recommend", "--run", str(folder / "run"), "--data", str(folder / "data"), "--k", "3", "--json"]
    assert main([*common, "--histories", str(path)]) == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert "2 of 4 histories hold no item" in output.err
    assert answer["skipped"] == {"no known item": 2}
    assert main([*common, "--history", "i3 i5", '["i7"]']) == 0
    typed = json.loads(capsys.readouterr().out)["results"]
    assert [one["query"] for one in answer["results"]] == [1, 4]
    assert [one["items"] for one in answer["results"]] == [one["items"] for one in typed]


def test_ids_that_begin_with_a_dash_or_hold_spaces(tmp_path, capsys):
    log = [(user, item, n) for n, item in enumerate(["-a", "two words", "c", "d"]) for user in "xyz"]
    pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(tmp_path / "log.parquet")
    split = SplitConfig(kind="none")
    prepare.run(prepare.Config(events=str(tmp_path / "log.parquet"), out=tmp_path / "data", split=split))
    write_run(tmp_path / "run", open_dataset(tmp_path / "data"), 0)
    common = ["recommend", "--run", str(tmp_path / "run"), "--data", str(tmp_path / "data"), "--json", "--k", "1"]
    for typed in (["--history=-a c"], ["--history", '["two words", "c"]'], ["--history", '["-a"]']):
        assert main([*common, *typed]) == 0
        assert json.loads(capsys.readouterr().out)["unknown_items"] == 0
