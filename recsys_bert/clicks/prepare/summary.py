"""Counts of a prepared log, and its summary in a few lines."""

from typing import Any

import numpy as np

from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.clicks.manifest import Manifest, count_lines
from recsys_bert.clicks.prepare.catalogue import Catalogue
from recsys_bert.clicks.prepare.events import chunks
from recsys_bert.clicks.prepare.splits import training_mask


def event_counts(histories: Histories, catalogue: Catalogue) -> dict[str, int]:
    """Users, events and rows: total and per split."""
    first, last = histories.offsets[:-1], histories.offsets[1:]
    parts = (
        histories.train_end - first,
        histories.validation_end - histories.train_end,
        last - histories.validation_end,
    )
    counts = {
        "users": histories.n_users,
        "events": len(histories.items),
        "items": catalogue.vocabulary.n_items,
        "cold_items": len(catalogue.cold_ids),
        "vocabulary_rows": catalogue.vocabulary.size,
        "catalogue_rows": catalogue.n_rows,
    }
    for name, lengths in zip(("training", "validation", "test"), parts, strict=True):
        counts[f"{name}_events"] = int(lengths.sum())
        counts[f"{name}_users"] = int((lengths > 0).sum())
    return counts


def cold_counts(histories: Histories, catalogue: Catalogue) -> dict[str, int]:
    """Held-out events on unknown or cold items, and users without a history."""
    vocabulary = catalogue.vocabulary
    names = ("training", "held_out")
    unknown, cold_rows = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for users, part in chunks(histories.offsets):
        mask = training_mask(histories.offsets, histories.train_end, users, part)
        for name, selected in zip(names, (mask, ~mask), strict=True):
            items = histories.items[part][selected]
            unknown[name] += int((items < vocabulary.first_item).sum())
            cold_rows[name] += int((items >= vocabulary.size).sum())
    first, last = histories.offsets[:-1], histories.offsets[1:]
    return {
        "rare_items_called_unknown": catalogue.rare,
        "training_events_on_unknown_items": unknown["training"],
        "held_out_events_on_unknown_items": unknown["held_out"],
        "held_out_events_on_cold_items": cold_rows["held_out"],
        "users_without_training_events": int((histories.train_end == first).sum()),
        "test_users_without_history": int(np.sum((histories.validation_end == first) & (last > first))),
    }


def weight_counts(histories: Histories, types: list[str]) -> dict[str, Any]:
    """Least, mean and largest weight of all events, and events and mean weight by event type; empty without weights."""
    if histories.weights is None:
        return {}
    n_events, total = np.zeros(FIRST_VALUE + len(types), np.int64), np.zeros(FIRST_VALUE + len(types))
    smallest, largest = np.inf, -np.inf
    for _, part in chunks(histories.offsets):
        weights = histories.weights[part]
        codes = np.zeros(len(weights), np.int64) if histories.event_types is None else histories.event_types[part]
        n_events += np.bincount(codes, minlength=len(n_events))
        total += np.bincount(codes, weights, minlength=len(total))
        smallest, largest = min(smallest, float(weights.min())), max(largest, float(weights.max()))
    mean = total / np.maximum(n_events, 1)
    entries = [{"events": int(n), "mean": float(value)} for n, value in zip(n_events, mean, strict=True)][FIRST_VALUE:]
    return {
        "smallest": smallest,
        "mean": float(total.sum() / n_events.sum()),
        "largest": largest,
        "by_type": dict(zip(types, entries, strict=True)),
    }


def weight_line(weights: dict[str, Any]) -> str:
    """Event weights in a line, and what they do."""
    by_type = ", ".join(f"{name} {entry['mean']:g} ({entry['events']:,})" for name, entry in weights["by_type"].items())
    spread = f"{weights['smallest']:g} to {weights['largest']:g}, mean {weights['mean']:.3g}"
    same = weights["smallest"] == weights["largest"] == 1
    effect = "all 1" if same else f"{spread}; they multiply the loss of their events in training"
    return f"  event weights: {by_type + '; ' if by_type else ''}{effect}"


def summary_lines(manifest: Manifest) -> list[str]:
    """Summary of a manifest."""
    log = manifest.log
    lines = [f"read {log['rows']:,} rows of {_files(log['files'])}"]
    for entry in manifest.filters:
        reasons = ", ".join(f"{name}: {n:,}" for name, n in entry["reasons"].items())
        reasons = f" ({reasons})" if reasons else ""
        lines.append(f"  {entry['filter']}: {entry['events_in']:,} → {entry['events_out']:,} events{reasons}")
    lines += [f"  warning: {n:,} {name.replace('_', ' ')}" for name, n in leaks_left(manifest).items() if n]
    for role, features in manifest.features.items():
        for name, feature in features.items():
            lines.append(
                f"  feature {role}.{name}: {feature['size'] - 2:,} values, on {feature['rows_with_a_value']:,} rows"
            )
    lines += text_lines(manifest)
    lines += [
        f"  feature {role}.{name}: {_dense_text(entry)}"
        for role, features in manifest.dense.items()
        for name, entry in features.items()
    ]
    lines += [weight_line(manifest.weights)] if manifest.weights else []
    lines += growth_lines(manifest)
    lines += count_lines(manifest)
    lines += [f"  {name.replace('_', ' ')}: {n:,}" for name, n in manifest.cold.items() if n]
    return lines


def text_lines(manifest: Manifest) -> list[str]:
    """Counts of the items' words, on one line; nothing without words."""
    if not (texts := manifest.texts):
        return []
    reasons = [f"{name.replace('_', ' ')}: {n:,}" for name, n in texts.items() if isinstance(n, int) and n]
    return [f"  text of {', '.join(texts['columns'])}: {'; '.join(reasons) or 'no item has any'}"]


def growth_lines(manifest: Manifest) -> list[str]:
    """Counts of a grown vocabulary on one line; nothing for others."""
    growth = manifest.growth
    if not growth:
        return []
    parts = [
        f"{growth[f'{role}_inherited']:,} {role} keep their rows ({growth[f'{role}_without_events']:,} without events),"
        f" {growth[f'{role}_new']:,} new"
        for role in ("items", "users")
        if f"{role}_inherited" in growth
    ]
    return [f"  vocabulary of {growth['of']}: {'; '.join(parts)}"]


def leaks_left(manifest: Manifest) -> dict[str, int]:
    """Leaks of a split of one's own that stay in the folder: training events from the future of held-out ones."""
    leaks: dict[str, int] = manifest.split.get("leaks", {})
    names = ("training_events_after_a_held_out_one_of_their_user", "training_events_after_the_first_test_event")
    return {name: leaks[name] for name in names if name in leaks}


def _files(files: list[dict[str, Any]]) -> str:
    return str(files[0]["name"]) if len(files) == 1 else f"{len(files)} files"


def _dense_text(entry: dict[str, Any]) -> str:
    """Kind, coverage and rows not used of a feature of numbers."""
    kind = f"numbers ({entry['rule']})" if entry["kind"] == "numeric" else f"vectors of width {entry['width']}"
    known = ("kind", "width", "rule", "rows_with_a_value", "rows_without", "scaling", "sha256")
    others = [f"{name.replace('_', ' ')}: {n:,}" for name, n in entry.items() if name not in known and n]
    about = f" ({', '.join(others)})" if others else ""
    return f"{kind}, on {entry['rows_with_a_value']:,} rows, {entry['rows_without']:,} without{about}"
