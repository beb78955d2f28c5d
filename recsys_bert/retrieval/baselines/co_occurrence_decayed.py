"""Co-occurrence in order that fades: pairs count half as much after each half-life."""

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.baselines.counts import Rows


class CoOccurrenceDecayed:
    """``CoOccurrence`` where a pair counts ``2 ** (-t / half_life)``, ``t`` days before the end of training.

    Shares depend on the differences between ages alone, so the lists are the same at any later time.

    Args:
        half_life: In days.
        last: This and the next ones are those of ``CoOccurrence``.
        window: Largest gap of a pair, in events.
        decay: Of older items of the history.
        most: Followers kept of every item.
    """

    name = "co_occurrence_decayed"
    needs_times = True

    def __init__(
        self, *, half_life: float = 90, last: int = 5, window: int = 10, decay: float = 0.5, most: int = 0
    ) -> None:
        self.counts = CoOccurrence(last=last, window=window, decay=decay, most=most, half_life=half_life)
        self.counts.name = self.name

    def fit(self, dataset: ClickDataset) -> "CoOccurrenceDecayed":
        """Count pairs.

        Raises:
            InputError: The log has no times.
        """
        self.counts.fit(dataset)
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue: rows ``[n, k]``, popular ones after those that co-occurred, -1 where fewer are left."""
        return self.counts.rank(queries, k, exclude_seen)
