"""Answers that look into encoders: attention, fusion weights and nearest items by layer."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.serving.runs import (
    ANSWERER,
    BI_ENCODER,
    CLASSIFIER,
    CROSS_ENCODER,
    ENCODER,
    RECOMMENDER,
    TAGGER,
    Run,
)
from pipelines.serving.service import Service
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.errors import InputError
from recsys_bert.serving import page_shapes as shapes
from recsys_bert.serving.live_histories import Query
from recsys_bert.serving.recommending import ServedRecommender

TEXT_KINDS = (ENCODER, CLASSIFIER, TAGGER, ANSWERER, CROSS_ENCODER, BI_ENCODER)
"""Kinds of text runs that have an encoder."""

KINDS = (RECOMMENDER, *TEXT_KINDS)


async def attention(service: Service, request: shapes.AttentionRequest) -> shapes.AttentionResponse:
    """Attention by layer and head, fusion weights and nearest items by layer, of a text, a user or a history."""
    of_history = request.user_id is not None or request.history is not None
    if of_history == (request.text is not None):
        raise InputError("give a text, or a user_id, a history or both; a run of texts reads the former.")
    if request.text is not None:
        service.limits.check_texts("text", [request.text])
        run = service.runs.one(TEXT_KINDS, request.run)
        cost = 2 + len(request.text.encode("utf-8", "replace")) // 4
    else:
        service.limits.check("history", "history", len(request.history or ()))
        run, cost = service.runs.one([RECOMMENDER], request.run), 1
    look = _text if request.text is not None else _history
    data = await service.compute(run, "attention", lambda batch: [look(run, one) for one in batch], request, cost)
    (case,) = data["cases"]
    return shapes.AttentionResponse(
        run=run.name,
        title=case["title"],
        tokens=case["tokens"],
        layers=data["layers"],
        attention=[None if one is None else shapes.LayerAttention(**one) for one in case["attention"]],
        fusion=case["fusion"],
        nearest=case["nearest"],
        missing=data["missing"],
    )


def can_show(run: Run) -> bool:
    """True iff ``/attention`` can look into a run."""
    if run.kind in TEXT_KINDS:
        return True
    if run.kind != RECOMMENDER:
        return False
    from recsys_bert.stages.attention import encoder_of

    try:
        encoder_of(run.model.catalogue.model)
    except InputError:
        return False
    return True


def _text(run: Run, request: shapes.AttentionRequest) -> dict[str, Any]:
    from nlp_tasks.attention import attention_data
    from nlp_tasks.text_encoder import TextEncoder

    encoder = run.model
    if not isinstance(encoder, TextEncoder):  # a task's model around its encoder
        encoder = TextEncoder(encoder.model.encoder, encoder.tokenizer)
    return attention_data(encoder, [request.text or ""], max_len=request.max_len)


def _history(run: Run, request: shapes.AttentionRequest) -> dict[str, Any]:
    from recsys_bert.stages.attention import attention_data

    model: ServedRecommender = run.model
    query = Query(user_id=request.user_id, history=request.history or (), history_times=request.history_times)
    known = model.live_histories.of(query)
    if not len(known.items):
        raise InputError("nothing is known of this user or history, so there is nothing to look at.")
    inner = model.catalogue.model
    in_log = known.items < inner.catalogue.log.n_rows  # the model reads items that were put in as unknown
    known = replace(known, items=np.where(in_log, known.items, UNKNOWN))
    title = "history" if request.user_id is None else f"user {request.user_id}"
    queries = model.live_histories.queries([known])
    return attention_data(inner, queries, [title], k=request.k, max_len=request.max_len)
