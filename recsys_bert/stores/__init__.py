"""Stores of vectors with ids, columns and texts; one system a file.

A backend is built as ``Backend(place, name, about)`` and follows ``backend.Backend``; ``VectorStore`` checks all that
goes in. ``opening.open_store`` opens one by its name here.
"""

STORES = {
    "faiss": "recsys_bert.stores.faiss_sqlite:FaissSqlite",
    "postgres": "recsys_bert.stores.postgres:Postgres",
    "milvus": "recsys_bert.stores.milvus:Milvus",
    "elastic": "recsys_bert.stores.elastic:Elastic",
}
