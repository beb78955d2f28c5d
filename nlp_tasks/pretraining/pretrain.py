"""Pretrain a text encoder on plain text, by any objective."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nlp_tasks.artefacts import record_artefact
from nlp_tasks.config import DERIVED
from nlp_tasks.encoders import load_output_head, make_text_encoder, save_text_encoder, start_contents
from nlp_tasks.examples import text_list
from nlp_tasks.pretraining.batches import PretrainingBatches
from nlp_tasks.pretraining.config import TextPretrainConfig
from nlp_tasks.pretraining.corpus import Corpus, cut_corpus, hold_out_documents
from nlp_tasks.pretraining.metrics import evaluate
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.training import fit_best, print_counted, print_metrics, print_summary
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.feed_forward import ACTIVATIONS
from recsys_bert.encoder.masked_head import MaskedTokenHead
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import allowing_parts, build
from recsys_bert.errors import InputError
from recsys_bert.files import replacing, write_json
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives import SECOND_LOSSES
from recsys_bert.objectives.distilled import Distilled
from recsys_bert.objectives.module import ObjectiveModule
from recsys_bert.objectives.objective import Objective, build_objective
from recsys_bert.objectives.segment_pairs import PairClassification, SecondLoss
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.settings import make_config
from recsys_bert.training.adversarial import check_table
from recsys_bert.training.run_folder import begin, check_unchanged, is_first_process, run_folder


def pretrain(
    texts: Sequence[str],
    *,
    validation: Sequence[str] | None = None,
    out: Path | str | None = None,
    config: TextPretrainConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> TextEncoder:
    """Pretrain a text encoder.

    Args:
        texts: Documents.
        validation: Documents of validation; None holds out ``validation_share`` of ``texts``.
        out: Run folder; a run that was interrupted there is resumed. None: nothing is kept on disk.
        config: The settings.
        allow_parts: Import parts from outside (``module:Class``) that init or teacher name; their code runs.
        **settings: Or the settings as keywords, named as in a recipe; nested ones as dicts or config objects.

    Raises:
        InputError: The settings do not suit the texts, init or the teacher; before anything is written.
    """
    config = make_config(TextPretrainConfig, config, settings)
    texts = text_list(texts)
    validation = None if validation is None else text_list(validation, "validation")
    if not texts or validation == []:
        raise InputError(f"{'validation' if texts else 'texts'} is an empty list; give at least one text.")
    with allowing_parts(allow_parts):
        return run_pretraining(texts, validation, out, config)[0]


def run_pretraining(
    texts: Sequence[str],
    validation: Sequence[str] | None,
    out: Path | str | None,
    config: TextPretrainConfig,
    left_out: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[TextEncoder, dict[str, Any]]:
    """As ``pretrain``; returns the contents of ``metrics.json`` as well.

    Args:
        texts: Documents.
        validation: Documents of validation, or None.
        out: Run folder, or None.
        config: The settings.
        left_out: Rows of the files that were left out, by file and reason; noted in ``metrics.json``.
    """
    training = build_training(texts, validation, config)
    config, held_out = training.config, training.held_out
    check_table(training.module, config.train)
    known = evaluate(training.objective, held_out, max_steps=1)
    if config.train.monitor not in known:
        raise InputError(f"train.monitor is {config.train.monitor!r}; this training validates {', '.join(known)}.")
    label = f"pretraining ({config.objective.rpartition(':')[2].replace('_', ' ')})"
    with run_folder(out) as folder, begin(folder, config):  # after everything that bad input can stop
        check_unchanged(folder, _sources(texts, validation, config))
        print_counted(left_out or {})
        results = fit_best(
            training.module,
            training.trained,
            training.batches,
            config.train,
            folder,
            lambda: evaluate(training.objective, held_out),
            label,
        )
        results |= {
            "validation": evaluate(training.objective, held_out),
            "examples": {"train": len(training.batches.corpus), "validation": len(held_out.corpus)},
            "tokens": {"train": len(training.batches.corpus.ids), "validation": len(held_out.corpus.ids)},
            "counted": {name: dict(counts) for name, counts in (left_out or {}).items() if counts},
        }
        if config.second_loss != "none":
            results["counted"] |= {"train": {"one sentence, no pair": training.batches.without_pair}}
        if is_first_process():
            with replacing(folder / "encoder", sealed=True) as target:
                save_text_encoder(target, training.encoder, training.tokenizer, training.head)
            write_json(folder / "metrics.json", results, sealed=True)
            record_artefact(folder, "encoder")
            print_metrics(results["validation"] | {"examples": len(held_out.corpus)}, "validation")
        print_summary(results, None if out is None else folder / "encoder")
    return TextEncoder(training.encoder.eval(), training.tokenizer, masked_head=training.head), results


@dataclass(frozen=True)
class TextTraining:
    """All that ``pretrain`` trains, before the first step."""

    config: TextPretrainConfig
    """Resolved settings: the encoder is the one that is trained."""

    encoder: Encoder
    """The encoder, which is saved."""

    tokenizer: Tokenizer
    """Its tokenizer."""

    head: MaskedTokenHead | None
    """Its masked-token head, which is saved too; None: tokens are predicted by the token table alone."""

    objective: ObjectiveModule
    """The objective's module, with its second loss."""

    module: nn.Module
    """The loss, as ``fit`` takes it."""

    batches: PretrainingBatches
    """Training batches."""

    held_out: PretrainingBatches
    """Validation batches."""

    @property
    def trained(self) -> nn.Module:
        """The objective's module as such."""
        assert isinstance(self.objective, nn.Module)
        return self.objective


def build_training(texts: Sequence[str], validation: Sequence[str] | None, config: TextPretrainConfig) -> TextTraining:
    """Build encoder, tokenizer, objective and batches, from freshly seeded weights.

    Raises:
        InputError: The settings do not suit the texts, init or the teacher.
    """
    objective = build_objective(config.objective, config.objective_options)
    if config.whole_words != "tokenizer" and not objective.appends_mask:
        raise InputError(
            f"whole_words is {config.whole_words!r}, but objective {config.objective!r} masks no words. Leave it out."
        )
    second_loss: SecondLoss | None = None
    if config.second_loss != "none":
        second_loss = build("second loss", config.second_loss, SECOND_LOSSES, options=config.second_loss_options)
    torch.manual_seed(config.train.seed)
    encoder, tokenizer = _encoder(config, objective, list(texts))
    corpora = _corpora(texts, validation, config, tokenizer, encoder.config)
    size, seed = config.train.batch_size, config.train.seed
    batches, held_out = (
        PretrainingBatches(part, tokenizer, objective, second_loss, batch_size=size, seed=seed) for part in corpora
    )
    weight = config.train.auxiliary.weight or None
    head = _output_head(config, encoder, tokenizer)
    prediction = TokenPrediction(encoder, LossConfig(), first_row=tokenizer.first_token, auxiliary=weight, head=head)
    trained: Any = objective.module(prediction)
    if second_loss is not None:
        trained = PairClassification(trained, second_loss.weight)
    module = trained
    if config.teacher:
        module = Distilled(trained, _teacher(config.teacher, encoder.config, tokenizer), config.distillation)
    config = replace(config, encoder=encoder.config)
    return TextTraining(config, encoder, tokenizer, head, trained, module, batches, held_out)


def _encoder(config: TextPretrainConfig, objective: Objective, texts: list[str]) -> tuple[Encoder, Tokenizer]:
    """Encoder with the objective's attention, and its tokenizer.

    Raises:
        InputError: A derived setting of the encoder is another one, or a neck has other weights with this attention.
    """
    attention = objective.attention
    settings = replace(config.encoder, **{name: getattr(EncoderConfig(), name) for name in DERIVED})
    encoder, tokenizer = make_text_encoder(config.init, settings, config.tokenizer, texts)
    if encoder.config.attention != attention:
        source, encoder = encoder, Encoder(replace(encoder.config, attention=attention))
        shapes, of_source = (_shapes(one) for one in (encoder, source))
        if shapes == of_source:
            encoder.load_state_dict(source.state_dict())
        elif config.init is None:
            settings = replace(settings, attention=attention)
            encoder, tokenizer = make_text_encoder(None, settings, config.tokenizer, texts)
        else:
            raise InputError(
                f"neck {encoder.config.neck!r} of init {config.init} has other weights with the attention of objective "
                f"{config.objective!r}. Choose another encoder.neck, or leave out init."
            )
    for name in DERIVED:
        value, default, derived = (getattr(c, name) for c in (config.encoder, EncoderConfig(), encoder.config))
        if value not in (default, derived):
            raise InputError(f"encoder.{name} is {value}, but {derived} follows here; leave it out.")
    return encoder, tokenizer


def _output_head(config: TextPretrainConfig, encoder: Encoder, tokenizer: Tokenizer) -> MaskedTokenHead | None:
    """Masked-token head: that of init, or a new one; None for the token table alone.

    Raises:
        InputError: That of init does not fit the encoder with its neck.
    """
    if config.output_head == "tied":
        return None
    head = None if config.init is None else load_output_head(config.init, tokenizer)
    if head is None and config.output_head == "bert":
        options, table = encoder.config.layer_options, encoder.embeddings.token
        activation = str(options.get("activation", "gelu"))
        activation = activation if activation in ACTIVATIONS else "gelu"
        eps = encoder.config.norm_eps
        head = MaskedTokenHead(encoder.out_dim, table.embedding_dim, table.num_embeddings, activation, eps)
    if head is not None:
        head.check_fits(encoder)
    return head


def _shapes(encoder: Encoder) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in encoder.state_dict().items()}


def _corpora(
    texts: Sequence[str],
    validation: Sequence[str] | None,
    config: TextPretrainConfig,
    tokenizer: Tokenizer,
    encoder: EncoderConfig,
) -> tuple[Corpus, Corpus]:
    """Training and validation examples.

    Raises:
        InputError: ``max_len`` exceeds the encoder's, or there are too few documents.
    """
    if config.max_len is not None and config.max_len > encoder.max_len:
        raise InputError(f"max_len is {config.max_len}; this encoder reads {encoder.max_len} tokens at most.")
    n_special = 2 if config.second_loss == "none" else 3
    room = (config.max_len or encoder.max_len) - n_special
    corpus = cut_corpus(texts, tokenizer, room, config.whole_words)
    if validation is None:
        return hold_out_documents(corpus, config.validation_share, config.train.seed)
    return corpus, cut_corpus(validation, tokenizer, room, config.whole_words)


def _teacher(run: Path, student: EncoderConfig, tokenizer: Tokenizer) -> TokenPrediction:
    loaded = TextEncoder.load(run)
    teacher, rows = loaded.encoder, range(tokenizer.size)
    if loaded.tokenizer.size != tokenizer.size or loaded.tokenizer.tokens(rows) != tokenizer.tokens(rows):
        raise InputError(f"teacher {run} has another vocabulary; set tokenizer.folder to {run}.")
    if teacher.config.attention != student.attention:
        raise InputError(f"teacher {run} has other attention; give both the same objective.")
    if teacher.config.max_len < student.max_len:
        raise InputError(
            f"teacher {run} reads {teacher.config.max_len} tokens at most, this run {student.max_len}; set "
            f"encoder.max_len to {teacher.config.max_len} or less."
        )
    return TokenPrediction(teacher, LossConfig(), first_row=tokenizer.first_token, head=loaded.masked_head)


def _sources(texts: Sequence[str], validation: Sequence[str] | None, config: TextPretrainConfig) -> dict[Path, str]:
    """Digests of all that a run reads, by name."""
    documents = {Path("texts"): texts} | ({} if validation is None else {Path("validation"): validation})
    digests = {name: sha256("\0".join(part).encode()).hexdigest() for name, part in documents.items()}
    return digests | start_contents(config.init, config.tokenizer, config.teacher)
