"""Attention of a run over histories, as one HTML file: heads, fusion weights, nearest items and probes per layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from recsys_bert.errors import InputError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_bert.clicks.queries import Queries
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.retrieval.ranker import Ranker
    from recsys_bert.retrieval.recommender import Recommender

_PROBED_USERS = 400


def show_attention(
    model: "Recommender",
    out: Path | str,
    *,
    users: Sequence[Any] | None = None,
    histories: Sequence[Sequence[Any]] | None = None,
    k: int = 5,
    probe: str | None = None,
    max_len: int = 64,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a page that shows what a run's encoder does with histories.

    Args:
        model: A run of ``pretrain`` or ``train-retrieval`` with its log.
        out: HTML file to write.
        users: The log's own user ids.
        histories: Item ids, oldest first; in place of users.
        k: Nearest items shown for each layer.
        probe: Side column of the items that linear probes read from each layer's states; None: no probes.
        max_len: Events of a history that are shown at most, the last ones.
        seed: Of the users that probes learn from.

    Returns:
        Counts: histories, layers, heads; accuracy of each layer's probe.

    Raises:
        InputError: Unknown ids or columns, or a run whose rankings no single encoder makes.
    """
    from recsys_bert.pages.inside import layer_names, page_case
    from recsys_bert.pages.page import render, write_page
    from recsys_bert.retrieval.keyed_queries import history_queries, user_queries

    if (users is None) == (histories is None):
        raise InputError("give either users or histories to look at.")
    if max_len < 1 or k < 1:
        raise InputError(f"max_len is {max_len} and k is {k}; both must be at least 1.")
    keyed = user_queries(model.dataset, users) if histories is None else history_queries(model.dataset, histories or [])
    if len(keyed.without_events):
        raise InputError(f"{len(keyed.without_events)} users have no events, the first is {keyed.without_events[0]!r}.")
    probes = None if probe is None else _probes(model, probe, seed)
    encoder, cases = encoder_of(model), []
    missing: tuple[str, ...] = ()
    for number in range(len(keyed.queries)):
        query = keyed.queries[slice(number, number + 1)]
        encoded = _Encoded(model.ranker, query, max_len)
        missing = encoded.inspection.missing
        title = f"{'user' if histories is None else 'history'} {keyed.keys[number]}"
        cases.append(page_case(title, encoded.labels(model), encoded.inspection, encoded.nearest(model, k)))
    data = {
        "cases": cases,
        "layers": layer_names(encoder.config.n_layers),
        "missing": list(missing),
        "probe": probes,
        "nearest_title": "Nearest items by layer",
        "nearest_note": "What would be recommended if this layer's state were the encoder's last (logit lens).",
    }
    write_page(Path(out), render("attention", f"Attention of {model.ranker.name}", data))
    accuracy = None if probes is None else probes["accuracy"]
    return {"cases": len(cases), "layers": encoder.config.n_layers, "heads": encoder.config.n_heads, "probes": accuracy}


def encoder_of(model: "Recommender") -> "Encoder":
    """Encoder of a run.

    Raises:
        InputError: A fusion of several runs, or another ranker without one.
    """
    from recsys_bert.retrieval.encoder_ranker import EncoderRanker
    from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker

    if isinstance(model.ranker, EncoderRanker):
        return model.ranker.pretrained.encoder
    if isinstance(model.ranker, TwoTowerRanker):
        return model.ranker.model.encoder
    raise InputError(
        f"{model.ranker.name} has no encoder of its own to look into. Take a run of pretrain or train-retrieval; of a "
        "score fusion, one of the runs that it fuses."
    )


class _Encoded:
    """Histories as a ranker's encoder reads them, and what happens inside."""

    def __init__(self, ranker: "Ranker", queries: "Queries", max_len: int) -> None:
        import torch

        from recsys_bert.clicks.vocabulary import UNKNOWN
        from recsys_bert.encoder.inspection import inspect_encoder
        from recsys_bert.user_encoder.checkpoint import reads_event_types, with_event_types

        own: Any = ranker
        self.pretrained = hasattr(ranker, "pretrained")  # else two towers
        self.part = own.pretrained if self.pretrained else own.model
        self.encoder: Encoder = self.part.encoder
        config = self.encoder.config
        longest = min(max_len, self.part.longest_history if self.pretrained else config.max_len)
        rows, lengths = (torch.from_numpy(one).long() for one in queries.inputs(longest))
        times = torch.from_numpy(queries.input_times(longest)).long() if config.needs_times else None
        types = None
        if reads_event_types(config):
            types = torch.from_numpy(queries.input_event_types(longest)).long()
        self.users = torch.from_numpy(queries.users).long()
        self.n_events = lengths
        if self.pretrained:
            rows, lengths, times, types = self.part.append_query(rows, lengths, times, types)
        features = self.part.prediction.features(rows) if self.pretrained else self.part.encoder_features(rows)
        self.rows, self.lengths = rows, lengths
        tokens = rows.masked_fill(rows >= config.vocab_size, UNKNOWN)
        with torch.no_grad():
            features = with_event_types(features, types, config)
            self.inspection = inspect_encoder(self.encoder, tokens, features=features, times=times)

    def labels(self, model: "Recommender") -> list[str]:
        """Titles, or ids, of the first history's items, and of the query after them."""
        names = item_names(model)
        first = model.ranker.first_item
        labels = [
            names[row - first] if row >= first else "unknown item" for row in self.rows[0, : self.n_events[0]].tolist()
        ]
        return labels + ["[next?]"] * int(self.lengths[0] - self.n_events[0])

    def nearest(self, model: "Recommender", k: int) -> list[list[list[Any]]]:
        """Name and score of the best items by each layer, for the first history."""
        import numpy as np
        import torch

        from recsys_bert.encoder.inspection import through_layers

        names, first, lists = item_names(model), model.ranker.first_item, []
        items = model.ranker.item_vectors()[first:]
        with torch.no_grad():
            for tokens in through_layers(self.encoder, self.inspection.output):
                hidden = tokens[torch.arange(len(tokens)), self.lengths - 1]
                vector = self._query(hidden)[0].float().numpy()
                scores = items @ vector
                best = np.argsort(-scores, kind="stable")[:k]
                lists.append([[names[row], round(float(scores[row]), 4)] for row in best.tolist()])
        return lists

    def _query(self, hidden: "Tensor") -> "Tensor":
        query = self.part.prediction.queries(hidden) if self.pretrained else self.part.user_side(hidden, self.users)
        return cast("Tensor", query)


def item_names(model: "Recommender") -> list[str]:
    """Title of each item, its id where it has none."""
    from recsys_bert.retrieval.list_frames import title_column

    title, ids = title_column(model.dataset), model.dataset.items["item_id"].to_list()
    titles = [None] * len(ids) if title is None else model.dataset.items[title].to_list()
    return [str(one) if name is None else str(name) for one, name in zip(ids, titles, strict=True)]


def _probes(model: "Recommender", column: str, seed: int) -> dict[str, Any]:
    """Accuracy of a linear probe per layer: the column's value of the item at each position of some histories."""
    import numpy as np

    from recsys_bert.evaluation.probes import probe_layers
    from recsys_bert.retrieval.keyed_queries import user_queries
    from recsys_bert.stages.map_items import page_columns

    columns = page_columns(model.dataset)
    if column not in columns:
        raise unknown_name("column of the items", column, columns)
    values = columns[column]
    if values["kind"] == "number":
        numbers = np.array([np.nan if one is None else one for one in values["numbers"]], float)
        codes = np.where(np.isnan(numbers), -1, np.digitize(numbers, np.nanquantile(numbers, [0.25, 0.5, 0.75])))
    else:
        codes = np.array(values["codes"])
    everybody = user_queries(model.dataset).queries
    drawn_rows = np.sort(np.random.default_rng(seed).permutation(len(everybody))[:_PROBED_USERS])
    queries = everybody[drawn_rows]
    encoded = _Encoded(model.ranker, queries, 32)
    events = np.arange(encoded.rows.shape[1]) < encoded.n_events.numpy()[:, None]
    owner, position = np.nonzero(events & (encoded.rows.numpy() >= model.ranker.first_item))
    labels = codes[encoded.rows.numpy()[owner, position] - model.ranker.first_item]
    known = labels >= 0
    owner, position, labels = owner[known], position[known], labels[known]
    states = [state[owner, position].numpy() for state in encoded.inspection.output.states]
    quarters = " (quarter of its values)" if values["kind"] == "number" else ""
    return {"label": f"{column} of the item at a position{quarters}", **probe_layers(states, labels, owner, seed)}
