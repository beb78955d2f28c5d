"""Table of starts of one small model, by log, share of the users, and task: where pretraining pays.

    python -m pipelines.benchmarks.where_pretraining_pays --data ../shared/data --out runs/where-pretraining-pays

Starts: random; items placed by PPMI; masked pretraining on the same log; pretraining on other logs through text, then
training on this one; and, with nothing trained, a sum of co-occurrence counts, popularity and text. All of them on all
users, on 10 % and on 1 % of them in training, and on items that training never saw; retrieval on every log,
click-through on ml-100k. Every finished cell is a file, so that it can be stopped and goes on; `--seconds` stops it by
itself. It writes one table (Markdown, JSON) and one picture of what is there; empty cells are said to be empty.

Text vectors are TF-IDF, reduced to 96 directions, fitted on the texts of all logs together. Logs with more than
`--users` users are cut to so many, drawn once. The test users are the same in all cells of a log.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.benchmarks.pretraining.cells import Cell, Workshop
from pipelines.benchmarks.pretraining.logs import LOGS
from pipelines.benchmarks.pretraining.report import write_report
from recsys_bert.locks import only_writer

STARTS = ("random", "ppmi", "masked", "elsewhere", "untrained")
SCENARIOS = ("10 %", "1 %", "all", "cold items")


def cells(logs: list[str], seeds: int) -> Iterator[Cell]:
    """All cells, the most telling first."""
    for seed, part in itertools.product(range(seeds), (logs[:3], logs[3:])):
        for scenario, log in itertools.product(SCENARIOS, part):
            yield from (Cell("retrieval", log, scenario, start, seed) for start in STARTS)
            if log == "ml-100k":
                yield from (Cell("click-through", log, scenario, start, seed) for start in STARTS)


def main(argv: list[str] | None = None) -> Path:
    """Fill what is missing, write the table and the picture; returns the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public logs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--logs", nargs="*", default=list(LOGS), choices=list(LOGS), help="in the order of the cells")
    parser.add_argument("--users", type=int, default=4000, help="of a larger log, drawn once")
    parser.add_argument("--test-users", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=np.inf, help="start no cell after so long")
    parser.add_argument("--only-report", action="store_true")
    args = parser.parse_args(argv)

    args.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    every = list(cells(args.logs, args.seeds))
    with only_writer(args.out):
        workshop = Workshop(args.data, args.out, args.users, args.test_users, args.epochs)
        for cell in every:
            if args.only_report or time.monotonic() - started > args.seconds:
                break
            if not workshop.is_finished(cell):
                seconds = workshop.fill(cell)
                print(f"{cell}: {seconds:.0f} s", file=sys.stderr, flush=True)
                write_report(args.out, every, workshop)
        write_report(args.out, every, workshop)
    return args.out


if __name__ == "__main__":
    main()
