"""File formats of click logs and side tables: one function each, paths → lazy table."""

FORMATS = {
    "parquet": "recsys_bert.clicks.prepare.formats.tables:scan_parquet",
    "arrow": "recsys_bert.clicks.prepare.formats.tables:scan_arrow",
    "csv": "recsys_bert.clicks.prepare.formats.tables:scan_csv",
    "tsv": "recsys_bert.clicks.prepare.formats.tables:scan_tsv",
    "jsonl": "recsys_bert.clicks.prepare.formats.tables:scan_jsonl",
    "movielens": "recsys_bert.clicks.prepare.formats.movielens:scan_movielens",
    "recbole": "recsys_bert.clicks.prepare.formats.recbole:scan_recbole",
    "lines": "recsys_bert.clicks.prepare.formats.lines:scan_lines",
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
