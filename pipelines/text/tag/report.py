"""Metrics of a tagger as text and as JSON."""

from pathlib import Path
from typing import Any


def as_text(metrics: dict[str, Any]) -> str:
    """Overall metrics, then one line per type."""
    overall = {name: value for name, value in metrics.items() if isinstance(value, float)}
    entities = sum(one["examples"] for one in metrics["classes"])
    lines = [", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in overall.items())]
    lines[0] += f" on {entities:,} entities in {metrics['examples']:,} sentences"
    lines += [f"  {name.replace('_', ' ')}: {n:,}" for name, n in {**metrics["left_out"], **metrics["counted"]}.items()]
    width = max(len("type"), *(len(one["label"]) for one in metrics["classes"]))
    lines += ["", f"{'type':<{width}}  precision  recall      f1  entities"]
    for one in metrics["classes"]:
        shares = f"{one['precision']:>9.4f}  {one['recall']:.4f}  {one['f1']:.4f}"
        lines.append(f"{one['label']:<{width}}  {shares}  {one['examples']:>8,}")
    return "\n".join(lines)


def write(folder: Path, metrics: dict[str, Any]) -> None:
    """Write ``report.json`` and ``report.txt``."""
    from recsys_bert.files import replacing, write_json

    write_json(folder / "report.json", metrics)
    with replacing(folder / "report.txt") as temporary:
        temporary.write_text(as_text(metrics) + "\n", encoding="utf-8")
