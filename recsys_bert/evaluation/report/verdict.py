"""The result of an evaluation in words, no stronger than its tests of significance."""

from typing import Any

from recsys_bert.evaluation.report.evaluation_tables import LEVEL
from recsys_bert.evaluation.report.tables import Results, p_value


def significant_pairs(results: Results) -> list[tuple[str, str]]:
    """Pairs of models, the better one first, whose NDCG at the headline k differs significantly."""
    metric = f"ndcg@{results['headline_k']}"
    tests = [test for test in results["comparisons"] if test["metric"] == metric and test["p_corrected"] < LEVEL]
    pairs = [(test["model"], test["against"], test["difference"]) for test in tests]
    return [(first, second) if difference > 0 else (second, first) for first, second, difference in pairs]


def verdict(results: Results) -> str:
    """State the highest NDCG, and which differences to it are significant."""
    k = results["headline_k"]
    models = [m for m in results["models"] if m["kind"] in ("run", "baseline") and m["metrics"].get(f"ndcg@{k}")]
    if not models:
        return "Nothing was ranked."
    best = max(models, key=lambda model: _ndcg(model, k))
    kind = "baseline, " if best["kind"] == "baseline" else ""
    recall = best["metrics"][f"recall@{k}"]["value"]
    sentences = [f"{best['name']} ({kind}NDCG@{k} {_ndcg(best, k):.4f}, recall@{k} {recall:.4f}) has the highest NDCG."]
    if best["kind"] == "baseline":
        sentences += _runs_below(best, models, results)
    else:
        sentences += _against_others(best, models, results)
    return " ".join(sentences)


def _runs_below(best: dict[str, Any], models: list[dict[str, Any]], results: Results) -> list[str]:
    """A baseline is on top: say which runs are significantly below it."""
    runs = [(model["name"], _test(best, model, results)) for model in models if model["kind"] == "run"]
    worse = [name for name, test in runs if test and test["p_corrected"] < LEVEL]
    others = [name for name, test in runs if test and name not in worse]
    sentences = [f"Significantly below it: {', '.join(worse)}."] if worse else []
    return sentences + ([f"No significant difference to it: {', '.join(others)}."] if others else [])


def _against_others(best: dict[str, Any], models: list[dict[str, Any]], results: Results) -> list[str]:
    """A run is on top: its differences to the best baseline and to the run that it was compared with."""
    k, sentences = results["headline_k"], []
    baselines = [model for model in models if model["kind"] == "baseline"]
    if baselines:
        baseline = max(baselines, key=lambda model: _ndcg(model, k))
        gain = f", {100 * (_ndcg(best, k) / _ndcg(baseline, k) - 1):+.0f} %" if _ndcg(baseline, k) else ""
        head = f"Best baseline: {baseline['name']} (NDCG@{k} {_ndcg(baseline, k):.4f}{gain});"
        sentences.append(f"{head} {_significance(best, baseline, results)}.")
    for other in models:
        if other["kind"] == "run" and other is not best and _test(best, other, results):
            sentences.append(f"Against {other['name']}: {_significance(best, other, results)}.")
    return sentences


def _significance(first: dict[str, Any], second: dict[str, Any], results: Results) -> str:
    test = _test(first, second, results)
    if test is None:
        return "the difference was not tested"
    if test["p_corrected"] < LEVEL:
        return f"the difference is significant (p {_compared(test['p_corrected'])}, corrected)"
    return f"no significant difference (p {_compared(test['p_corrected'])}, corrected)"


def _compared(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _test(first: dict[str, Any], second: dict[str, Any], results: Results) -> dict[str, Any] | None:
    names, metric = {first["name"], second["name"]}, f"ndcg@{results['headline_k']}"
    tests = (test for test in results["comparisons"] if test["metric"] == metric)
    return next((test for test in tests if {test["model"], test["against"]} == names), None)


def _ndcg(model: dict[str, Any], k: int) -> float:
    value: float = model["metrics"][f"ndcg@{k}"]["value"]
    return value
