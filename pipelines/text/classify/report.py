"""Report on a classifier: text, JSON, and a picture of its confusions."""

from pathlib import Path
from typing import Any


def as_text(metrics: dict[str, Any]) -> str:
    """Metrics overall, one line a class, the most frequent confusions."""
    scalars = {name: value for name, value in metrics.items() if isinstance(value, float)}
    lines = [", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in scalars.items())]
    lines[0] += f" on {metrics['examples']:,} examples"
    lines += [f"  {name.replace('_', ' ')}: {n:,}" for name, n in {**metrics["left_out"], **metrics["counted"]}.items()]
    names = [one["label"] for one in metrics["classes"]]
    width = max(len("class"), *map(len, names))
    lines += ["", f"{'class':<{width}}  precision  recall      f1  examples"]
    for one in metrics["classes"]:
        shares = f"{one['precision']:>9.4f}  {one['recall']:.4f}  {one['f1']:.4f}"
        lines.append(f"{one['label']:<{width}}  {shares}  {one['examples']:>8,}")
    if pairs := _confusions(metrics, names):
        lines += ["", "most frequent confusions:"]
        lines += [f"  {true} as {predicted}: {count:,}" for count, true, predicted in pairs]
    return "\n".join(lines)


def _confusions(metrics: dict[str, Any], names: list[str]) -> list[tuple[int, str, str]]:
    table = metrics.get("confusion", [])
    pairs = [
        (count, names[true], names[predicted])
        for true, row in enumerate(table)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair[0])[:5]


def write(folder: Path, metrics: dict[str, Any]) -> None:
    """Write ``report.json``, ``report.txt`` and, where matplotlib is installed, ``confusion.svg``."""
    from recsys_bert.evaluation.report.confusion import confusion_picture
    from recsys_bert.evaluation.report.pictures import available
    from recsys_bert.files import replacing, write_json

    write_json(folder / "report.json", metrics)
    with replacing(folder / "report.txt") as temporary:
        temporary.write_text(as_text(metrics) + "\n", encoding="utf-8")
    if "confusion" in metrics and available():
        picture = confusion_picture(metrics["confusion"], [one["label"] for one in metrics["classes"]])
        with replacing(folder / "confusion.svg") as temporary:
            temporary.write_text(picture, encoding="utf-8")
