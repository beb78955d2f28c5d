"""Items by their text: from the words of a prepared log to one dense vector an item.

A way to vectors is a class ``(source, *, options)``; ``source`` is what it reads beside the texts, as an encoder. Its
part of the work is ``fit(texts) -> self`` and ``encode(texts) -> [n, d]``, dense or sparse, rows of zeros where a text
says nothing. It writes itself by ``state()`` and comes back by ``restore(state)``; ``can_encode`` says whether new
texts can have vectors, ``reads_ids`` that it has ``of_items(ids) -> [n, d]`` in place of ``fit``. ``dim`` and
``whiten`` are its defaults for the reduction that follows; ``dim`` None keeps the width.
"""

TEXT_VECTORS = {
    "tfidf": "recsys_bert.item_texts.tfidf:TfidfVectors",
    "words": "recsys_bert.item_texts.words:MeanWordVectors",
    "encoder": "recsys_bert.item_texts.encoder:EncoderVectors",
    "ready": "recsys_bert.item_texts.ready:ReadyVectors",
}
