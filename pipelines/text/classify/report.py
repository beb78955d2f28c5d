"""How well a classifier does, as text, as JSON, and as a picture of its confusions."""

from pathlib import Path
from typing import Any


def as_text(metrics: dict[str, Any]) -> str:
    """Figures in all, then one line a class, then the most frequent confusions."""
    alone = {name: value for name, value in metrics.items() if isinstance(value, float)}
    lines = [", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in alone.items())]
    lines[0] += f" on {metrics['examples']:,} examples"
    lines += [f"  {name.replace('_', ' ')}: {n:,}" for name, n in {**metrics["left_out"], **metrics["counted"]}.items()]
    names = [one["label"] for one in metrics["classes"]]
    width = max(len("class"), *map(len, names))
    lines += ["", f"{'class':<{width}}  precision  recall      f1  examples"]
    for one in metrics["classes"]:
        shares = f"{one['precision']:>9.4f}  {one['recall']:.4f}  {one['f1']:.4f}"
        lines.append(f"{one['label']:<{width}}  {shares}  {one['examples']:>8,}")
    if pairs := _confusions(metrics, names):
        lines += ["", "most often taken for another:"]
        lines += [f"  {true} for {taken}: {count:,}" for count, true, taken in pairs]
    return "\n".join(lines)


def _confusions(metrics: dict[str, Any], names: list[str]) -> list[tuple[int, str, str]]:
    table = metrics.get("confusion", [])
    found = [
        (count, names[true], names[taken])
        for true, row in enumerate(table)
        for taken, count in enumerate(row)
        if count and true != taken
    ]
    return sorted(found, key=lambda pair: -pair[0])[:5]


def write(folder: Path, metrics: dict[str, Any]) -> None:
    """Write ``report.json``, ``report.txt`` and, where matplotlib is installed, ``confusion.svg``."""
    from recsys_bert.evaluation.report.confusion import confusion_picture
    from recsys_bert.evaluation.report.pictures import available
    from recsys_bert.files import replacing, write_json

    write_json(folder / "report.json", metrics)
    with replacing(folder / "report.txt") as aside:
        aside.write_text(as_text(metrics) + "\n", encoding="utf-8")
    if "confusion" in metrics and available():
        picture = confusion_picture(metrics["confusion"], [one["label"] for one in metrics["classes"]])
        with replacing(folder / "confusion.svg") as aside:
            aside.write_text(picture, encoding="utf-8")
