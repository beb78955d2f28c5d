"""File formats of click logs and side tables: one function each, (UTF-8 path, settings) → lazy table.

A reader may add the columns of ``recsys_bert.clicks.prepare.marks``.
"""

FORMATS = {
    "parquet": "recsys_bert.clicks.prepare.formats.tables:scan_parquet",
    "arrow": "recsys_bert.clicks.prepare.formats.tables:scan_arrow",
    "csv": "recsys_bert.clicks.prepare.formats.separated:scan_csv",
    "tsv": "recsys_bert.clicks.prepare.formats.separated:scan_tsv",
    "jsonl": "recsys_bert.clicks.prepare.formats.tables:scan_json",
    "movielens": "recsys_bert.clicks.prepare.formats.movielens:scan_movielens",
    "recbole": "recsys_bert.clicks.prepare.formats.recbole:scan_recbole",
    "lines": "recsys_bert.clicks.prepare.formats.lines:scan_lines",
    "mind": "recsys_bert.clicks.prepare.formats.mind:scan_clicks",
    "mind_impressions": "recsys_bert.clicks.prepare.formats.mind:scan_impressions",
    "diginetica": "recsys_bert.clicks.prepare.formats.diginetica:scan_views",
}

ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".dat": "movielens",
    ".inter": "recbole",
    ".item": "recbole",
    ".user": "recbole",
    ".txt": "lines",
}
