"""New items, words and cold items from the command line."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from pipelines.cli import main
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, save_encoder

TOPICS = ["nail polish", "wool scarf", "garden hose"]
WORDS = ("--item-vectors", "vectors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``data``, ``vectors``, an encoder ``run`` whose items of one topic have the same vector, and its ``index``."""
    folder = tmp_path_factory.mktemp("words")
    random = np.random.default_rng(0)
    rows = [(f"u{user}", f"i{3 * random.integers(0, 8) + user % 3}", time) for user in range(30) for time in range(6)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(folder / "log.csv")
    titles = [f"{TOPICS[item % 3]} {item}" for item in range(27)]  # i24, i25, i26 without a click
    pl.DataFrame({"item_id": [f"i{n}" for n in range(27)], "title": titles}).write_csv(folder / "items.csv")
    new = pl.DataFrame({"item_id": ["red", "gold"], "title": ["red nail polish", "gold wool scarf"]})
    new.write_csv(folder / "new.tsv", separator="\t")
    new.write_parquet(folder / "new.parquet")
    new.write_ndjson(folder / "new.jsonl")
    (folder / "broken.tsv").write_text("item_id\ttitle\nred\tred nail polish\ntoo\tmany\tcells\n\tno id\nred\tagain\n")
    items = ["--items", str(folder / "items.csv"), "--item-features.text", "title"]
    assert main(["prepare", "--events", str(folder / "log.csv"), *items, "--out", str(folder / "data")]) == 0
    assert main(["item-vectors", "--data", str(folder / "data"), "--out", str(folder / "vectors")]) == 0
    dataset = open_dataset(folder / "data")
    torch.manual_seed(0)
    config = EncoderConfig(
        vocab_size=dataset.vocabulary.size, dim=8, n_layers=1, max_len=8, attention="causal", init_std=1.0
    )
    prediction = TokenPrediction(Encoder(config), LossConfig(similarity="dot"), first_row=dataset.vocabulary.first_item)
    table = prediction.encoder.embeddings.token.weight
    with torch.no_grad():
        for row, item in enumerate(dataset.vocabulary.item_ids.to_list()):
            if item is not None:
                table[row] = torch.eye(8)[int(item[1:]) % 3] * 3
    (folder / "run" / "encoder").mkdir(parents=True)
    save_encoder(folder / "run" / "encoder", PretrainedEncoder(prediction, "next_item"), dataset)
    return folder


@pytest.fixture
def call(folder, capsys, monkeypatch):
    """``call("recommend", flags …)`` → (exit status, results or the message)."""
    monkeypatch.chdir(folder)

    def command(name, *flags):
        status = main([name, "--data", "data", "--run", "run", *flags, *(["--json"] if name != "index" else [])])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else err

    return command


def ids(answer, at=0):
    return [item["item_id"] for item in answer["results"][at]["items"]]


@pytest.mark.parametrize("name", ["new.tsv", "new.parquet", "new.jsonl"])
def test_new_items_are_listed_for_this_call(call, name):
    status, answer = call("recommend", "--users", "u0", "--k", "28", "--seen", *WORDS, "--new-items", name)
    assert status == 0
    assert {"red", "gold"} <= set(ids(answer))
    scores = {item["item_id"]: item["score"] for item in answer["results"][0]["items"]}
    assert scores["red"] == pytest.approx(scores["i0"], rel=1e-3)  # as all polishes
    assert "red" not in ids(call("recommend", "--users", "u0", "--k", "24", "--seen")[1])
    near = ids(call("similar", *WORDS, "--new-items", name, "--k", "5")[1], 0)
    assert {int(item[1:]) % 3 for item in near} == {0}


def test_bad_rows_of_a_table_are_counted(call):
    status, answer = call("recommend", "--users", "u0", "--k", "3", *WORDS, "--new-items", "broken.tsv")
    assert status == 0, answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.recommend.print_lists", lambda *_: {})
        err = call("recommend", "--users", "u0", *WORDS, "--new-items", "broken.tsv")[1]
    assert "put in: 1; rows of too few or too many cells: 1; rows without a usable id: 1; rows whose id came" in err


def test_the_life_of_an_item_in_an_index(call, tmp_path):
    index = str(tmp_path / "index")
    assert call("index", "--out", index, "--factory", "HNSW16")[0] == 0
    status, summary = call("put-items", "--index", index, *WORDS, "--new-items", "new.tsv")
    assert (status, summary["put"], summary["items"], summary["beside"]) == (0, 2, 26, 2)
    listed = ids(call("recommend", "--users", "u0", "--k", "26", "--seen", "--index", index)[1])
    assert {"red", "gold"} <= set(listed)
    by_words = call("recommend", "--query", "red polish", "--k", "12", "--index", index, *WORDS)[1]
    assert by_words["results"][0]["query"] == "red polish"
    assert "red" in ids(by_words)
    assert "gold" not in ids(call("similar", "--text", "gold scarf", "--k", "12", *WORDS)[1])  # is in the index alone
    (tmp_path / "gone.txt").write_text("red\n")
    gone = ["--remove", str(tmp_path / "gone.txt"), "item_id=i3"]
    status, summary = call("put-items", "--index", index, *gone)
    assert (status, summary["removed"], summary["items"]) == (0, 2, 24)
    listed = ids(call("recommend", "--users", "u0", "--k", "24", "--seen", "--index", index)[1])
    assert not {"red", "i3"} & set(listed)
    status, summary = call("put-items", "--index", index, "--rebuild")
    assert (status, summary["items"], summary["beside"]) == (0, 24, 0)
    assert sorted(listed) == sorted(ids(call("recommend", "--users", "u0", "--k", "24", "--seen", "--index", index)[1]))
    assert call("index", "--out", index)[0] == 0  # made anew, without them
    assert "red" not in ids(call("recommend", "--users", "u0", "--k", "24", "--seen", "--index", index)[1])


def test_cold_items_of_the_log_are_listed(call):
    plain = call("recommend", "--users", "u0", "--k", "27", "--seen")[1]
    assert "i24" not in ids(plain)
    with_cold = call("recommend", "--users", "u0", "--k", "27", "--seen", *WORDS, "--cold-items", "nearest-text")[1]
    scores = {item["item_id"]: item["score"] for item in with_cold["results"][0]["items"]}
    assert scores["i24"] == pytest.approx(scores["i0"], rel=1e-3)
    few = ("--cold.neighbours", "1", "--cold.weighting", "equal")
    assert call("recommend", "--users", "u0", *WORDS, "--cold-items", "nearest-text", *few)[0] == 0


def test_a_query_moves_the_list_of_a_user(call):
    words = ("--users", "u0", "--k", "3", "--seen", "--query", "garden hose", *WORDS)
    topics = [
        {int(item[1:]) % 3 for item in ids(call("recommend", *words, "--query-weight", weight)[1])}
        for weight in ("0.01", "0.99")
    ]
    plain = ids(call("recommend", "--users", "u0", "--k", "3", "--seen")[1])
    assert topics == [{int(item[1:]) % 3 for item in plain}, {2}]
    newcomer = call("recommend", "--users", "nobody", "--k", "3", "--query", "garden hose", *WORDS)[1]
    assert newcomer["results"][0]["source"] == "query"
    assert {int(item[1:]) % 3 for item in ids(newcomer)} == {2}


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("recommend", ("--query", "red"), "`recsys-bert item-vectors --data data --out vectors`"),
        ("recommend", ("--users", "u0", "--new-items", "new.tsv"), "was opened without text vectors of items"),
        ("recommend", ("--users", "u0", "--cold-items", "nearest-text"), "was opened without text vectors"),
        ("recommend", ("--users", "u0", "--cold.neighbours", "3"), "there are none: pass --cold-items"),
        ("recommend", ("--users", "u0", "--query-weight", ".3"), "but there is no query"),
        ("recommend", ("--query", " ", *WORDS), "query is empty"),
        ("recommend", ("--query", "zzyzx", *WORDS), "no word of 'zzyzx' is in the texts"),
        ("recommend", ("--query", "red", "--diversity", ".3", *WORDS), "have no effect on a query without users"),
        ("recommend", ("--users", "u0", "--new-items", "none.tsv", *WORDS), "none.tsv"),
        ("recommend", ("--users", "u0", "--new-items", "log.csv", *WORDS), "has no text column"),
        ("recommend", ("--users", "u0", "--item-vectors", "data"), "holds no item vectors"),
        ("recommend", ("--users", "u0", "--text-encoder", "run"), "text_encoder has no effect without the vectors"),
        ("similar", ("--text", "red"), "was opened without text vectors"),
        ("similar", ("--text", "red", "--items", "i1", *WORDS), "give one of items, users, text and new_items"),
        ("similar", ("--text", "red", "--similarity", "ip", *WORDS), "similarity has no effect on texts"),
        ("put-items", ("--index", "run"), "there is nothing to do"),
        ("put-items", ("--index", "run", "--rebuild"), "is not an item index"),
    ],
)
def test_bad_input_ends_with_its_message(call, command, flags, message):
    status, text = call(command, *flags)
    assert status == 2
    assert message in text


def test_an_index_with_items_of_another_run_is_refused(call, folder, tmp_path):
    index = tmp_path / "index"
    assert call("index", "--out", str(index))[0] == 0
    assert call("put-items", "--index", str(index), *WORDS, "--new-items", "new.tsv")[0] == 0
    path = index / "live_items" / "vectors-0.npy"
    path.write_bytes(path.read_bytes()[:-8])
    status, text = call("recommend", "--users", "u0", "--index", str(index))
    assert (status, "is damaged" in text) == (2, True)
