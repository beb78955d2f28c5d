"""Pretrain a text encoder on plain text: masked words, with or without pairs of segments."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_tasks.config import TEXT_ENCODER, CorpusConfig, PretrainingConfig, TokenizerConfig, check_encoder
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.objectives.config import MaskingConfig
from recsys_bert.training.config import ScheduleConfig, TrainConfig

_TRAIN = TrainConfig(
    epochs=20,
    batch_size=64,
    lr=1e-3,
    schedule=ScheduleConfig(name="linear", warmup_steps=200),
    patience=0,
    monitor="log_likelihood",
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Pretrain a text encoder on plain text."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    data: CorpusConfig = field(default_factory=CorpusConfig)
    """The text."""

    init: Path | None = None
    """Hugging Face BERT folder, or run of `text pretrain` or of a text task, whose encoder and tokenizer are taken;
    None starts from random weights and trains a tokenizer."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """The tokenizer, where ``init`` brings none."""

    encoder: EncoderConfig = TEXT_ENCODER
    """The encoder; with ``init``, its fusion, neck, residual form, dropout, layer_drop and gradient_checkpointing, and
    what it adds: exact_match, ngrams."""

    task: PretrainingConfig = field(default_factory=PretrainingConfig)
    """Units that are masked as a whole, and pairs."""

    masking: MaskingConfig = field(default_factory=lambda: MaskingConfig(mask_prob=0.15, last_only_prob=0.0))
    """How much is masked, and how; its positions are those units."""

    train: TrainConfig = _TRAIN
    """How it is trained; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        check_encoder(self.encoder, pairs=self.task.pair != "none")
        if not self.data.train:
            raise InputError("no text is given; name files with --data.train FILE ….")
        if self.train.optimiser.sparse_adam:
            raise InputError(
                "train.optimiser.sparse_adam is for sampled losses; masked words are scored against all words."
            )
        known = ("log_likelihood", "masked_accuracy", *(["pair_accuracy"] if self.task.pair != "none" else []))
        if self.train.monitor not in known:
            raise InputError(f"train.monitor is {self.train.monitor!r}; this training validates {', '.join(known)}.")


def run(config: Config) -> dict[str, Any]:
    """Train, keep the best epoch's weights, and write ``out/encoder`` (with its tokenizer) and ``metrics.json``.

    Returns:
        What ``metrics.json`` says.
    """
    import torch

    from nlp_tasks.artefacts import record_artefact
    from nlp_tasks.encoders import make_text_encoder, save_text_encoder, start_contents
    from nlp_tasks.pretraining.batches import PretrainingBatches, TextPretraining, metrics
    from nlp_tasks.pretraining.corpus import cut_corpus, hold_out_documents, read_documents
    from nlp_tasks.training import fit_best, print_summary
    from recsys_bert.files import fingerprint, replacing, write_json
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.run_folder import begin, check_unchanged, is_first_process

    files = {f"train {n}": path for n, path in enumerate(config.data.train)}
    files |= {"validation": config.data.validation} if config.data.validation else {}
    read = {name: read_documents(path, config.data) for name, path in files.items()}
    documents = [text for name, (texts, _) in read.items() if name != "validation" for text in texts]
    torch.manual_seed(config.train.seed)
    encoder, tokenizer = make_text_encoder(config.init, config.encoder, config.tokenizer, documents)
    room = _room(config, encoder.config.max_len)
    corpus = cut_corpus(documents, tokenizer, room, config.task.unit)
    if "validation" in read:
        held_out = cut_corpus(read["validation"][0], tokenizer, room, config.task.unit)
    else:
        corpus, held_out = hold_out_documents(corpus, config.data.validation_share, config.train.seed)
    size, seed = config.train.batch_size, config.train.seed
    batches, asked = (
        PretrainingBatches(part, tokenizer, config.task, config.masking, batch_size=size, seed=seed)
        for part in (corpus, held_out)
    )
    auxiliary = config.train.auxiliary.weight or None
    model = TextPretraining(encoder, tokenizer, config.task, auxiliary)
    check_table(model, config.train)
    begin(config.out, config)  # after everything that bad input can stop
    contents = {path: fingerprint([path]) for path in files.values()}
    check_unchanged(config.out, contents | start_contents(config.init, config.tokenizer))
    results = fit_best(
        model, encoder, batches, config.train, config.out, lambda: metrics(model, asked), "pretraining (masked words)"
    )
    results["validation"] = metrics(model, asked)
    results["examples"] = {"train": len(corpus), "validation": len(held_out)}
    results["tokens"] = {"train": len(corpus.ids), "validation": len(held_out.ids)}
    results["counted"] = {name: left_out for name, (_, left_out) in read.items() if left_out}
    if config.task.pair != "none":
        results["counted"] |= {"train": {"one sentence, no pair": batches.without_pair}}
    if is_first_process():
        with replacing(config.out / "encoder") as aside:
            save_text_encoder(aside, encoder, tokenizer)
        write_json(config.out / "metrics.json", results)
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in results["validation"].items())
        print(f"validation, {len(held_out):,} examples: {shown}", file=sys.stderr)
        record_artefact(config.out, "encoder")
        print_summary(results, config.out / "encoder")
    return results


def _room(config: Config, longest: int) -> int:
    """Tokens of an example without special ones."""
    asked = config.task.max_len
    if asked is not None and asked > longest:
        raise InputError(f"task.max_len is {asked}; this encoder reads {longest} tokens at most.")
    return (asked or longest) - (2 if config.task.pair == "none" else 3)
