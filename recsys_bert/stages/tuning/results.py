"""Results of a search as plain values."""

import json
from dataclasses import asdict
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from recsys_bert.stages.tuning.study import Study

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def results_of(study: Study, title: str, monitor: str) -> dict[str, Any]:
    """Contents of ``tune.json``."""
    from recsys_bert.stages.evaluation.index_comparison import machine
    from recsys_bert.version import __version__

    trials = [_trial(study, trial) for trial in study.trials()]
    complete, best = [one for one in trials if one["state"] == "complete"], study.best()
    results = {
        "title": title,
        "version": __version__,
        "machine": machine(),
        "monitor": monitor,
        "higher_is_better": study.sign > 0,
        "space": {one.name: str(one) for one in study.space},
        "logarithmic": [one.name for one in study.space if one.kind in ("log", "logint")],
        "trials": trials,
        "best": None if best is None else next(one for one in complete if one["number"] == best.user_attrs["number"]),
        "recipe": next((one for one in complete if one["is_recipe"]), None),
        "importance": _importance(study),
        "config": asdict(study.config),
    }
    plain: dict[str, Any] = json.loads(json.dumps(results, default=str))
    return plain


def _trial(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    attrs, curve = trial.user_attrs, sorted(trial.intermediate_values.items())
    why = attrs.get("why")
    if trial.state == TrialState.FAIL and why is None:
        times = attrs.get("deaths", 0) + 1
        why = f"its process ended {'once' if times == 1 else f'{times} times'} before there was a result"
    return {
        "number": attrs["number"],
        "state": _STATES[trial.state],
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "values": study.values(trial),
        "is_recipe": attrs.get("is_recipe", False),
        "same_as": attrs.get("same_as"),
        "epochs": curve[-1][0] if curve else 0,
        "curve": [list(point) for point in curve],
        "seconds": None if trial.duration is None else round(trial.duration.total_seconds(), 1),
        "deaths": attrs.get("deaths", 0),
        "why": why,
        "folder": str(study.folder(attrs.get("same_as", attrs["number"]))),
    }


def _importance(study: Study) -> dict[str, float]:
    """Share of each setting in how well trials do (PED-ANOVA, https://arxiv.org/abs/2304.10255); empty for too few."""
    varied = [one.name for one in study.space if one.size != 1]
    if sum(one.state == TrialState.COMPLETE for one in study.trials()) < 4 or len(varied) < 2:
        return {}
    try:
        return optuna.importance.get_param_importances(study.optuna, params=varied)
    except (RuntimeError, ValueError):  # all values are equal
        return {}
