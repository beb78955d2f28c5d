"""Public click logs as they are published: the settings that read each one's file, and where its shape is described."""

from dataclasses import dataclass, fields, replace
from typing import Any

from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.errors import unknown_name

_MOVIELENS = "https://files.grouplens.org/datasets/movielens"


@dataclass(frozen=True)
class Preset:
    """Settings of one published log.

    Args:
        file: Name of its file.
        url: Where the publisher describes its columns.
        log: Settings of ``LogConfig`` that differ from the defaults.
    """

    file: str
    url: str
    log: dict[str, Any]


_RATINGS = ("user_id", "item_id", "rating", "timestamp")
_HEADERLESS = {"format": "csv", "columns": _RATINGS}
_NO_TIMES: dict[str, Any] = {"time": None}

PRESETS: dict[str, Preset] = {
    "u.data": Preset("u.data", f"{_MOVIELENS}/ml-100k-README.txt", {**_HEADERLESS, "separator": "tab"}),
    "movielens-csv": Preset(
        "ratings.csv", f"{_MOVIELENS}/ml-32m-README.html", {"format": "csv", "user": "userId", "item": "movieId"}
    ),
    "movielens-dat": Preset("ratings.dat", f"{_MOVIELENS}/ml-10m-README.html", {"format": "movielens"}),
    "amazon-2014-csv": Preset("ratings_Beauty.csv", "https://jmcauley.ucsd.edu/data/amazon/", _HEADERLESS),
    "amazon-2018-csv": Preset(
        "All_Beauty.csv",
        "https://nijianmo.github.io/amazon/",
        {"format": "csv", "columns": ("item_id", "user_id", "rating", "timestamp")},
    ),
    "amazon-2023-csv": Preset(
        "All_Beauty.csv", "https://amazon-reviews-2023.github.io/", {"format": "csv", "item": "parent_asin"}
    ),
    "amazon-json": Preset(
        "reviews_Beauty_5.json.gz",
        "https://jmcauley.ucsd.edu/data/amazon/",
        {"format": "jsonl", "user": "reviewerID", "item": "asin", "time": "unixReviewTime"},
    ),
    "amazon-2023-json": Preset(
        "All_Beauty.jsonl", "https://amazon-reviews-2023.github.io/", {"format": "jsonl", "item": "parent_asin"}
    ),
    "yelp": Preset(
        "yelp_academic_dataset_review.json",
        "https://www.yelp.com/dataset/documentation/main",
        {"format": "jsonl", "item": "business_id", "time": "date"},
    ),
    "book-crossing": Preset(
        "BX-Book-Ratings.csv",
        "http://www2.informatik.uni-freiburg.de/~cziegler/BX/",
        {
            "format": "csv",
            "separator": ";",
            "encoding": "latin-1",
            "user": "User-ID",
            "item": "ISBN",
            "ids": "text",
            **_NO_TIMES,
        },
    ),
    "lastfm-1k": Preset(
        "userid-timestamp-artid-artname-traid-traname.tsv",
        "http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html",
        {
            "format": "tsv",
            "columns": ("user_id", "timestamp", "artist_id", "artist_name", "track_id", "track_name"),
            "item": "artist_id",
            "bad_rows": "drop",  # some artists have no id
        },
    ),
    "lastfm-hetrec": Preset(
        "user_artists.dat",
        "https://grouplens.org/datasets/hetrec-2011/",
        {"format": "tsv", "user": "userID", "item": "artistID", **_NO_TIMES},
    ),
    "gowalla": Preset(
        "loc-gowalla_totalCheckins.txt",
        "https://snap.stanford.edu/data/loc-gowalla.html",
        {"format": "tsv", "columns": ("user_id", "timestamp", "latitude", "longitude", "item_id")},
    ),
    "taobao": Preset(
        "UserBehavior.csv",
        "https://tianchi.aliyun.com/dataset/649",
        {
            "format": "csv",
            "columns": ("user_id", "item_id", "category_id", "behavior", "timestamp"),
            "event": "behavior",
        },
    ),
    "yoochoose": Preset(
        "yoochoose-clicks.dat",
        "https://www.kaggle.com/datasets/chadgostopp/recsys-challenge-2015",
        {"format": "csv", "columns": ("session_id", "timestamp", "item_id", "category"), "user": "session_id"},
    ),
    "yoochoose-buys": Preset(
        "yoochoose-buys.dat",
        "https://www.kaggle.com/datasets/chadgostopp/recsys-challenge-2015",
        {"format": "csv", "columns": ("session_id", "timestamp", "item_id", "price", "quantity"), "user": "session_id"},
    ),
    "diginetica": Preset(
        "train-item-views.csv",
        "https://competitions.codalab.org/competitions/11161",
        {"format": "diginetica", "user": "session_id"},
    ),
    "mind": Preset("behaviors.tsv", "https://msnews.github.io", {"format": "mind"}),
    "otto": Preset(
        "otto-recsys-train.jsonl",
        "https://github.com/otto-de/recsys-dataset",
        {"format": "jsonl", "user": "session", "item": "events.aid", "time": "events.ts", "event": "events.type"},
    ),
    "online-retail-ii": Preset(
        "online_retail_II.csv",
        "https://archive.ics.uci.edu/dataset/502/online+retail+ii",
        {
            "format": "csv",
            "user": "Customer ID",
            "item": "StockCode",
            "time": "InvoiceDate",
            "ids": "text",
            "bad_rows": "drop",  # a quarter of the rows has no customer
        },
    ),
    "recbole": Preset("name.inter", "https://recbole.io/docs/user_guide/data/atomic_files.html", {"format": "recbole"}),
    "lines": Preset("Beauty.txt", "https://github.com/pmixer/SASRec.pytorch", {"format": "lines"}),
}
"""Name → how the log is read; ``user item item …`` lines are ``lines``."""


def with_preset(config: LogConfig) -> LogConfig:
    """Fill in a preset where settings are at their defaults; others win over it.

    Raises:
        InputError: There is no such preset.
    """
    if config.preset is None:
        return config
    if config.preset not in PRESETS:
        raise unknown_name("preset", config.preset, PRESETS)
    values = PRESETS[config.preset].log
    defaults = LogConfig()
    free = [one.name for one in fields(config) if getattr(config, one.name) == getattr(defaults, one.name)]
    return replace(config, **{name: value for name, value in values.items() if name in free})
