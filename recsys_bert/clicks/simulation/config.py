"""Settings of a simulated click log."""

from dataclasses import dataclass

from recsys_bert.errors import InputError

_SHARES = ("explore", "successor", "stay", "sibling", "base", "style_noise", "new_session", "purchase_share")


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """Size of a simulated log, and probabilities of the next click.

    A click is one of: *explore* (any item, by popularity), *successor* (the item that follows the last one),
    *stay* (the last click's leaf category), *sibling* (a leaf beside it in the tree), *base* (by the age group's
    preferences), and for the rest *interest* (the leaf of an earlier click, weighted by recency). *Successor*,
    *stay* and *sibling* happen only within a session, *base* only where a session begins.
    """

    users: int = 3_000
    """Number of users."""

    items: int = 800
    """Number of items; at least one for each leaf category and style."""

    seed: int = 0
    """Random seed: equal settings give equal logs."""

    mean_events: float = 40.0
    """Mean clicks of a user; the number is geometric above ``min_events``, capped at ``max_events``."""

    min_events: int = 5
    """Minimum clicks of a user."""

    max_events: int = 200
    """Maximum clicks of a user; at most half of ``items``, because no user clicks an item twice."""

    categories: int = 6
    """Top nodes of the category tree."""

    leaves: int = 4
    """Leaf categories below each top node."""

    styles: int = 6
    """Styles of items, across all categories; each is a tag, and a user's preference among them changes slowly."""

    zipf: float = 0.8
    """Exponent of popularity: the item of rank r is picked in proportion to r ** -zipf."""

    explore: float = 0.04
    """Probability of a click on any item, by popularity alone."""

    successor: float = 0.06
    """Probability, within a session, of the item that follows the last clicked one in its leaf."""

    stay: float = 0.15
    """Probability, within a session, of an item in the last click's leaf."""

    sibling: float = 0.05
    """Probability, within a session, of an item in another leaf of the last click's top category."""

    base: float = 0.15
    """Probability, at the start of a session, of a leaf drawn from the age group's preferences."""

    leaf_memory: float = 0.9
    """Weight of a click in the user's interests, as a share of the next younger one's, in (0, 1)."""

    style_memory: float = 0.97
    """The same for the user's preference among styles."""

    style_noise: float = 0.05
    """Probability of a uniformly drawn style."""

    new_session: float = 0.2
    """Probability that a click begins a new session."""

    days: float = 60.0
    """Approximate length of the log in days."""

    purchase_share: float = 0.08
    """Share of events that are purchases instead of clicks, of the median item; drawn independently."""

    purchase_spread: float = 0.0
    """Standard deviation of the items' log-odds of being purchased, once clicked: with 0 purchases are clicks like any
    other, with 2 some items are looked at and others bought. Their truth is in truth.parquet, too."""

    impressions: float = 12.0
    """Mean number of impressions of a user (items shown, clicked or not)."""

    def __post_init__(self) -> None:
        if min(self.users, self.items, self.categories, self.leaves, self.styles, self.min_events) < 1:
            raise InputError("users, items, categories, leaves, styles and min-events must be at least 1.")
        if not self.min_events <= self.mean_events <= self.max_events:
            raise InputError(
                f"mean-events is {self.mean_events}; it must lie between min-events ({self.min_events}) "
                f"and max-events ({self.max_events})."
            )
        if self.items < self.cells or self.items < 2 * self.max_events:
            raise InputError(
                f"{self.items} items are too few: categories x leaves x styles needs {self.cells}, and max-events "
                f"{self.max_events} needs {2 * self.max_events}. Raise items or lower the others."
            )
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name.replace('_', '-')} is {getattr(self, name)}; it must lie in [0, 1].")
        if self.explore == 0.0 or self.explore + max(self.successor + self.stay + self.sibling, self.base) > 1.0:
            raise InputError(
                "explore must be above 0, and explore + successor + stay + sibling, and explore + base, at most 1."
            )
        if not (0.0 < self.leaf_memory < 1.0 and 0.0 < self.style_memory < 1.0):
            raise InputError("leaf-memory and style-memory must lie strictly between 0 and 1.")
        if min(self.zipf, self.impressions, self.seed, self.purchase_spread) < 0 or self.days <= 0:
            raise InputError(
                "zipf, impressions, seed and purchase-spread must not be negative, and days must be above 0."
            )

    @property
    def cells(self) -> int:
        """Pairs of leaf category and style; every item belongs to one."""
        return self.categories * self.leaves * self.styles
