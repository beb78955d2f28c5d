"""Results of an offline evaluation: frames, tables and files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from recsys_bert.stages.evaluation.values import ValueFrames


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Results of an evaluation.

    Args:
        results: Everything that ``report.json`` holds, as plain values.
        values: Metrics of every user and item, on the first kind of target.
    """

    results: dict[str, Any]
    values: "ValueFrames"

    @property
    def users(self) -> "pl.DataFrame":
        """One row a model and user: ``user_id``, ``events_before``, ``targets``, every metric at every k."""
        return self.values.users

    @property
    def items(self) -> "pl.DataFrame":
        """One row a model and item with a target or a recommendation: counts, and recall at the headline k."""
        return self.values.items

    @property
    def table(self) -> "pl.DataFrame":
        """One row a model: ``model``, ``kind``, metrics at the headline k, significance, then all the others.

        ``better_than`` and ``worse_than`` list the models from which NDCG at the headline k differs significantly: at
        5 %, paired over users, corrected for all comparisons made. ``…_low`` and ``…_high`` end each metric's interval.
        """
        import polars as pl

        from recsys_bert.evaluation.report.verdict import significant_pairs

        pairs, rows = significant_pairs(self.results), []
        for model in self.results["models"]:
            name, metrics = model["name"], model["metrics"]
            row: dict[str, Any] = {"model": name, "kind": model["kind"]}
            row["better_than"] = [worse for better, worse in pairs if better == name]
            row["worse_than"] = [better for better, worse in pairs if worse == name]
            row |= {metric: value["value"] for metric, value in metrics.items()}
            row |= {f"{metric}_{end}": value[end] for metric, value in metrics.items() for end in ("low", "high")}
            rows.append(row)
        words = {"model": pl.String, "kind": pl.String}
        lists = {"better_than": pl.List(pl.String), "worse_than": pl.List(pl.String)}
        numbers = {name: pl.Float64 for row in rows for name in row if name not in {*words, *lists}}
        headline = [name for name in numbers if name.endswith(f"@{self.results['headline_k']}")]
        table = pl.DataFrame(rows, schema={**words, **lists, **numbers})
        return table.select([*words, *headline, *lists, *(name for name in numbers if name not in headline)])

    @property
    def by_target(self) -> "pl.DataFrame":
        """One row a kind of target and model: ``targets``, ``model``, ``kind``, ``users``, ``predictions``, metrics.

        Kinds are those of the setting ``targets``, and ``new users``, whose first event is held out, if there are any.
        """
        import polars as pl

        rows = [
            {
                "targets": part["targets"],
                "model": model["name"],
                "kind": model["kind"],
                "users": part["protocol"]["users"],
                "predictions": part["protocol"]["predictions"],
                **{metric: value["value"] for metric, value in model["metrics"].items()},
            }
            for part in self._parts()
            for model in part["models"]
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def by_training_events(self) -> "pl.DataFrame":
        """One row a kind of target, model and group of targets by training events: 0, 1-4, 5-19, 20+.

        ``targets``, ``model``, ``kind``, ``group``, ``predictions`` with a target in the group, ``n_targets``, recall
        and NDCG at the headline k. Each target counts by itself; see ``evaluation.breakdowns.by_training_events``.
        """
        import polars as pl

        rows = [
            {"targets": part["targets"], "model": model["name"], "kind": model["kind"]}
            | {"n_targets" if name == "targets" else name: value for name, value in line.items()}
            for part in self._parts()
            for model in part["models"]
            for line in model["by_training_events"]
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    def _parts(self) -> list[dict[str, Any]]:
        """Results by kind of target, new users last."""
        several = self.results["by_target"] or [{"targets": self.results["config"]["targets"][0], **self.results}]
        return [*several, *([self.results["new_users"]] if self.results.get("new_users") else [])]

    @property
    def comparisons(self) -> "pl.DataFrame":
        """One row a paired test: ``model``, ``against``, ``metric``, ``difference``, ``low``, ``high``, p-values."""
        import polars as pl

        return pl.DataFrame(self.results["comparisons"])

    def save(self, folder: Path | str) -> Path:
        """Write ``report.html``, ``report.json``, ``users.parquet`` and ``items.parquet``, replacing earlier ones.

        Raises:
            InputError: ``folder`` cannot be written.
        """
        from recsys_bert.evaluation.report.page import page
        from recsys_bert.files import replacing, write_json

        folder = Path(folder)
        with replacing(folder / "report.html") as temporary:
            temporary.write_text(page(self.results), encoding="utf-8")
        write_json(folder / "report.json", self.results)
        self.values.save(folder)
        return folder

    def __str__(self) -> str:
        """The terminal's tables."""
        from recsys_bert.evaluation.report.text import text

        return text(self.results)

    def _repr_html_(self) -> str:
        """The headline table for notebooks."""
        from recsys_bert.evaluation.report.page import summary

        return summary(self.results)
