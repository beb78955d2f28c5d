"""Fit whitening, a flow or mean removal on an encoder's vectors."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_tasks.config import FilesConfig
from nlp_tasks.embedding.files import PairColumns
from pipelines.support.outputs import check_place
from pipelines.text.answers import NewFileConfig
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.post_processing import POST_PROCESSING


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fit a map of an encoder's vectors on those of some texts, and write the encoder with it."""

    run: Path
    """Run of `text embed train`, `text pretrain` or a text task, or a Hugging Face or sentence-transformers folder."""

    out: Path
    """Folder to write, which every command takes as a run; an earlier one is replaced."""

    file: Path
    """File with texts, or pairs of them; labels are not read."""

    name: str = field(default="whitening", metadata={"names": POST_PROCESSING})
    """Map: a name in ``POST_PROCESSING``, or ``module:Class``."""

    options: Options = field(default_factory=dict)
    """Options of the map, as width of whitening, top of centring, epochs of flow."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    columns: PairColumns = field(default_factory=PairColumns)
    """Columns of the file."""

    def __post_init__(self) -> None:
        check_name("post-processing", self.name, POST_PROCESSING)
        check_place(self.out, folder=True)


def run(config: Config) -> dict[str, Any]:
    """Encode, fit, and write the folder.

    Returns:
        Name, number of texts, width before and after, lines left out.
    """
    from nlp_tasks.embedding.files import read_pairs
    from nlp_tasks.text_encoder import TextEncoder
    from recsys_bert.files import replacing
    from recsys_bert.locks import only_writer

    with only_writer(config.out):
        encoder = TextEncoder.load(config.run)
        table = read_pairs(config.file, config.read.like(FilesConfig()), config.columns, flags="read")
        texts = list(dict.fromkeys(text for column in table.texts.values() for text in column))
        processed = encoder.with_post_processing(config.name, texts, config.options)
        with replacing(config.out, sealed=True) as temporary:
            processed.save(temporary)
    summary = {"name": config.name, "texts": len(texts), "dim": [encoder.model.out_dim, processed.dim]}
    for reason, count in table.left_out.items():
        print(f"{count:,} {reason}", file=sys.stderr)
    print(f"{config.name} fitted on {len(texts):,} texts; wrote {config.out} (width {processed.dim})", file=sys.stderr)
    return summary | {"left_out": table.left_out}
