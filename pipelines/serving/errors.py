"""Errors of requests, each with its HTTP status and a message for the client."""

import math

from recsys_bert.errors import InputError
from recsys_bert.serving.batcher import DeadlineExceeded, QueueFull
from recsys_bert.serving.live_log import StateUnavailable
from recsys_bert.stores.backend import StoreUnavailable


class RequestError(Exception):
    """A request that is refused.

    Args:
        status: HTTP status.
        message: Sent to the client.
        retry_after_s: Seconds after which to try again; None: it will not help.
    """

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after_s = status, message, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After``, where it helps."""
        return {} if self.retry_after_s is None else {"Retry-After": str(math.ceil(self.retry_after_s))}


FAULT = RequestError(500, "the service failed on this request; its log says why.")
"""Answer to a request on which the service failed; nothing of the error is in it."""


def request_error(error: Exception) -> RequestError | None:
    """The error as one of a request; None for a fault of ours."""
    match error:
        case RequestError():
            return error
        case StoreUnavailable():
            return RequestError(503, "the store does not answer now; try again.", 1)
        case InputError():
            return RequestError(422, str(error))
        case QueueFull():
            return RequestError(503, str(error), error.retry_after_s)
        case DeadlineExceeded():
            return RequestError(504, str(error))
        case StateUnavailable():
            return RequestError(503, "events and items cannot be read or written now; try again.", 1)
    return None


KNOWN = (RequestError, InputError, QueueFull, DeadlineExceeded, StateUnavailable, StoreUnavailable)
"""Exceptions that ``request_error`` knows."""
