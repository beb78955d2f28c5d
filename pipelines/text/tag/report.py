"""How well a recogniser does, as text and as JSON."""

from pathlib import Path
from typing import Any


def as_text(figures: dict[str, Any]) -> str:
    """Figures in all, then one line a type."""
    alone = {name: value for name, value in figures.items() if isinstance(value, float)}
    entities = sum(one["examples"] for one in figures["classes"])
    lines = [", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in alone.items())]
    lines[0] += f" on {entities:,} entities in {figures['examples']:,} sentences"
    lines += [f"  {name.replace('_', ' ')}: {n:,}" for name, n in {**figures["left_out"], **figures["counted"]}.items()]
    width = max(len("type"), *(len(one["label"]) for one in figures["classes"]))
    lines += ["", f"{'type':<{width}}  precision  recall      f1  entities"]
    for one in figures["classes"]:
        shares = f"{one['precision']:>9.4f}  {one['recall']:.4f}  {one['f1']:.4f}"
        lines.append(f"{one['label']:<{width}}  {shares}  {one['examples']:>8,}")
    return "\n".join(lines)


def write(folder: Path, figures: dict[str, Any]) -> None:
    """Write ``report.json`` and ``report.txt``."""
    from recsys_bert.files import replacing, write_json

    write_json(folder / "report.json", figures)
    with replacing(folder / "report.txt") as aside:
        aside.write_text(as_text(figures) + "\n", encoding="utf-8")
