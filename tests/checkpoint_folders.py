"""Small Hugging Face folders at random weights, with model and tokenizer, for tests."""

import json
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, trainers

TEXTS = [
    "the quick brown fox jumps over the lazy dog", "a rower from Split joined Fir Club", "shares fell on weak earnings",
    "Ada saw Rome", "naïve café 北京 hello", "one", "two numbers 3.14 and 1,000 (see below)", "the fox",
]  # fmt: skip
BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZES = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32,
    "max_position_embeddings": 40,
}  # fmt: skip
SETTINGS = {
    "Roberta": {"type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "Albert": {"embedding_size": 12},
    "Electra": {"embedding_size": 12},
}


def write_tokenizer(folder: Path, family: str = "Bert", special=BERT_SPECIAL) -> int:
    """Train and save a tokenizer; returns its size."""
    if family == "Roberta":
        special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    elif family == "MPNet":
        special = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
    if family in ("Roberta",):
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=310, special_tokens=list(special), initial_alphabet=alphabet)
    else:
        backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=list(special))
    backend.train_from_iterator([*TEXTS, *(text.lower() for text in TEXTS)], trainer)
    vocabulary = backend.get_vocab()
    if family == "Roberta":
        merges = [tuple(merge) for merge in json.loads(backend.to_str())["model"]["merges"]]
        tokenizer = transformers.RobertaTokenizer(vocab=vocabulary, merges=merges)
    elif family == "MPNet":
        tokenizer = transformers.MPNetTokenizer(vocab=vocabulary)
    else:
        tokenizer = transformers.BertTokenizer(vocab=vocabulary)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def write_checkpoint(folder: Path, family: str = "Bert", kind: str = "Model", special=BERT_SPECIAL, **settings) -> Path:
    """Write a folder of a family, such as ``Roberta``, at random weights."""
    size = write_tokenizer(folder, family, special)
    sizes = SIZES
    if family == "DistilBert":
        sizes = {"dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 32, "max_position_embeddings": 40}
    config = getattr(transformers, f"{family}Config")(vocab_size=size, **sizes, **SETTINGS.get(family, {}), **settings)
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}{kind}")(config).eval()
    for name, p in model.named_parameters():
        torch.nn.init.normal_(p, 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, std=0.2)
    model.save_pretrained(folder)
    return folder
