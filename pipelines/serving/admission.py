"""Admission of requests: refuse at once what would wait too long, before it costs anything.

The expected time of a request is the number of requests under way times the seconds between two answers (Little's law).
Where more come than can be answered, the time of those that are accepted stays what it is at saturation, and the others
are told early enough to go elsewhere.
"""

import time
from dataclasses import dataclass

from pipelines.serving.errors import RequestError

_WEIGHT = 0.02  # of the last answer in the mean of the seconds between two; the first, slow at a start, count alike


@dataclass(frozen=True, kw_only=True)
class AdmissionLimits:
    """Limits of the requests under way.

    Args:
        free: Requests that are accepted whatever they wait.
        most: Requests under way at most.
        seconds: Expected time of a request at most, beyond ``free``; 0: any.
    """

    free: int = 64
    most: int = 320
    seconds: float = 0.25


class Admission:
    """Requests under way and how fast they are answered.

    Args:
        limits: See there.
    """

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits, self.active, self.refused, self.seconds_each = limits, 0, 0, 0.0
        self._last, self._answers = 0.0, 0

    @property
    def expected_s(self) -> float:
        """Expected seconds of one more request."""
        return (self.active + 1) * self.seconds_each

    def refusal(self) -> RequestError | None:
        """Error of one more request, which is counted as refused; None where it is welcome."""
        limits, late = self.limits, self.expected_s
        if self.active >= limits.most or (self.active >= limits.free and limits.seconds and late > limits.seconds):
            self.refused += 1
            return RequestError(503, "too many requests are waiting; try again later.", max(1.0, late))
        return None

    def enter(self) -> None:
        """Count a request in.

        Raises:
            RequestError: It would wait too long.
        """
        if (refusal := self.refusal()) is not None:
            raise refusal
        if not self.active:
            self._last = time.perf_counter()  # the time without requests says nothing of their speed
        self.active += 1

    def leave(self) -> None:
        """Count a request out: it was answered, or its client left."""
        now = time.perf_counter()
        interval, self._last = now - self._last, now
        self.active -= 1
        self._answers += 1
        self.seconds_each += max(_WEIGHT, 1 / self._answers) * (interval - self.seconds_each)
