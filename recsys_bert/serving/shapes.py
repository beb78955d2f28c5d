"""Requests and responses about clicks, and of the service itself; unknown keys are refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Id = StrictInt | StrictStr
"""An id of the log: integer or text."""

Scalar = StrictInt | StrictFloat | StrictBool | StrictStr

ItemLists = list[Id] | dict[str, list[Scalar] | Scalar]
"""Item ids, or values by side column; columns add up, values of one column are alternatives."""

Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[StrictInt, Field(ge=1)]


class Shape(BaseModel):
    """A request or response."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


class OfRun(Shape):
    """A request to one of the runs."""

    run: StrictStr | None = None
    """Name of the run; by default the first that can answer."""


class Lists(OfRun):
    """Which items may be listed, and how many."""

    k: Count = 10
    """Items of a list."""
    only: ItemLists | None = None
    """Allow list."""
    without: ItemLists | None = None
    """Deny list."""


class RecommendRequest(Lists):
    """One list from everything that is known of a user, or one list each of several users or histories."""

    user_id: Id | None = None
    """User of the log, or one with events of this service; others get popular items."""
    history: list[Id] | None = None
    """Item ids, oldest first; they follow the events of ``user_id``, where that is given too."""
    history_times: list[Annotated[StrictInt, Field(gt=-(2**53), lt=2**53)]] | None = None
    """Unix seconds of each item of ``history``; needed by runs that read times."""
    users: list[Id] | None = None
    """Several users, one list each."""
    histories: list[list[Id]] | None = None
    """Several histories, one list each."""
    exclude_seen: StrictBool = True
    """Leave out items of the history."""
    diversity: Fraction = 0.0
    """Weight of the redundancy in maximal marginal relevance."""
    max_per: dict[str, Count] | None = None
    """Most items of one value in a list, by side column."""
    query: StrictStr | None = None
    """Words to be found in the items' texts; alone, or weighed with the history. Needs ``--item-vectors``."""
    query_weight: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Weight of the words against the history."""
    reasons: StrictBool = False
    """Say of each item which item of the history is nearest, and what counts added to its score."""


class Reason(Shape):
    """Why an item is listed."""

    nearest: Id | None = None
    """Item of the history with the largest cosine to it."""
    cosine: float | None = None
    nearest_title: str | None = None
    from_counts: float | None = None
    """Part of the score that co-occurrence counts added."""
    from_recency: float | None = None
    """Part of the score that recency added."""
    from_text: float | None = None
    """Part of the score that the texts of the history added."""


class ListedItem(Shape):
    """An item of a list."""

    item_id: Id
    score: float
    title: str | None = None
    reason: Reason | None = None


class ItemList(Shape):
    """A list."""

    user_id: Id | None = None
    query: int | None = None
    """Number of the history, from 1, of a request with several."""
    source: Literal["history", "query", "popular"]
    """``query``: by its words alone; ``popular``: nothing is known of this user, and no item of the history."""
    items: list[ListedItem]
    notes: list[str] = []
    """Unknown items and values, and lists that came out short."""


class RecommendResponse(Shape):
    """Lists in the order of the request."""

    run: str
    lists: list[ItemList]


class SimilarRequest(Lists):
    """Items nearest to given items."""

    items: Annotated[list[Id], Field(min_length=1)]
    similarity: Literal["cosine", "ip"] = "cosine"


class SimilarList(Shape):
    """Items nearest to one item."""

    similar_to: Id
    items: list[ListedItem]
    notes: list[str] = []


class SimilarResponse(Shape):
    """Lists in the order of the request."""

    run: str
    lists: list[SimilarList]


class ScoreRequest(OfRun):
    """Scores of pairs."""

    pairs: Annotated[list["Pair"], Field(min_length=1)]


class Pair(Shape):
    """A user and an item."""

    user_id: Id
    item_id: Id


class ScoredPair(Pair):
    """A pair with its score."""

    score: float | None
    """Null where there is none; ``source`` says why."""
    source: Literal["history", "no events", "unknown item", "no vector"]


class ScoreResponse(Shape):
    """Pairs in the order of the request."""

    run: str
    pairs: list[ScoredPair]


class RankRequest(Lists):
    """Candidates of a recommender, or given ones, ranked by a click-through-rate model."""

    user_id: Id | None = None
    history: list[Id] | None = None
    """Items that the recommender reads; the ranking model reads the log and live events."""
    candidates: list[Id] | None = None
    """Rank these; by default those that the recommender lists."""
    retrieve: Count = 100
    """Candidates that the recommender lists."""
    context: dict[str, Scalar] = {}
    """Further columns of the impression that the ranking model reads, such as the device."""
    by: StrictStr | None = None
    """With several labels, the one that ranks."""
    ranker: StrictStr | None = None
    """Name of the run of ``train-ctr``; by default the first. ``run`` names the recommender."""
    exclude_seen: StrictBool = True
    """Leave out items of the history."""


class RankedItem(Shape):
    """A candidate with its probabilities."""

    item_id: Id
    rank: int
    probabilities: dict[str, float]
    title: str | None = None


class RankResponse(Shape):
    """Candidates, the most probable first."""

    run: str | None
    ranker: str
    items: list[RankedItem]
    notes: list[str] = []


class Event(Pair):
    """An event of a user."""

    timestamp: Annotated[StrictInt, Field(ge=0, lt=2**53)] | None = None
    """Unix seconds; by default now."""
    event_type: StrictStr | None = None


class EventsRequest(Shape):
    """Events, oldest first."""

    events: Annotated[list[Event], Field(min_length=1)]


class EventsResponse(Shape):
    """Events that count from now on."""

    accepted: int
    rejected: list["Rejected"] = []
    durable: bool
    """True iff they survive a restart (``--state``)."""


class NewItem(Shape):
    """An item, by text and columns."""

    item_id: Id
    text: StrictStr | None = None
    """Its words; they stand in the first text column that the log was prepared with."""
    columns: dict[str, Scalar | list[StrictStr] | None] = Field(default_factory=dict)
    """Values by side column of the items."""


class PutItemsRequest(Shape):
    """Items to put into the catalogue, or to bring back."""

    items: Annotated[list[NewItem], Field(min_length=1)]


class PutItemsResponse(Shape):
    """Items that are in the next list, by run."""

    put: list[Id]
    counts: dict[str, dict[str, int]]
    """By run, the number of items by what became of them."""
    durable: bool
    """True iff they survive a restart (``--state``)."""


class DeleteItemsRequest(Shape):
    """Items that no list should hold any more."""

    items: Annotated[list[Id], Field(min_length=1)]


class DeleteItemsResponse(Shape):
    """Items that are in no list from now on."""

    deleted: list[Id]
    unknown: int
    durable: bool
    """True iff they stay away after a restart (``--state``)."""


class Rejected(Shape):
    """An entry that was left out."""

    number: int
    """Its position in the request, from 0."""
    reason: str


class RunInfo(Shape):
    """A run that is served."""

    name: str
    kind: str
    endpoints: list[str]


class ReadyResponse(Shape):
    """State of the service."""

    ready: bool
    reason: str | None = None
    runs: list[RunInfo] = []
    generation: int = 0
    """Times that runs were loaded."""
    last_error: str | None = None
    """Reason why the last reload was refused; the earlier runs go on."""


class ErrorResponse(Shape):
    """A refused request."""

    error: str
