"""Public click logs: addresses, licences, and settings of `prepare`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.spreadsheets import date_of, read_rows

_GROUPLENS = "https://files.grouplens.org/datasets/movielens"

_RESEARCH = (
    "Neither the University of Minnesota nor any of the researchers involved can guarantee the correctness of the "
    "data, its suitability for any particular purpose, or the validity of results based on the use of the data set. "
    "The data set may be used for any research purposes under the following conditions:\n"
    "* The user may not state or imply any endorsement from the University of Minnesota or the GroupLens Research "
    "Group.\n"
    "* The user must acknowledge the use of the data set in publications resulting from the use of the data set.\n"
    "* {redistribution}\n"
    "* The user may not use this information for any commercial or revenue-bearing purposes without first obtaining "
    "permission from a faculty member of the GroupLens Research Project at the University of Minnesota.\n"
    "To cite: F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM "
    "Transactions on Interactive Intelligent Systems 5, 4. https://doi.org/10.1145/2827872"
)
_NO_COPIES = _RESEARCH.format(redistribution="The user may not redistribute the data without separate permission.")
_SAME_TERMS = _RESEARCH.format(
    redistribution="The user may redistribute the data set, including transformations, so long as it is distributed "
    "under these same license conditions."
)
_AMAZON = (
    "The publisher states no licence. The reviews were written by customers of Amazon; take it for research use and "
    "do not redistribute them.\n"
    "To cite: R. He, J. McAuley. Ups and downs: Modeling the visual evolution of fashion trends with one-class "
    "collaborative filtering. WWW 2016. J. McAuley, C. Targett, J. Shi, A. van den Hengel. Image-based "
    "recommendations on styles and substitutes. SIGIR 2015."
)
_RETAIL = (
    "Creative Commons Attribution 4.0 International (CC BY 4.0): the data may be shared and adapted for any purpose, "
    "provided that appropriate credit is given. https://creativecommons.org/licenses/by/4.0/\n"
    "To cite: D. Chen. Online Retail II. UCI Machine Learning Repository, 2012. https://doi.org/10.24432/C5CG6D"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One public data set."""

    about: str
    """Users, items and events."""

    url: str
    """The publisher's address of the file."""

    page: str
    """Where the publisher describes the set and states its licence."""

    licence: str
    """Its terms as the publisher states them."""

    size: int | None = None
    """Bytes of the file; None where it is not known beforehand."""

    sha256: str | None = None
    """Checksum of the file; None: the first download's is recorded, and later ones must equal it."""

    md5: str | None = None
    """Checksum that the publisher states beside the file; checked as well."""

    members: tuple[str, ...] = ()
    """Files to take out of the archive; none where the file is no archive."""

    rewrite: Callable[[Path], None] | None = None
    """Gives the unpacked files the headers that `prepare` wants."""

    events: str = ""
    """File of the events, relative to the unpacked folder; ``items`` and ``users`` likewise."""

    items: str | None = None
    """Side table of the items."""

    users: str | None = None
    """Side table of the users."""

    log: LogConfig = field(default_factory=LogConfig)
    """Columns of the events."""

    item_features: SideFeaturesConfig = field(default_factory=SideFeaturesConfig)
    """Features from the item table."""

    user_features: SideFeaturesConfig = field(default_factory=SideFeaturesConfig)
    """Features from the user table."""


def _name_columns(folder: Path) -> None:
    """Write MovieLens 100K's headerless tables with headers, and genre flags as one column."""
    import csv

    def rows(name: str, separator: str) -> list[list[str]]:
        lines = (folder / name).read_text(encoding="latin-1").splitlines()
        return [line.split(separator) for line in lines if line]

    def write(name: str, header: list[str], table: list[list[str]]) -> None:
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *table])

    genres = [name for name, _ in rows("u.genre", "|")]
    movies = [
        [*row[:3], "|".join(genre for genre, flag in zip(genres, row[5:], strict=True) if flag == "1")]
        for row in rows("u.item", "|")
    ]
    write("ratings.csv", ["user_id", "item_id", "rating", "timestamp"], rows("u.data", "\t"))
    write("movies.csv", ["item_id", "title", "released", "genres"], movies)
    write("users.csv", ["user_id", "age", "gender", "occupation", "zip"], rows("u.user", "|"))


def _retail_tables(folder: Path) -> None:
    """Write Online Retail II's spreadsheet as ``events.csv`` and ``items.csv``."""
    import csv

    header, titles, n_sheets = list[str](), dict[str, str](), 0
    with open(folder / "events.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for row in read_rows(folder / "online_retail_II.xlsx"):
            if not header or row == header:
                header, n_sheets = row, n_sheets + 1
                at = {name: row.index(name) for name in ("Invoice", "StockCode", "Description", "InvoiceDate")}
                if n_sheets == 1:
                    writer.writerow([*header, "kind"])
                continue
            cells = row + [""] * (len(header) - len(row))
            cells[at["InvoiceDate"]] = date_of(cells[at["InvoiceDate"]])
            writer.writerow([*cells, "cancellation" if cells[at["Invoice"]].startswith("C") else "purchase"])
            if (title := cells[at["Description"]].strip()) and cells[at["StockCode"]]:
                titles.setdefault(cells[at["StockCode"]], title)
    with open(folder / "items.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("StockCode", "title"), *titles.items()])
    (folder / "online_retail_II.xlsx").unlink()  # the archive has it


def _movielens_csv(name: str, **stated: str | int) -> Source:
    """Build the entry of one of the newer MovieLens sets, which all have the same files."""
    return Source(
        url=f"{_GROUPLENS}/{name}.zip",
        page=f"{_GROUPLENS}/{name}-README.html",
        members=(f"{name}/ratings.csv", f"{name}/movies.csv", f"{name}/README.txt"),
        events="ratings.csv",
        log=LogConfig(user="userId", item="movieId"),
        items="movies.csv",
        item_features=SideFeaturesConfig(id="movieId", multi=("genres",)),
        **stated,  # type: ignore[arg-type]
    )


# GroupLens states MD5 beside each file; the SHA-256 are those of the files with these MD5.
SOURCES: dict[str, Source] = {
    "ml-100k": Source(
        about="MovieLens 100K: 943 users, 1,682 films, 100,000 ratings, 1997-1998",
        url=f"{_GROUPLENS}/ml-100k.zip",
        page=f"{_GROUPLENS}/ml-100k-README.txt",
        licence=_NO_COPIES,
        size=4_924_029,
        sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        md5="0e33842e24a9c977be4e0107933c0723",
        members=tuple(f"ml-100k/{name}" for name in ("u.data", "u.item", "u.user", "u.genre", "README")),
        rewrite=_name_columns,
        events="ratings.csv",
        items="movies.csv",
        item_features=SideFeaturesConfig(multi=("genres",)),
        users="users.csv",
        user_features=SideFeaturesConfig(categorical=("gender", "occupation")),
    ),
    "ml-1m": Source(
        about="MovieLens 1M: 6,040 users, 3,706 rated films, 1,000,209 ratings, 2000-2003",
        url=f"{_GROUPLENS}/ml-1m.zip",
        page=f"{_GROUPLENS}/ml-1m-README.txt",
        licence=_NO_COPIES,
        size=5_917_549,
        sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        md5="c4d9eecfca2ab87c1945afe126590906",
        members=tuple(f"ml-1m/{name}" for name in ("ratings.dat", "movies.dat", "users.dat", "README")),
        events="ratings.dat",
        items="movies.dat",
        item_features=SideFeaturesConfig(multi=("genres",)),
        users="users.dat",
        user_features=SideFeaturesConfig(categorical=("gender", "age", "occupation")),
    ),
    "ml-20m": _movielens_csv(
        "ml-20m",
        about="MovieLens 20M: 138,493 users, 27,278 films, 20,000,263 ratings, 1995-2015",
        licence=_NO_COPIES,
        size=198_702_078,
        sha256="96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
        md5="cd245b17a1ae2cc31bb14903e1204af3",
    ),
    "ml-32m": _movielens_csv(
        "ml-32m",
        about="MovieLens 32M: 200,948 users, 87,585 films, 32,000,204 ratings, 1995-2023",
        licence=_SAME_TERMS,
        size=238_950_008,
        sha256="e4a68655d7386b8f95f2f2424b2ff975dfdd15ffd59e0d864a14dca43e99d6ee",
        md5="d472be332d4daa821edc399621853b57",
    ),
    "amazon-beauty": Source(
        about="Amazon Beauty 2014, 5-core: 22,363 users, 12,101 items, 198,502 reviews",
        url="https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_Beauty_5.json.gz",
        page="https://jmcauley.ucsd.edu/data/amazon/",
        licence=_AMAZON,
        events="reviews_Beauty_5.json.gz",
        log=LogConfig(format="jsonl", user="reviewerID", item="asin", time="unixReviewTime"),
    ),
    "online-retail-ii": Source(
        about="Online Retail II: 1,067,371 lines of invoices of a British web shop, 2009-2011; 5,942 customers",
        url="https://archive.ics.uci.edu/static/public/502/online+retail+ii.zip",
        page="https://archive.ics.uci.edu/dataset/502/online+retail+ii",
        licence=_RETAIL,
        members=("online_retail_II.xlsx",),
        rewrite=_retail_tables,
        events="events.csv",
        log=LogConfig(preset="online-retail-ii", event="kind", events={"purchase": 1.0}),
        items="items.csv",
    ),
}
