"""Settings of score fusion. Plain values: importing this is instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recsys_bert.errors import InputError

_MAY_BE_EMPTY = ("half_lives", "recent_weights", "recent_half_lives", "recent_windows")


@dataclass(frozen=True, kw_only=True)
class FuseConfig:
    """Settings of score fusion."""

    weights: tuple[float, ...] = (0.5, 1.0)
    """Factors on the gain from counts; at 1 a share counts as much as a probability of the model. None given: the mean
    of several runs stays as it is."""

    smoothings: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01)
    """Shares at which an item gains weight · log 2."""

    half_lives: tuple[float, ...] = (90.0,)
    """Half-lives in days by which older pairs count less; counting all alike is always tried, too. For logs with
    times."""

    last: int = 5
    """Last items of a history whose followers count."""

    window: int = 10
    """Largest gap, in events, at which one item follows another; a pair counts 1 / gap."""

    decay: float = 0.5
    """An item of the history that is n events old counts decay ** n, in (0, 1]."""

    most: int = 1000
    """Followers of every item, the most frequent ones; 0 keeps all."""

    recent_weights: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    """Factors on the gain from recency, an item's share in the last events of training; from 8 on popularity decides
    most. None given: no recency. For logs with times."""

    recent_half_lives: tuple[float, ...] = (2.0, 4.0, 7.0, 30.0)
    """Half-lives in days by which older events count less in that share."""

    recent_windows: tuple[float, ...] = (7.0, 14.0)
    """Or windows in days whose events count, and none before."""

    recent_smoothings: tuple[float, ...] = (0.001,)
    """Shares at which an item gains recent_weight · log 2."""

    text: str | None = None
    """Text of items: ``tfidf`` or ``words``, or a folder that `item-vectors` wrote. An item gains text_weight · ⟨text
    of the user's last items, its text⟩."""

    text_weights: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    """Factors on those products, which lie in [-1, 1]."""

    text_lasts: tuple[int, ...] = (5, 20)
    """Last items of a history whose texts count."""

    text_decays: tuple[float, ...] = (0.4, 0.6, 0.8)
    """An item of the history that is n events old counts text_decay ** n, in (0, 1]."""

    popularity_weights: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Factors on log(1 + an item's training events), to which all else is added where no run is given."""

    seen: bool = False
    """Choose with items of the history ranked, too, as `evaluate --seen` does; for logs in which people repeat."""

    target_types: tuple[str, ...] = ()
    """Event types that are targets on validation, as purchase; empty: all."""

    targets: Literal["all", "next", "last", "successive"] = "all"
    """Kind of target to choose by, as in `evaluate`: what wins for a user's next months need not win for one click."""

    validation_users: int = 10_000
    """Users ranked for each setting at most, drawn once; 0 takes all."""

    seed: int = 0
    """Seed of that draw."""

    def __post_init__(self) -> None:
        for name in ("weights", "smoothings", "recent_smoothings", *_MAY_BE_EMPTY):
            values = getattr(self, name)
            if not (values or name in ("weights", *_MAY_BE_EMPTY)) or not all(0 < v < float("inf") for v in values):
                raise InputError(f"{name} are {list(values)}; give one number above 0 at least.")
        for name in ("text_weights", "text_lasts", "text_decays", "popularity_weights"):
            if not (values := getattr(self, name)) or not all(0 < v < float("inf") for v in values):
                raise InputError(f"{name} are {list(values)}; give one number above 0 at least.")
        if max(self.text_decays) > 1:
            raise InputError(f"text_decays are {list(self.text_decays)}; they lie in (0, 1].")
        if self.recent_weights and not (self.recent_half_lives or self.recent_windows):
            raise InputError("recent_weights have no effect without recent_half_lives or recent_windows; give one.")
        if self.seed < 0 or self.validation_users < 0:
            raise InputError(f"seed is {self.seed} and validation_users {self.validation_users}; neither is below 0.")


_OF_TEXT = ("text_weights", "text_lasts", "text_decays")


def check_named_settings(names: frozenset[str], has_runs: bool, has_text: bool) -> None:
    """Refuse settings that nothing reads.

    Raises:
        InputError: Settings of text without text, or of popularity beside trained runs.
    """
    if not has_text and (unread := [name for name in _OF_TEXT if name in names]):
        raise InputError(
            f"{unread[0]} has no effect without text. Set text to tfidf, words or a folder of item vectors."
        )
    if has_runs and "popularity_weights" in names:
        raise InputError("popularity_weights are for fusing without runs; a trained run knows what is popular.")


def check_runs(config: FuseConfig, runs: Sequence[Path], has_text: bool) -> None:
    """Check the runs of a fusion.

    Raises:
        InputError: One of them twice, or a single one, or none, with nothing to add.
    """
    if len({run.resolve() for run in runs}) < len(runs):
        raise InputError(f"runs are {', '.join(map(str, runs))}; give each once.")
    if len(runs) <= 1 and not (config.weights or config.recent_weights or has_text):
        alone = "a run stays as it is" if runs else "there is nothing but popularity"
        raise InputError(f"without weights {alone}. Give several runs, or weights, recent_weights or text.")
