"""Two towers that rank: queries and items in, vectors and lists out; the artefact of a run."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from recsys_bert.checksums import check_intact, write_checksums
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import saved_parts
from recsys_bert.encoder.saved_sizes import check_sizes, saved_sizes
from recsys_bert.encoder.weights import load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.item_texts.item_vectors import ItemVectors
from recsys_bert.item_texts.text_feature import TextFeature, with_saved_text
from recsys_bert.losses.config import LossConfig
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.retrieval.ranker import InnerProducts
from recsys_bert.retrieval.two_tower import TwoTower, build_two_tower
from recsys_bert.retrieval.user_side import UserSide
from recsys_bert.settings_types import check_settings, fill
from recsys_bert.training.config import Precision
from recsys_bert.user_encoder.checkpoint import reads_event_types, with_event_types
from recsys_bert.user_encoder.encode import last_states
from recsys_bert.user_encoder.trained_text import TrainedText, text_of

_VERSION = 3  # of the artefact


class TwoTowerRanker(InnerProducts):
    """Ranker of two towers.

    Args:
        model: The trained module.
        name: Shown in tables.
        precision: See ``encode_queries``.
        texts: Text of items that the towers read, if any.
    """

    def __init__(
        self,
        model: TwoTower,
        name: str = "two towers",
        precision: Precision = "auto",
        texts: TextFeature | TrainedText | None = None,
    ) -> None:
        self.model, self.name, self.precision, self.first_item = model, name, precision, model.first_item
        self._texts = texts

    @property
    def item_texts(self) -> ItemVectors | None:
        """Text vectors of items that the towers read; None without text."""
        return None if self._texts is None else self._texts.vectors

    @property
    def reads_times(self) -> bool:
        """True iff the user tower's encoder reads timestamps."""
        return self.model.encoder.config.needs_times

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        return self.model.n_rows, self.model.encoder.embeddings.token.embedding_dim

    @property
    def item_length(self) -> float | None:
        """1 for cosine."""
        return self.model.item_loss.item_length

    def item_vectors(self) -> NDArray[np.float32]:
        """``[n_rows, d]``; with item features, items without training events are among them."""
        device = self.model.encoder.embeddings.token.weight.device
        with torch.inference_mode():
            parts = torch.arange(self.model.n_rows, device=device).split(1 << 16)
            return torch.cat([self.model.item_side(part).float() for part in parts]).cpu().numpy()

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``."""
        if self.model.texts is not None:
            self.model.texts.catalogue()  # once, before threads look rows up
        return self.user_side.encode(queries, self.precision)

    @property
    def user_side(self) -> UserSide:
        """The user tower over item rows."""
        config = self.model.encoder.config
        return UserSide(
            _UserTower(self.model),
            config.max_len,
            reads_users=self.model.users is not None,
            reads_times=config.needs_times,
            reads_event_types=reads_event_types(config),
        )


class _UserTower(nn.Module):
    """See ``UserSide.module``."""

    def __init__(self, model: TwoTower) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, rows: Tensor, lengths: Tensor, users: Tensor, times: Tensor | None, event_types: Tensor | None
    ) -> Tensor:
        model = self.model
        features = with_event_types(model.encoder_features(rows), event_types, model.encoder.config)
        return model.user_side(last_states(model.encoder, rows, lengths, features, times), users)


def save_two_tower(folder: Path, model: TwoTower, dataset: ClickDataset) -> None:
    """Write both towers with their settings and the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    only_training = ("item_loss.", "last.", "texts.")  # texts are written with the features
    weights = {
        name: value.contiguous() for name, value in model.state_dict().items() if not name.startswith(only_training)
    }
    save_file(weights, folder / "model.safetensors")
    dataset.save_vocabulary(folder)
    about = {"version": _VERSION, "prepared": dataset.fingerprint, "encoder": model.encoder.config.to_dict()}
    settings = {"towers": asdict(model.config), "loss": asdict(model.item_loss.config)}
    write_json(folder / "config.json", about | settings)
    write_checksums(folder)


def load_two_tower(run: Path, dataset: ClickDataset) -> TwoTowerRanker:
    """Load a run of ``train-retrieval`` for ranking.

    For a log whose vocabulary grew from that of the run, items that came later are ranked by their features, if the
    towers have any, and are not ranked otherwise; in histories they are read as unknown.

    Raises:
        InputError: It is damaged or of another version, or was trained on another vocabulary or other features.
    """
    folder = run / "two_tower"
    about = read_json(folder / "config.json")
    if not isinstance(about, dict) or about.get("version") != _VERSION:
        raise InputError(f"{folder}/config.json is damaged, or of another version than {_VERSION}. Train it again.")
    check_intact(folder, "train it again")
    dataset = with_saved_text(dataset.known_to(about["prepared"]), folder)
    source = str(folder / "config.json")
    towers = fill(TowersConfig, check_settings(TowersConfig, about["towers"], source))
    loss = fill(LossConfig, check_settings(LossConfig, about["loss"], source))
    weights = folder / "model.safetensors"
    with saved_parts(folder), saved_sizes(about["encoder"], weights):
        check_sizes(about["towers"], weights)
        encoder = Encoder(EncoderConfig.from_dict(about["encoder"]))
    model = build_two_tower(encoder, towers, loss, dataset, training=False)
    load_weights(model, weights)
    return TwoTowerRanker(model.eval(), run.name, texts=text_of(dataset))
