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
    from recsys_bert.pages.page import render, write_page
    from recsys_bert.retrieval.keyed_queries import history_queries, user_queries

    if (users is None) == (histories is None):
        raise InputError("give either users or histories to look at.")
    keyed = user_queries(model.dataset, users) if histories is None else history_queries(model.dataset, histories or [])
    if len(keyed.without_events):
        raise InputError(f"{len(keyed.without_events)} users have no events, the first is {keyed.without_events[0]!r}.")
    titles = [f"{'user' if histories is None else 'history'} {key}" for key in keyed.keys.to_list()]
    data = attention_data(model, keyed.queries, titles, k=k, max_len=max_len)
    data["probe"] = None if probe is None else _probes(model, probe, seed)
    write_page(Path(out), render("attention", f"Attention of {model.ranker.name}", data))
    config, accuracy = encoder_of(model).config, None if probe is None else data["probe"]["accuracy"]
    return {"cases": len(titles), "layers": config.n_layers, "heads": config.n_heads, "probes": accuracy}


def attention_data(
    model: "Recommender", queries: "Queries", titles: Sequence[str], *, k: int = 5, max_len: int = 64
) -> dict[str, Any]:
    """Inner values of a run's encoder over histories, as the attention page reads them.

    Args:
        model: A run of ``pretrain`` or ``train-retrieval`` with its log.
        queries: Histories.
        titles: A name for each.
        k: Nearest items of each layer.
        max_len: Events of a history at most, the last ones.

    Raises:
        InputError: A run whose rankings no single encoder makes, or a number below 1.
    """
    from recsys_bert.pages.inside import layer_names, page_case

    if max_len < 1 or k < 1:
        raise InputError(f"max_len is {max_len} and k is {k}; both must be at least 1.")
    ranker, cases, names = _inspected(model), [], item_names(model)
    missing: tuple[str, ...] = ()
    for number, title in enumerate(titles):
        encoded = _Encoded(ranker, queries[slice(number, number + 1)], max_len)
        missing, nearest = encoded.inspection.missing, encoded.nearest(names, ranker, k)
        cases.append(page_case(title, encoded.labels(names, ranker.first_item), encoded.inspection, nearest))
    return {
        "cases": cases,
        "layers": layer_names(_encoder(ranker).config.n_layers),
        "missing": list(missing),
        "probe": None,
        "nearest_title": "Nearest items by layer",
        "nearest_note": "What would be recommended if this layer's state were the encoder's last (logit lens).",
    }


def encoder_of(model: "Recommender") -> "Encoder":
    """Encoder of a run; of a score fusion of one run, that run's.

    Raises:
        InputError: An ensemble of several runs, or another ranker without one.
    """
    return _encoder(_inspected(model))


def _inspected(model: "Recommender") -> "Ranker":
    """The one trained model inside a run's ranker, which has an encoder."""
    from recsys_bert.retrieval.encoder_ranker import EncoderRanker
    from recsys_bert.retrieval.extended_ranker import models_of
    from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker

    models = models_of(model.ranker)
    if len(models) == 1 and isinstance(models[0], EncoderRanker | TwoTowerRanker):
        return models[0]
    raise InputError(
        f"{model.ranker.name} has no encoder of its own to look into. Take a run of pretrain or train-retrieval; of an "
        "ensemble, one of its runs."
    )


def _encoder(ranker: Any) -> "Encoder":
    part = ranker.pretrained if hasattr(ranker, "pretrained") else ranker.model
    return cast("Encoder", part.encoder)


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

    def labels(self, names: Sequence[str], first: int) -> list[str]:
        """Names of the first history's items, and of the query after them."""
        labels = [
            names[row - first] if row >= first else "unknown item" for row in self.rows[0, : self.n_events[0]].tolist()
        ]
        return labels + ["[next?]"] * int(self.lengths[0] - self.n_events[0])

    def nearest(self, names: Sequence[str], ranker: "Ranker", k: int) -> list[list[list[Any]]]:
        """Name and score of the best items by each layer, for the first history."""
        import numpy as np
        import torch

        from recsys_bert.encoder.inspection import through_layers

        items, lists = ranker.item_vectors()[ranker.first_item :], []
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
    encoded = _Encoded(_inspected(model), queries, 32)
    events = np.arange(encoded.rows.shape[1]) < encoded.n_events.numpy()[:, None]
    owner, position = np.nonzero(events & (encoded.rows.numpy() >= model.ranker.first_item))
    labels = codes[encoded.rows.numpy()[owner, position] - model.ranker.first_item]
    known = labels >= 0
    owner, position, labels = owner[known], position[known], labels[known]
    states = [state[owner, position].numpy() for state in encoded.inspection.output.states]
    quarters = " (quarter of its values)" if values["kind"] == "number" else ""
    return {"label": f"{column} of the item at a position{quarters}", **probe_layers(states, labels, owner, seed)}
