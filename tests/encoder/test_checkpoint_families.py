"""Checkpoints of every family at random weights: transformers itself says what the numbers must be."""

import argparse
import json
import logging
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModel

from recsys_bert.encoder.hugging_face.load import load_checkpoint, load_with_head
from recsys_bert.encoder.hugging_face.save import CheckpointHead, save_checkpoint
from recsys_bert.errors import InputError

SIZES = {
    "vocab_size": 30, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 16,
}  # fmt: skip
DISTIL = {
    "vocab_size": 30, "dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 40, "max_position_embeddings": 16,
}  # fmt: skip
NAMES = {
    "bert": ("Bert", SIZES | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3}),
    "bert-silu": ("Bert", SIZES | {"hidden_act": "silu", "pad_token_id": 4}),
    "roberta": ("Roberta", SIZES | {"type_vocab_size": 1, "pad_token_id": 1}),
    "roberta-pad-0": ("Roberta", SIZES | {"type_vocab_size": 1, "pad_token_id": 0, "layer_norm_eps": 1e-5}),
    "xlm-roberta": ("XLMRoberta", SIZES | {"type_vocab_size": 1, "pad_token_id": 1}),
    "camembert": ("Camembert", SIZES | {"type_vocab_size": 1, "pad_token_id": 1}),
    "distilbert": ("DistilBert", DISTIL),
    "distilbert-sinusoids": ("DistilBert", DISTIL | {"sinusoidal_pos_embds": True, "activation": "relu"}),
    "electra": ("Electra", SIZES | {"embedding_size": 12}),
    "electra-equal-widths": ("Electra", SIZES | {"embedding_size": 24}),
    "albert": ("Albert", SIZES | {"embedding_size": 12}),
    "albert-one-layer": ("Albert", SIZES | {"embedding_size": 12, "num_hidden_layers": 1, "hidden_act": "relu"}),
    "ernie": ("Ernie", SIZES),
    "ernie-with-tasks": ("Ernie", SIZES | {"use_task_id": True, "task_type_vocab_size": 3}),
    "mpnet": ("MPNet", SIZES),
    "mpnet-few-buckets": ("MPNet", SIZES | {"relative_attention_num_buckets": 32, "vocab_size": 60}),
}
ROWS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [16, 17, 18] + [0] * 8, [19] + [0] * 10])
MASK = ROWS != 0
SEGMENTS = ((torch.arange(11) > 2) & MASK).long()
SEGMENTS[1] = 0


def make(name: str, kind: str = "Model", **settings):
    """A model of transformers with weights that matter, and its row of padding."""
    family, values = NAMES[name]
    config = getattr(transformers, f"{family}Config")(**values | settings)
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}{kind}")(config).eval()
    for n, p in model.named_parameters():
        torch.nn.init.normal_(p, 1.0 if "norm" in n.lower() and n.endswith("weight") else 0.0, std=0.2)
    return model, 1 if family == "MPNet" else (config.pad_token_id or 0)


def to_theirs(rows: torch.Tensor, pad: int) -> torch.Tensor:
    return torch.where(rows == 0, pad, rows)


def states(model, pad: int, segments: bool):
    with torch.no_grad():
        more = {"token_type_ids": SEGMENTS} if segments else {}
        tokens = to_theirs(ROWS, pad)
        return model(tokens, attention_mask=MASK.long(), output_hidden_states=True, **more).hidden_states


def assert_same_states(encoder, theirs, segments: bool) -> float:
    with torch.no_grad():
        ours = encoder(ROWS, segments=SEGMENTS if segments else None).states
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one[MASK], other[MASK], atol=1e-5, rtol=0)
    return max(float((one[MASK] - other[MASK]).abs().max()) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_hidden_state_equals_transformers(name: str, tmp_path: Path):
    model, pad = make(name)
    model.save_pretrained(tmp_path)
    encoder = load_checkpoint(tmp_path)
    segments = encoder.config.n_segments > 1
    assert_same_states(encoder, states(model, pad, segments), segments)


@pytest.mark.parametrize("name", NAMES)
def test_masked_token_logits_equal_transformers(name: str, tmp_path: Path):
    model, pad = make(name, "ForMaskedLM")
    model.save_pretrained(tmp_path)
    encoder, head = load_with_head(tmp_path)
    with torch.no_grad():
        theirs = model(to_theirs(ROWS, pad), attention_mask=MASK.long()).logits[MASK]
        ours = head(encoder(ROWS).tokens[MASK]) @ encoder.embeddings.token.weight.T + head.bias
    order = torch.arange(theirs.shape[1])
    order[0], order[pad] = pad, 0
    torch.testing.assert_close(ours, theirs[:, order], atol=2e-5, rtol=0)


def test_a_checkpoint_without_a_masked_token_head(tmp_path: Path, caplog):
    make("electra", "ForPreTraining")[0].save_pretrained(tmp_path)
    assert load_with_head(tmp_path)[1] is None
    model, _ = make("bert", "ForMaskedLM", tie_word_embeddings=False)
    model.save_pretrained(tmp_path / "untied")
    assert load_with_head(tmp_path / "untied")[1] is None
    assert "masked-token head has a table of its own; it is left out" in caplog.text


def write(folder: Path, model, saved, name: str = "pytorch_model.bin", **config) -> None:
    folder.mkdir()
    values = json.loads(model.config.to_json_string()) | config
    (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    torch.save(saved, folder / name)


@pytest.mark.parametrize(
    ("kind", "prefix", "wrap"),
    [
        ("Model", "", lambda weights: weights),
        ("Model", "", lambda weights: {"state_dict": weights, "epoch": 3, "lr": 1e-3}),
        ("Model", "module.", lambda weights: {"model": weights}),
        ("ForMaskedLM", "module.", lambda weights: {"model_state_dict": weights}),
        ("ForSequenceClassification", "model._orig_mod.", lambda weights: {"epoch": 1, "state_dict": weights}),
        ("ForTokenClassification", "", lambda weights: {"model": {"state_dict": weights}}),
    ],
)
def test_wrappings_of_training_scripts(kind: str, prefix: str, wrap, tmp_path: Path):
    model, _ = make("bert", kind)
    weights = {prefix + name: value.half() for name, value in model.state_dict().items()}
    write(tmp_path / "bert", model, wrap(weights), model_type=None, architectures=None)
    model.load_state_dict({name.removeprefix(prefix): value.float() for name, value in weights.items()})
    base = model if kind == "Model" else model.bert
    assert_same_states(load_checkpoint(tmp_path / "bert"), states(base, 0, True), True)


@pytest.mark.parametrize("name", ["roberta", "albert", "electra", "distilbert"])
def test_a_config_without_model_type_goes_by_the_class(name: str, tmp_path: Path):
    model, pad = make(name, "ForMaskedLM")
    write(tmp_path / "x", model, model.state_dict(), model_type=None, architectures=[type(model).__name__])
    encoder = load_checkpoint(tmp_path / "x")
    segments = encoder.config.n_segments > 1
    assert_same_states(encoder, states(model.base_model, pad, segments), segments)


def test_shards(tmp_path: Path):
    model, _ = make("bert")
    model.save_pretrained(tmp_path / "safe", max_shard_size="8KB")
    assert len(list((tmp_path / "safe").glob("model-*.safetensors"))) > 2
    assert_same_states(load_checkpoint(tmp_path / "safe"), states(model, 0, True), True)
    weights = list(model.state_dict().items())
    parts = {"pytorch_model-1.bin": dict(weights[:10]), "pytorch_model-2.bin": dict(weights[10:])}
    write(tmp_path / "bin", model, parts["pytorch_model-1.bin"], "pytorch_model-1.bin")
    torch.save(parts["pytorch_model-2.bin"], tmp_path / "bin" / "pytorch_model-2.bin")
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (tmp_path / "bin" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert_same_states(load_checkpoint(tmp_path / "bin"), states(model, 0, True), True)
    (tmp_path / "bin" / "pytorch_model-2.bin").unlink()
    with pytest.raises(InputError, match=r"lacks 1 of 2 files that pytorch_model.bin.index.json names: pytorch_mod"):
        load_checkpoint(tmp_path / "bin")
    index = {"weight_map": {name: f"../{file}" for name, file in index["weight_map"].items()}}
    (tmp_path / "bin" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="names no files of this folder"):
        load_checkpoint(tmp_path / "bin")


def test_a_file_of_another_name(tmp_path: Path):
    model, _ = make("bert")
    write(tmp_path / "x", model, {"model": model.state_dict()}, "epoch-3.ckpt")
    torch.save({"lr": 1}, tmp_path / "x" / "optimizer.pt")
    assert_same_states(load_checkpoint(tmp_path / "x"), states(model, 0, True), True)
    torch.save(model.state_dict(), tmp_path / "x" / "best.pt")
    with pytest.raises(InputError, match=r"several files of weights: best\.pt, epoch-3\.ckpt"):
        load_checkpoint(tmp_path / "x")


def test_other_objects_are_never_unpickled(tmp_path: Path):
    model, _ = make("bert")
    write(tmp_path / "x", model, {"model": model.state_dict(), "args": argparse.Namespace(lr=1)})
    with pytest.raises(InputError, match=r"holds other objects .* never loaded\. Save the weights alone"):
        load_checkpoint(tmp_path / "x")
    write(tmp_path / "y", model, {"epoch": 1, "loss": torch.tensor(2.0)})
    with pytest.raises(InputError, match=r"holds epoch, loss, but no weights, nor any under state_dict"):
        load_checkpoint(tmp_path / "y")
    write(tmp_path / "z", model, [1, 2])
    with pytest.raises(InputError, match=r"holds a list, but no weights"):
        load_checkpoint(tmp_path / "z")


def test_checkpoints_that_could_mean_several_things_are_refused(tmp_path: Path):
    model, _ = make("bert")
    twice = {
        f"{who}.bert.{name}": value for who in ("teacher", "student") for name, value in model.state_dict().items()
    }
    write(tmp_path / "x", model, twice)
    with pytest.raises(InputError, match=r"several encoders: student\.bert\., teacher\.bert\.\. Save the one"):
        load_checkpoint(tmp_path / "x")
    write(tmp_path / "y", model, {"lora.weight": torch.zeros(2)}, "adapter_model.bin")
    (tmp_path / "y" / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="an adapter, not a model; merge it"):
        load_checkpoint(tmp_path / "y")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("albert", {"num_hidden_groups": 3}, r"'albert' with num_hidden_groups 3 \(only 1\)"),
        ("albert", {"inner_group_num": 2}, r"inner_group_num 2 \(only 1\)"),
        ("roberta", {"is_decoder": True}, "'roberta' with a decoder"),
        ("bert", {"pad_token_id": 99}, "padding in row 99, but its token table has 30 rows"),
        ("distilbert", {"hidden_dim": None}, "lacks 'hidden_dim'"),
        ("mpnet", {"num_hidden_layers": 4}, "lacks the weight 'encoder.layer.3"),
    ],
)
def test_variants_are_refused_by_name(name: str, change, message: str, tmp_path: Path):
    model, _ = make(name)
    write(tmp_path / "x", model, model.state_dict(), **change)
    with pytest.raises(InputError, match=message):
        load_checkpoint(tmp_path / "x")


OUT = [("bert", 0), ("bert", 2), ("bert-silu", 4), ("roberta", 1), ("distilbert", 0), ("electra", 2), ("albert", 0)]


@pytest.mark.parametrize(("name", "pad"), [*OUT, ("ernie-with-tasks", 0), ("albert-one-layer", 3)])
def test_what_came_in_goes_out_with_the_same_numbers(name: str, pad: int, tmp_path: Path, caplog):
    model, their_pad = make(name, "ForMaskedLM")
    model.save_pretrained(tmp_path / "in")
    encoder, head = load_with_head(tmp_path / "in")
    if encoder.config.norm_eps != head.norm_eps or name in ("albert-one-layer", "roberta-pad-0"):
        head = None
    out = CheckpointHead("ForMaskedLM" if head else "Model", masked=head)
    save_checkpoint(encoder, tmp_path / "out", out, pad)
    with caplog.at_level(logging.WARNING):
        opened = getattr(transformers, json.loads((tmp_path / "out" / "config.json").read_text())["architectures"][0])
        again, info = opened.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert all("pooler" in key for key in info["missing_keys"])
    assert not info["unexpected_keys"]
    again.eval()
    segments = encoder.config.n_segments > 1
    assert_same_states(encoder, states(again.base_model, pad, segments), segments)
    if head:
        with torch.no_grad():
            ours, theirs = (
                one(to_theirs(ROWS, p), attention_mask=MASK.long()).logits[MASK]
                for one, p in ((model, their_pad), (again, pad))
            )
        order = torch.arange(30)
        order[0], order[their_pad] = order[their_pad].clone(), order[0].clone()
        ours = ours[:, order]
        order = torch.arange(30)
        order[0], order[pad] = order[pad].clone(), order[0].clone()
        torch.testing.assert_close(ours, theirs[:, order], atol=2e-5, rtol=0)


def test_what_has_no_counterpart_is_refused(tmp_path: Path):
    make("mpnet")[0].save_pretrained(tmp_path / "in")
    with pytest.raises(InputError, match="cannot be exported: layer is 'relative', not 'bert'"):
        save_checkpoint(load_checkpoint(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    model, _ = make("roberta", "ForMaskedLM", hidden_act="relu")
    model.save_pretrained(tmp_path / "relu")
    head = CheckpointHead("ForMaskedLM", masked=load_with_head(tmp_path / "relu")[1])
    with pytest.raises(InputError, match="the masked-token head's activation is 'gelu', not 'relu'"):
        save_checkpoint(load_checkpoint(tmp_path / "relu"), tmp_path / "out", head)
    assert AutoModel.from_pretrained(tmp_path / "relu") is not None
