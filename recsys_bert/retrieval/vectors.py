"""Any trained run as two sets of vectors whose inner product is the score."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import MASK, UNKNOWN
from recsys_bert.encoder.config import EncoderConfig, FeatureConfig
from recsys_bert.encoder.devices import one_core_each, uses_bf16
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.times import repeat_newest
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.progress import Progress
from recsys_bert.retrieval.blend import Blend, is_blend, load_blend, trained_runs
from recsys_bert.retrieval.exact import Seen, exact_top_k
from recsys_bert.training.config import LossConfig, Precision
from recsys_bert.training.objectives import TokenPrediction

if TYPE_CHECKING:
    from recsys_bert.clicks.prepared import Prepared
    from recsys_bert.retrieval.index import ItemIndex

Objective = Literal["masked", "next"]


class Ranker(Protocol):
    """What every trained run can do."""

    name: str
    first_row: int
    precision: Precision

    @property
    def reads_times(self) -> bool:
        """Whether ``user_vectors`` has to be told when events happened."""

    def item_vectors(self) -> NDArray[np.float32]:
        """``[rows, d]``, by item row; those below ``first_row`` are no items."""

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``, one for each query."""

    def recommend(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Rows ``[n, k]``, best first, -1 where fewer are left."""


class EncoderRanker:
    """A pretrained encoder as it is: the state at the appended mask, or at the newest click, against the item table.

    Args:
        prediction: The trained module.
        objective: What it was trained for.
        name: Shown in tables.
        precision: See ``encode_queries``.
    """

    def __init__(
        self,
        prediction: TokenPrediction,
        objective: Objective,
        name: str = "encoder",
        precision: Precision = "auto",
    ) -> None:
        self.prediction, self.objective, self.name, self.precision = prediction, objective, name, precision
        self.first_row = prediction.first_row

    @property
    def reads_times(self) -> bool:
        """Whether the encoder reads when events happened."""
        return self.prediction.encoder.config.needs_times

    def item_vectors(self) -> NDArray[np.float32]:
        """``[vocab_size, d]``; items without training events have no vector here."""
        with torch.no_grad():
            return self.prediction.vectors(self.prediction.encoder.embeddings.token.weight).float().cpu().numpy()

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``."""
        encoder = self.prediction.encoder
        device, config = encoder.embeddings.token.weight.device, encoder.config
        length = config.max_len - self._appended
        return encode_queries(
            queries, self._encode, length, times=config.needs_times, device=device, precision=self.precision
        )

    def recommend(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking."""
        return recommend(self, queries, k, exclude_seen)

    @property
    def _appended(self) -> int:
        return 1 if self.objective == "masked" else 0

    def _encode(self, rows: Tensor, lengths: Tensor, users: Tensor, times: Tensor | None) -> Tensor:
        prediction = self.prediction
        if self.objective == "masked":
            rows = torch.cat([rows, rows.new_zeros(len(rows), 1)], dim=1)
            rows[torch.arange(len(rows), device=rows.device), lengths] = MASK
            times = None if times is None else repeat_newest(times, lengths)
            lengths = lengths + 1
        hidden = newest_states(prediction.encoder, rows, lengths, prediction.features(rows), times)
        return prediction.queries(hidden)


def newest_states(
    encoder: Encoder,
    rows: Tensor,
    lengths: Tensor,
    features: dict[str, Tensor] | None,
    times: Tensor | None = None,
) -> Tensor:
    """Output at the newest position of each history, ``[batch, out_dim]``.

    Rows past the encoder's table (items without training events) are read as unknown, with their own features.
    """
    tokens = rows.masked_fill(rows >= encoder.config.vocab_size, UNKNOWN)
    return encoder.newest(tokens, lengths, features=features, times=times)


def encode_queries(
    queries: Queries,
    encode: Any,
    max_len: int,
    *,
    times: bool = False,
    batch_size: int = 128,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
) -> NDArray[np.float32]:
    """Run an encoder over all queries, sorted by length to pad little.

    Args:
        queries: What is asked.
        encode: ``(rows [batch, seq], lengths [batch], users [batch], times [batch, seq] or None) -> [batch, d]``.
        max_len: Newest items that are read.
        times: Whether it reads when they were chosen.
        batch_size: Queries at a time.
        device: Where ``encode`` wants its tensors.
        precision: Number format of products, as in ``TrainConfig``.

    Raises:
        InputError: Nobody is asked about, or times are read and there are none.
    """
    device = torch.device(device)
    order = np.argsort(np.minimum(queries.stop - queries.start, max_len), kind="stable")
    parts = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    bf16 = uses_bf16(precision, device)

    def encode_part(part: NDArray[np.int64]) -> NDArray[np.float32]:
        rows, lengths = queries[part].inputs(max_len)
        moments = queries[part].input_times(max_len) if times else None
        given = (rows, lengths, queries.users[part], moments)
        moved = (None if array is None else torch.from_numpy(array).long().to(device) for array in given)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            found: NDArray[np.float32] = encode(*moved).float().cpu().numpy()
        return found

    vectors: NDArray[np.float32] | None = None
    with one_core_each(device, len(parts)) as each, Progress("encoding", len(queries), "users") as progress:
        for part, found in zip(parts, each(encode_part, parts), strict=True):
            if vectors is None:
                vectors = np.empty((len(queries), found.shape[1]), np.float32)
            vectors[part] = found
            progress.advance(len(part))
    if vectors is None:
        raise InputError("there is nobody to encode: no query was given.")
    return vectors


def recommend(ranker: Ranker, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
    """Exact full ranking."""
    return search(ranker, queries, k, queries.seen() if exclude_seen else None)[0]


def search(
    ranker: Ranker, queries: Queries, k: int, seen: Seen | None, index: "ItemIndex | None" = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best items of any ranker for some users.

    Args:
        ranker: The run.
        queries: The users' histories.
        k: Length of the lists.
        seen: Pairs that are left out; None leaves nothing out.
        index: Where to search; None scores all items.

    Returns:
        Rows int32 ``[n, k]``, -1 where a user has fewer left, and scores float32 ``[n, k]``.

    Raises:
        InputError: ``k`` is larger than the catalogue.
    """
    return search_vectors(ranker, ranker.user_vectors(queries), ranker.item_vectors(), queries, k, seen, index)


def search_vectors(
    ranker: Ranker,
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    queries: Queries,
    k: int,
    seen: Seen | None,
    index: "ItemIndex | None" = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """As ``search``, where the ranker's vectors are at hand."""
    if index is None:
        found = exact_top_k(users, torch.from_numpy(items), k, first_row=ranker.first_row, seen=seen)
    else:
        found = index.search(users, k, seen)
    if not isinstance(ranker, Blend):
        return found
    return ranker.raised(found[0], users, items, queries, exclude_seen=seen is not None)


def feature_configs(prepared: "Prepared", names: tuple[str, ...]) -> tuple[FeatureConfig, ...]:
    """Describe the item features that an encoder is to read.

    Raises:
        InputError: There is no such feature.
    """
    known = prepared.item_features
    for name in names:
        if name not in known:
            raise InputError(
                f"the prepared log has no item feature {name!r}; it has {', '.join(sorted(known)) or 'none'}. "
                "Give `prepare` a side table of items, or leave the feature out."
            )
    return tuple(
        FeatureConfig(name=name, size=max(2, prepared.item_feature_sizes[name]), multi=known[name].shape[1] > 1)
        for name in names
    )


def check_times(prepared: "Prepared", config: EncoderConfig) -> None:
    """Refuse a log that cannot say when events happened for an encoder that reads it.

    Raises:
        InputError: The log has no times.
    """
    if config.needs_times and not prepared.has_times:
        raise InputError(
            f"encoder.times and encoder.time_gaps read when events happened, but {prepared.folder} has no times. "
            "Leave them out, or prepare a log with a time column."
        )


def save_encoder(folder: Path, prediction: TokenPrediction, objective: Objective, prepared: "Prepared") -> None:
    """Write a pretrained encoder with what it takes to rank with it: vocabulary, objective and loss."""
    prediction.encoder.save(folder)
    prepared.vocabulary.save(folder / "vocabulary.parquet")
    about = {"objective": objective, "loss": asdict(prediction.loss), "prepared": prepared.fingerprint}
    write_json(folder / "objective.json", about)


def load_encoder(run: Path, prepared: "Prepared") -> tuple[Encoder, Objective, LossConfig]:
    """Load ``run/encoder`` and check that its rows mean the same items as the prepared log's.

    Raises:
        InputError: No encoder there, a damaged one, or one of another vocabulary or other features.
    """
    folder = run / "encoder"
    if not (folder / "config.json").exists():
        raise InputError(
            f"{run} holds no pretrained encoder ({folder / 'config.json'} is missing). Run pretrain first."
        )
    objective = read_json(folder / "objective.json")
    prepared.check_same(objective["prepared"])
    encoder = Encoder.load(folder)
    check_times(prepared, encoder.config)
    wanted = encoder.config.features
    if feature_configs(prepared, tuple(feature.name for feature in wanted)) != wanted:
        raise InputError(f"the item features of {prepared.folder} are not those that {folder} was trained with.")
    return encoder, objective["objective"], LossConfig(**objective["loss"])


def load_ranker(run: Path, prepared: "Prepared") -> Ranker:
    """Load a run of ``pretrain``, ``train-retrieval`` or ``blend`` for ranking.

    Raises:
        InputError: The folder is not such a run, is damaged, or belongs to another vocabulary.
    """
    run = Path(run)
    if is_blend(run):
        return load_blend(run, [load_ranker(one, prepared) for one in trained_runs(run)], prepared)
    if (run / "two_tower" / "config.json").exists():
        from recsys_bert.retrieval.two_tower import load_two_tower

        return load_two_tower(run, prepared)
    encoder, objective, loss = load_encoder(run, prepared)
    tables = {feature.name: prepared.item_features[feature.name] for feature in encoder.config.features}
    prediction = TokenPrediction(encoder, loss, first_row=prepared.vocabulary.first_item, features=tables).eval()
    return EncoderRanker(prediction, objective, run.name)
