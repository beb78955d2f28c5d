"""Matching losses on the outputs of a text model."""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_tasks.distilled import no_and_yes
from nlp_tasks.matching.config import MatchingConfig
from nlp_tasks.model import TextModel, task_loss
from recsys_bert.encoder.model import EncoderOutput
from recsys_bert.losses.classification import multilabel_cross_entropy
from recsys_bert.losses.contrastive import in_batch_loss, pair_ranking_loss


class MatchingLoss(nn.Module):
    """Cross-entropy on labels, or a contrastive loss on vectors; the loss that ``fit`` minimises.

    Args:
        model: One output for a cross-encoder, none (the vector) for a bi-encoder.
        config: The settings.
        weight: Weight of matches; other pairs have 1.
        auxiliary_weight: Share of the loss on the last layer, where the model has an auxiliary head.
    """

    def __init__(
        self, model: TextModel, config: MatchingConfig, weight: float = 1.0, auxiliary_weight: float = 0.8
    ) -> None:
        super().__init__()
        self.model, self.config, self.weight, self.auxiliary_weight = model, config, weight, auxiliary_weight
        # a cosine becomes a logit by scale · cosine + shift: at first 10 · (cosine − 0.5)
        on_cosine = config.form == "bi" and config.loss == "labels"
        self.cosine = nn.Parameter(torch.tensor([10.0, -5.0])) if on_cosine else None

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the pairs; ``batch["labels"]`` int ``[pairs]``, 1 for a match."""
        return self.loss_of(self.model.encode(batch), batch)

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch from encoder outputs."""
        return task_loss(self.model, encoded, batch, partial(self._of_outputs, batch=batch), self.auxiliary_weight)

    def choices(self, outputs: Tensor) -> Tensor:
        """Logits of no and yes, or, of a bi-encoder, cosines of first with all second texts of the batch."""
        if self.config.form == "cross":
            return no_and_yes(outputs.squeeze(1))
        first, second = (F.normalize(vectors.float(), dim=-1) for vectors in (outputs[0::2], outputs[1::2]))
        return first @ second.T / self.config.temperature

    def _of_outputs(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Loss on logits ``[pairs, 1]``, or on vectors ``[2 · pairs, dim]``, those of a pair side by side."""
        labels = batch["labels"]
        if self.config.form == "cross":
            return self._on_labels(outputs.squeeze(1), labels)
        first, second = outputs[0::2], outputs[1::2]
        if self.config.loss == "in_batch":
            same = known_matches(batch["ids"], labels == 1)
            return in_batch_loss(first, second, labels == 1, temperature=self.config.temperature, same=same)
        cosines = F.cosine_similarity(first.float(), second.float())
        if self.config.loss == "ranking":
            return pair_ranking_loss(cosines, labels == 1, temperature=self.config.temperature)
        assert self.cosine is not None
        return self._on_labels(self.cosine[0] * cosines + self.cosine[1], labels)

    def _on_labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights, config = logits.new_tensor([self.weight]), self.config
        return multilabel_cross_entropy(
            logits[:, None],
            labels[:, None],
            weights=weights,
            smoothing=config.label_smoothing,
            gamma=config.focal_gamma,
        )


def known_matches(ids: Tensor, match: Tensor) -> Tensor:
    """Mask of in-batch pairs that are no negatives.

    The two texts are equal, or a match in the batch, in either order. A pair with the label 0 stays a negative, the
    hardest one.

    Args:
        ids: ``[pairs, 2]`` numbers of the texts.
        match: bool ``[pairs]``.

    Returns:
        bool ``[pairs, pairs]``.
    """
    first, second, width = ids[:, 0], ids[:, 1], int(ids.max()) + 1
    known = torch.cat([first * width + second, second * width + first])[match.repeat(2)]
    return torch.isin(first[:, None] * width + second[None, :], known) | (first[:, None] == second[None, :])
