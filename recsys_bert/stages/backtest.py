"""Back-testing: several time cuts of one log, models trained anew before each, evaluated until the next."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.evaluate import BASELINES, evaluate
from recsys_bert.stages.evaluation.config import EvaluateConfig
from recsys_bert.stages.evaluation.results import Evaluation
from recsys_bert.stages.prepare import PrepareConfig, prepare

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from recsys_bert.clicks.dataset import ClickDataset

Train = Callable[["ClickDataset", Path], Any]
"""``(log, run folder) → model``, as ``evaluate`` takes one."""


@dataclass(frozen=True, repr=False)
class Backtest:
    """Results of a back-test.

    Args:
        results: Everything that ``backtest.json`` holds, as plain values.
    """

    results: dict[str, Any]

    @property
    def table(self) -> "pl.DataFrame":
        """One row a cut, kind of target and model, then their means over the cuts, called ``mean``: metrics by column.

        ``cuts`` is the number of cuts that a row is of; the mean is over cuts, each of which counts the same.
        """
        import polars as pl

        rows = pl.DataFrame(self.results["rows"], infer_schema_length=None).with_columns(cuts=pl.lit(1, pl.UInt32))
        by = ["targets", "model", "kind"]
        metrics = [name for name in rows.columns if "@" in name]
        counts = pl.col("users", "predictions").sum()
        means = rows.group_by(by, maintain_order=True).agg(counts, pl.col(metrics).mean(), pl.len().alias("cuts"))
        means = means.with_columns(cut=pl.lit("mean")).select(rows.columns)
        return pl.concat([rows, means], how="vertical_relaxed")

    def save(self, folder: Path | str) -> Path:
        """Write ``backtest.json`` and ``backtest.csv``.

        Raises:
            InputError: ``folder`` cannot be written.
        """
        from recsys_bert.files import replacing, write_json

        folder = Path(folder)
        write_json(folder / "backtest.json", self.results)
        with replacing(folder / "backtest.csv") as temporary:
            self.table.write_csv(temporary)
        return folder

    def __str__(self) -> str:
        """The terminal's tables: one a kind of target, one row a model, cuts side by side, then their mean."""
        import polars as pl

        from recsys_bert.evaluation.report.tables import Column, Row, Table, number
        from recsys_bert.evaluation.report.text import lay_out

        table, k = self.table, self.results["headline_k"]
        cuts, parts = table["cut"].unique(maintain_order=True).to_list(), []
        for kind in table["targets"].unique(maintain_order=True):
            some = table.filter(targets=kind)
            for metric, name in ((f"ndcg@{k}", f"NDCG@{k}"), (f"recall@{k}", f"Recall@{k}")):
                users = dict(
                    some.filter(pl.col("cut") != "mean").group_by("cut").agg(pl.col("users").max()).iter_rows()
                )
                columns = [Column(cut, f"{users[cut]:,} users" if cut in users else "", "higher") for cut in cuts]
                rows = []
                for (model, sort), lines in some.group_by("model", "kind", maintain_order=True):
                    values = dict(lines.select("cut", metric).iter_rows())
                    rows.append(Row(str(model), str(sort), [number(values.get(cut)) for cut in cuts]))
                parts.append(f"{name}, targets: {kind}\n{lay_out(Table(name, '', columns, rows))}")
        return "\n\n".join(parts)


def backtest(
    train: Mapping[str, Train],
    events: Any = None,
    *,
    cuts: Sequence[str],
    items: Any = None,
    users: Any = None,
    baselines: Sequence[Any] = BASELINES,
    evaluation: EvaluateConfig | Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    config: PrepareConfig | None = None,
    **settings: Any,
) -> Backtest:
    """Prepare the log at every cut, train on what came before, and evaluate on what came until the next cut.

    Vocabulary, counts, features and models know nothing from after their cut. Validation is the time from the cut
    before; before the first cut it is as long as from the first to the second. The last test ends with the log, or at
    ``split.test_until``.

    Args:
        train: Models by name: functions ``(log, run folder) → model``, called at every cut; empty: baselines alone.
        events: The log, see ``prepare``.
        cuts: Two ISO dates (UTC) or more, ascending: starts of the tests.
        items: Side table of items.
        users: Side table of users.
        baselines: As for ``evaluate``.
        evaluation: Settings of ``evaluate``, as its kinds of target.
        out: Folder: a prepared log, runs and a report a cut, and the table of all; a run that was interrupted there is
            resumed. None keeps nothing but the results.
        config: Settings of ``prepare``.
        **settings: Or as keywords; of the split, only ``validation`` and ``test_until`` may be base.

    Raises:
        InputError: The cuts or settings do not fit, or a cut leaves nothing to train on or to test.
    """
    import tempfile

    settled = make_config(PrepareConfig, config, settings)
    options = evaluation
    if not isinstance(options, EvaluateConfig):
        options = make_config(EvaluateConfig, None, dict(options or {}))
    periods = _periods(settled, cuts)
    if not train and not baselines:
        raise InputError("there is nothing to evaluate: give models or baselines.")
    rows: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if out is None else Path(out)
        for name, split in periods:
            print(f"cut {len(parts) + 1} of {len(periods)}: {name}", file=sys.stderr)
            where = folder / f"cut-{name}".replace(":", "")
            own = replace(settled, split=split)
            log = prepare(events, items=items, users=users, out=where / "prepared", config=own)
            models = {model: fit(log, where / model) for model, fit in train.items()}
            report = evaluate(models, log, baselines=baselines, out=where / "report", config=options)
            rows += [{"cut": name, **row} for row in report.by_target.iter_rows(named=True)]
            parts.append(_part(name, log, report))
    results = Backtest({"rows": rows, "cuts": parts, "headline_k": parts[0]["headline_k"]})
    if out is not None:
        results.save(out)
    return results


def _periods(config: PrepareConfig, cuts: Sequence[str]) -> list[tuple[str, SplitConfig]]:
    """Split of each cut, by the cut's name.

    Raises:
        InputError: Fewer than two cuts, not ascending, or split settings that the cuts override.
    """
    from datetime import UTC, datetime

    base = config.split
    own = (
        SplitConfig(kind="time", validation=base.validation, test_until=base.test_until)
        if (base.kind == "time")
        else SplitConfig(validation=base.validation)
    )
    if base != own:
        raise InputError("back-testing sets the split by its cuts; of split.*, give validation and test_until alone.")
    try:
        times = [datetime.fromisoformat(str(cut)).replace(tzinfo=UTC) for cut in cuts]
    except ValueError as error:
        raise InputError(f"cuts are {', '.join(map(str, cuts))}; give ISO dates, as 2024-05-01: {error}.") from error
    if len(times) < 2 or any(later <= earlier for earlier, later in pairwise(times)):
        raise InputError(f"cuts are {', '.join(map(str, cuts))}; give two dates or more, each after the one before.")
    before = [times[0] - (times[1] - times[0]), *times[:-1]]
    until = [*map(_iso, times[1:]), base.test_until]
    periods = []
    for cut, time, start, end in zip(cuts, times, before, until, strict=True):
        split = SplitConfig(kind="time", validation=base.validation, test_from=_iso(time), test_until=end)
        periods.append((str(cut), replace(split, validation_from=_iso(start)) if base.validation else split))
    return periods


def _iso(time: "datetime") -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def _part(name: str, log: "ClickDataset", report: Evaluation) -> dict[str, Any]:
    """One cut of ``backtest.json``."""
    counts = {key: log.manifest.counts[key] for key in ("items", "training_events", "validation_events", "test_events")}
    names = ("protocol", "skipped", "comparisons", "notes", "headline_k")
    return {"cut": name, **counts, **{key: report.results[key] for key in names}}
