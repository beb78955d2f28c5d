"""Requests and responses that a page needs beside the answers: the catalogue, histories, the map, attention."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, StrictStr

from recsys_bert.serving.shapes import Count, Id, Lists, OfRun, Shape

Words = Annotated[StrictStr, Field(max_length=1000)]


class CatalogueRequest(OfRun):
    """The columns of the items, and what can be asked of them."""


class ColumnValue(Shape):
    """A value of a column."""

    value: str
    items: int
    """Items that have it."""


class Column(Shape):
    """A side column of the items."""

    name: str
    kind: Literal["text", "tags", "number", "other"]
    n_values: int
    """Different values."""
    values: list[ColumnValue] = Field(default_factory=list)
    """The commonest ones, which ``only`` and ``without`` take; of texts, tags and whole numbers."""


class CatalogueResponse(Shape):
    """The catalogue of a run."""

    run: str
    items: int
    users: int
    columns: list[Column]
    event_types: list[str]
    text_column: str | None = None
    """Column that the text of a new item goes to; null where items have no words."""
    words: bool
    """True iff ``query`` of ``/recommend`` and ``/items`` work: there are text vectors."""
    store: bool
    """True iff ``/search`` works."""
    durable: bool
    """True iff events and items survive a restart."""


class FindItemsRequest(Lists):
    """Items whose id, title or words hold every word of a query, the commonest first."""

    query: Words = ""
    """Parts of words, in any case; empty: all items."""


class GetItemsRequest(OfRun):
    """Items by id."""

    items: Annotated[list[Id], Field(min_length=1)]


class ItemInfo(Shape):
    """An item of the catalogue."""

    item_id: Id
    title: str | None = None
    events: int | None = None
    """Training events; null of an item that was put in."""
    columns: dict[str, Any] = Field(default_factory=dict)
    """Values by side column; long texts are cut."""


class ItemsResponse(Shape):
    """Items."""

    run: str
    items: list[ItemInfo]
    total: int
    """Items that fit, those beyond ``k`` included."""
    unknown: int = 0
    """Ids that no item has."""


class FindUsersRequest(OfRun):
    """Users whose id holds a text."""

    query: Words = ""
    """Part of an id; empty: all users."""
    k: Count = 20
    """Users."""


class UserInfo(Shape):
    """A user of the log."""

    user_id: Id
    events: int
    """Of the log."""


class UsersResponse(Shape):
    """Users, in the order of the log."""

    run: str
    users: list[UserInfo]
    total: int
    """Users that fit, those beyond ``k`` included."""


class HistoryRequest(OfRun):
    """Events of a user: of the log, then live ones."""

    user_id: Id
    k: Count = 50
    """Events, the last ones."""


class HistoryEvent(Shape):
    """An event."""

    item_id: Id | None = None
    """Null of an item without training events."""
    title: str | None = None
    timestamp: int | None = None
    """Unix seconds; null where the log has none."""
    event_type: str | None = None
    live: bool
    """True iff it came by ``/events``."""


class HistoryResponse(Shape):
    """Events, oldest first."""

    run: str
    user_id: Id
    in_log: bool
    events: list[HistoryEvent]
    total: int
    """Events of the user, those before the last ``k`` included."""


class MapRequest(OfRun):
    """Items in the plane; the first request starts the layout, which takes some seconds."""


class MapResponse(Shape):
    """Positions of all items of a run, as soon as they are there."""

    run: str
    state: Literal["computing", "rough", "ready"]
    """``computing`` and ``rough``: ask again in a second; ``rough`` has positions by PCA meanwhile."""
    version: str | None = None
    """Changes with the runs and the items."""
    method: str | None = None
    """Of these positions."""
    laid_out: int | None = None
    """Items that were laid out themselves; the others lie at their nearest of these."""
    ids: list[Id] = Field(default_factory=list)
    points: str | None = None
    """Base64 of little-endian float32 ``[n, 2]`` in the unit square, in the order of ``ids``."""


class MapColoursRequest(OfRun):
    """A column's values in the order of the map's items."""

    column: StrictStr


class MapColoursResponse(Shape):
    """Values of a column."""

    run: str
    version: str
    kind: Literal["text", "number"]
    values: list[str] = Field(default_factory=list)
    """Texts that the codes stand for."""
    data: str
    """Base64: little-endian int32 codes into ``values`` (-1: none), or float32 numbers (NaN: none)."""


class AttentionRequest(OfRun):
    """Inner values of a run's encoder, of a text, a user, or a history."""

    text: StrictStr | None = None
    user_id: Id | None = None
    history: list[Id] | None = None
    """Item ids, oldest first; after the events of ``user_id``, where that is given too."""
    history_times: list[Annotated[StrictInt, Field(gt=-(2**53), lt=2**53)]] | None = None
    """Unix seconds of each item of ``history``; needed by runs that read times."""
    max_len: Annotated[StrictInt, Field(ge=8, le=128)] = 32
    """Tokens of a text (the first) or events of a history (the last)."""
    k: Annotated[StrictInt, Field(ge=1, le=20)] = 5
    """Histories: nearest items by layer."""


class LayerAttention(Shape):
    """Attention of a layer."""

    heads: int
    most: list[float]
    """Largest weight of each head."""
    weights: str
    """Base64 of bytes ``[heads, tokens, tokens]``, query by key: 255 is the head's largest weight."""


class AttentionResponse(Shape):
    """Inner values of an encoder."""

    run: str
    title: str
    tokens: list[str]
    layers: list[str]
    """Names of the states: the embeddings and every layer."""
    attention: list[LayerAttention | None]
    """By layer; null of one without such a matrix."""
    fusion: list[list[float]] | None = None
    """Weight of each state by token."""
    nearest: list[list[tuple[str, float]]] | None = None
    """Histories: names and scores of the nearest items by state."""
    missing: list[str] = Field(default_factory=list)
    """Reasons, by name, for what is null."""
