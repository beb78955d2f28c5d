"""Exportable forms of the tasks' models."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nlp_tasks.export.exportable import Exportable
from nlp_tasks.heads.first import First
from nlp_tasks.model import TextModel
from nlp_tasks.qa.model import SpanModel
from nlp_tasks.tagging.heads.softmax import Softmax
from nlp_tasks.tagging.model import TaggingModel
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.hugging_face.save import CheckpointHead
from recsys_bert.encoder.masked_head import MaskedTokenHead
from recsys_bert.encoder.model import EncoderOutput
from recsys_bert.post_processing.fitted import PostProcessing

_SMALL = 2.0**-12
"""Scale at which tanh(x) equals x to the last digits of float32."""


def text_vectors(
    model: TextModel,
    tokenizer: Tokenizer,
    max_len: int,
    *,
    normalise: bool,
    masked: MaskedTokenHead | None = None,
    post_processing: PostProcessing | None = None,
) -> Exportable:
    """Encoder, pooling and post-processing; to transformers go the encoder and its masked-token head."""

    def outputs(encoded: EncoderOutput) -> Tensor:
        vectors: Tensor = model.head(encoded.tokens, encoded.mask)
        if post_processing is not None:
            vectors = post_processing.part(vectors)
        return nn.functional.normalize(vectors, dim=-1, eps=1e-12) if normalise else vectors

    return Exportable(
        what="text encoder",
        encoder=model.encoder,
        tokenizer=tokenizer,
        max_len=max_len,
        checkpoint=CheckpointHead() if masked is None else CheckpointHead("ForMaskedLM", masked=masked),
        pooling=(model.head, normalise),
        outputs=outputs,
        model=model,
        after_pooling=None if post_processing is None else _as_linear(post_processing),
        about={"output": "vectors", "per": "text"},
    )


def _as_linear(post_processing: PostProcessing) -> nn.Linear | str:
    """Linear layer with the same results; or the reason why there is none."""
    part: Any = post_processing.part
    if not hasattr(part, "linear"):
        return f"its post-processing is {post_processing.name!r}, which is not linear"
    weight, bias = part.linear()
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight, bias
    return layer


def sequence_classifier(
    model: TextModel, tokenizer: Tokenizer, max_len: int, labels: Sequence[str], *, multi_label: bool = False
) -> Exportable:
    """Classifier of texts, or scorer of pairs of texts where there is one label."""
    kind = "multi_label_classification" if multi_label or len(labels) == 1 else "single_label_classification"

    def outputs(encoded: EncoderOutput) -> Tensor:
        logits: Tensor = model.output(model.head(encoded.tokens, encoded.mask))
        return logits

    return Exportable(
        what="classifier" if len(labels) > 1 else "cross-encoder",
        encoder=model.encoder,
        tokenizer=tokenizer,
        max_len=max_len,
        checkpoint=_classifier_head(model, {**_labels(labels), "problem_type": kind}),
        pooling=(model.head, False),
        outputs=outputs,
        model=model,
        about={"output": "logits", "per": "text", "labels": list(labels), "problem_type": kind},
        scorer=len(labels) == 1,
    )


def _classifier_head(model: TextModel, config: dict[str, Any]) -> CheckpointHead | str:
    head, output = model.head, model.output
    if not isinstance(head, First) or not isinstance(output, nn.Linear):
        return f"head is {model.head_config.name!r}; theirs reads the first token: train with head.name 'first'"
    if isinstance(head.pooler, nn.Sequential):
        linear = head.pooler[0]
        assert isinstance(linear, nn.Linear)
        weight, bias, scale = linear.weight.detach(), linear.bias.detach(), 1.0
    else:  # theirs always has tanh(W x + b) before the output: where that is tiny it is W x
        width = head.out_dim
        weight, bias, scale = torch.eye(width) * _SMALL, torch.zeros(width), _SMALL
    layers: dict[str, tuple[Tensor, Tensor]] = {"pooler": (weight, bias)}
    layers["classifier"] = (output.weight.detach() / scale, output.bias.detach())
    return CheckpointHead("ForSequenceClassification", layers, config=config)


def _labels(names: Sequence[str]) -> dict[str, Any]:
    return {
        "id2label": {str(n): name for n, name in enumerate(names)},
        "label2id": {name: n for n, name in enumerate(names)},
    }


def token_classifier(model: TaggingModel, tokenizer: Tokenizer, max_len: int, types: Sequence[str]) -> Exportable:
    """Tagger: logits of tags at every token; those of a word are at its first one."""
    head, checkpoint, labels = model.head, CheckpointHead(), list[str]()
    reason = ""
    if model.lexicon is not None:
        reason = "it has a lexicon layer (lexicon.name)"
    elif not isinstance(head, Softmax):
        reason = f"head is {model.head_config.name!r}; theirs is 'softmax'"
    else:
        emissions = head.emissions
        tags = (tag.partition("-") for tag in head.tags.names)
        labels = [f"{letter}-{types[int(kind)]}" if kind else letter for letter, _, kind in tags]
        layers = {"classifier": (emissions.weight, emissions.bias)}
        checkpoint = CheckpointHead("ForTokenClassification", layers, config=_labels(labels))

    def outputs(encoded: EncoderOutput) -> Tensor:
        logits: Tensor = head(encoded.tokens)
        return logits

    return Exportable(
        what="tagger",
        encoder=model.encoder,
        tokenizer=tokenizer,
        max_len=max_len,
        checkpoint=reason or checkpoint,
        pooling="a tagger has no vectors of texts",
        outputs=reason or outputs,
        model=model,
        about={"output": "logits", "per": "token", "labels": labels},
    )


def span_classifier(model: SpanModel, tokenizer: Tokenizer, max_len: int) -> Exportable:
    """Question answerer: logits of an answer's start and end at every token."""
    layers = {"qa_outputs": (model.output.weight, model.output.bias)}

    def outputs(encoded: EncoderOutput) -> Tensor:
        logits: Tensor = model.output(encoded.tokens)
        return logits

    return Exportable(
        what="question answerer",
        encoder=model.encoder,
        tokenizer=tokenizer,
        max_len=max_len,
        checkpoint=CheckpointHead("ForQuestionAnswering", layers, config=_labels(["start", "end"])),
        pooling="a question answerer has no vectors of texts",
        outputs=outputs,
        model=model,
        about={"output": "logits", "per": "token", "labels": ["start", "end"]},
    )
