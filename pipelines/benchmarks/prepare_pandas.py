"""The steps of ``recsys-bert prepare`` in plain pandas, for comparison: read, sort, filter, split, number, write.

    python pipelines/benchmarks/prepare_pandas.py LOG OUT leave_one_out 10 20

It is not part of the package and needs pandas and pyarrow alone. It does less: full columns are in memory, and nothing
is checked or fingerprinted. Prints its counts as JSON.
"""

import json
import sys
from pathlib import Path

import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]

USER, ITEM, TIME = "user_id", "item_id", "timestamp"


def main(log: str, out: str, split: str, min_user: int, min_item: int) -> dict[str, int]:
    """Prepare a Parquet log; min_user and min_item are the minimum counts of the k-core."""
    events = pd.read_parquet(log, columns=[USER, ITEM, TIME]).dropna()
    events = events.sort_values([USER, TIME], kind="stable", ignore_index=True)
    borders = timestamps(events) if split == "time" else None
    events = k_core(events, borders, min_user, min_item)
    part = parts(events, borders)
    item_counts = events.loc[part == 0, ITEM].value_counts().rename_axis(ITEM).reset_index(name="count")
    vocabulary = item_counts.sort_values(["count", ITEM], ascending=[False, True], ignore_index=True)
    vocabulary["item_row"] = range(3, 3 + len(vocabulary))
    rows = events[ITEM].map(vocabulary.set_index(ITEM)["item_row"]).fillna(2).astype("int32")
    users, user_ids = pd.factorize(events[USER])
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    histories = pd.DataFrame({"user": users.astype("int32"), "item_row": rows, TIME: events[TIME], "part": part})
    histories.to_parquet(folder / "histories.parquet")
    vocabulary.to_parquet(folder / "vocabulary.parquet")
    pd.DataFrame({USER: user_ids}).to_parquet(folder / "users.parquet")
    held_out = {"training_events": 0, "validation_events": 1, "test_events": 2}
    counts = {"users": len(user_ids), "items": len(vocabulary), "events": len(events)}
    return counts | {name: int((part == number).sum()) for name, number in held_out.items()}


def timestamps(events: pd.DataFrame) -> tuple[int, int]:
    """Start of validation and of test: quantiles .8 and .9 of all times."""
    times = events[TIME].sort_values(ignore_index=True)
    return times[int(0.8 * len(times))], times[int(0.9 * len(times))]


def k_core(events: pd.DataFrame, borders: tuple[int, int] | None, min_user: int, min_item: int) -> pd.DataFrame:
    """Drop users and items with too few events until none is left; with borders, count and drop training events."""
    while True:
        training = events[TIME] < borders[0] if borders else pd.Series(True, events.index)
        users, items = events.loc[training, USER].value_counts(), events.loc[training, ITEM].value_counts()
        few_users, few_items = users.index[users < min_user], items.index[items < min_item]
        if not len(few_users) and not len(few_items):
            return events.reset_index(drop=True)
        events = events[~(training & (events[USER].isin(few_users) | events[ITEM].isin(few_items)))]


def parts(events: pd.DataFrame, borders: tuple[int, int] | None) -> pd.Series:
    """0 on training events, 1 on validation, 2 on test."""
    if borders:
        return (events[TIME] >= borders[0]).astype("int8") + (events[TIME] >= borders[1]).astype("int8")
    after = events.groupby(USER).cumcount(ascending=False)
    enough = events.groupby(USER)[ITEM].transform("size") >= 3
    return ((after < 2) & enough).astype("int8") + ((after < 1) & enough).astype("int8")


if __name__ == "__main__":
    log, out, split, min_user, min_item = sys.argv[1:]
    print(json.dumps(main(log, out, split, int(min_user), int(min_item))))
