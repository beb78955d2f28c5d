import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from recsys_bert.checksums import write_checksums
from recsys_bert.encoder.attention import AttentionMask
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError

TOKENS = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.full((2, 9), 3), r"tokens have shape \[2, 9\]; .* max_len 8"),
        (torch.full((2, 0), 3), r"tokens have shape \[2, 0\]"),
        (torch.tensor([3, 4]), r"tokens have shape \[2\]"),
        (torch.tensor([[3, 20]]), "tokens holds rows from 3 to 20; the table has rows 0 to 19"),
        (torch.tensor([[3, -1]]), "tokens holds rows from -1 to 3"),
        (torch.tensor([[3.0, 4.0]]), "tokens holds torch.float32"),
        (torch.tensor([[0, 3]]), "padding .* comes before a token; put it on the right"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(make, tokens: torch.Tensor, message: str):
    with pytest.raises(InputError, match=message):
        make()(tokens)


def test_a_mask_can_be_passed(make):
    encoder = make()
    cut = torch.tensor([[True, True, False, False], [True, True, False, False]])
    encoded = encoder(TOKENS, mask=cut)
    assert torch.equal(encoded.mask, cut)
    torch.testing.assert_close(encoded.tokens[:, :2], encoder(TOKENS[:, :2]).tokens)
    with pytest.raises(InputError, match=r"mask is torch.bool \[2, 2\]; it must be bool \[2, 4\]"):
        encoder(TOKENS, mask=cut[:, :2])


def test_int32_rows_are_the_same_rows(make):
    encoder = make()
    assert torch.equal(encoder(TOKENS.int()).tokens, encoder(TOKENS).tokens)


def test_only_layers_that_do_not_end_in_a_norm_get_one_behind_the_fusion(make):
    pre, post = make(layer="pre_norm")(TOKENS), make(layer="bert")(TOKENS)
    torch.testing.assert_close(pre.tokens, torch.nn.functional.layer_norm(pre.states[-1], (8,)))
    assert torch.equal(post.tokens, post.states[-1])


def test_table_space_changes_nothing_where_widths_agree(make):
    x = torch.randn(3, 8)
    assert make().project(x) is x
    wide = make(neck="cnn", residual="concat")
    assert wide.out_dim == 16
    assert wide.project(torch.randn(3, 16)).shape == (3, 8)


def test_shared_layers_equal_separate_ones_of_the_same_weights(make):
    shared, separate = make(share_layers=True, n_layers=3), make(n_layers=3)
    assert len(shared.layers) == 1
    for layer in separate.layers:
        layer.load_state_dict(shared.layers[0].state_dict())
    separate.embeddings.load_state_dict(shared.embeddings.state_dict())
    torch.testing.assert_close(shared(TOKENS).tokens, separate(TOKENS).tokens)


def test_layer_drop_leaves_out_whole_layers_in_training_only(make):
    encoder = make(layer_drop=0.3, dropout=0.0, n_layers=4)
    states = encoder(TOKENS).states
    assert not any(torch.equal(before, after) for before, after in pairwise(states))
    encoder.train()
    torch.manual_seed(0)
    attention_mask = AttentionMask.of(TOKENS != 0, causal=False)
    dropped = 0
    for _ in range(100):
        states = encoder(TOKENS).states
        for layer, before, after in zip(encoder.layers, states[:-1], states[1:], strict=True):
            left_out = after is before
            dropped += left_out
            if not left_out:  # what is kept is not rescaled
                torch.testing.assert_close(after, layer(before, attention_mask, None)[0])
    assert 90 < dropped < 150  # of 400, expected 120


def test_embeddings_start_small_and_maps_keep_the_size_of_what_they_map(make):
    encoder = make(vocab_size=2000, dim=64, init_std=0.02)
    assert abs(encoder.embeddings.token.weight.std().item() - 0.02) < 0.002
    widen = encoder.layers[0].ffn.up_proj.weight
    assert widen.std().item() == pytest.approx((2 / sum(widen.shape)) ** 0.5, rel=0.05)
    assert not encoder.embeddings.token.weight[0].any()
    assert not encoder.layers[0].attention.qkv.bias.any()


@pytest.mark.parametrize("residual_init_scale", [0.01, 1.0])
def test_the_last_map_of_a_branch_starts_scaled(make, residual_init_scale):
    layer = make(vocab_size=50, dim=64, residual_init_scale=residual_init_scale).layers[0]
    for last in (layer.attention.out.weight, layer.ffn.down_proj.weight):
        assert last.std().item() == pytest.approx(residual_init_scale * (2 / sum(last.shape)) ** 0.5, rel=0.05)


def test_scaling_branches_leaves_the_projection_to_the_item_table(make):
    encoder = make(neck="cnn", residual="concat", dim=8)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.scale_residual_branches(0.5)
    scaled = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert isinstance(encoder.output_projection, torch.nn.Linear)
    assert {name.split(".", 2)[2] for name in scaled} == {"attention.out.weight", "ffn.down_proj.weight"}


def test_an_encoder_of_an_older_format_is_refused(make, tmp_path: Path):
    make().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": "recsys_bert.encoder/1"}))
    with pytest.raises(InputError, match=r"format 'recsys_bert\.encoder/1', trained by another version.*Train"):
        Encoder.load(tmp_path)


def test_a_folder_that_is_not_ours_or_is_damaged_is_refused(make, tmp_path: Path):
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        Encoder.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="holds no encoder of this project"):
        Encoder.load(tmp_path)
    make().save(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    for damaged in (weights[: len(weights) // 2], b"", b"nonsense" * 9):
        (tmp_path / "model.safetensors").write_bytes(damaged)
        with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
            Encoder.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors is missing"):
        Encoder.load(tmp_path)


def test_weights_of_another_model_are_refused(make, tmp_path: Path):
    make(dim=16).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dim": 8}))
    write_checksums(tmp_path)
    with pytest.raises(InputError, match=r"does not fit its config\.json"):
        Encoder.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"colour": "red"}))
    write_checksums(tmp_path)
    with pytest.raises(InputError, match="no encoder setting is called 'colour'"):
        Encoder.load(tmp_path)


def test_every_setting_is_saved(make, tmp_path: Path):
    encoder = make(
        neck="cnn", neck_options={"kernel": 5}, residual="concat", embedding_dim=4, n_segments=2,
        features=[{"name": "shop", "size": 4}], share_layers=True, position="start", embedding_norm=True,
    )  # fmt: skip
    encoder.save(tmp_path)
    assert Encoder.load(tmp_path).config == encoder.config


def test_without_layers_the_neck_reads_the_embeddings(make, tmp_path: Path):
    encoder = make(n_layers=0, neck="bilstm", residual="none")
    encoded = encoder(TOKENS)
    assert len(encoded.states) == 1
    normed = torch.nn.functional.layer_norm(encoded.states[0], (encoder.config.dim,))
    torch.testing.assert_close(encoded.tokens, encoder.neck(normed, TOKENS != 0))
    assert not any(name.startswith("layers.") for name in encoder.state_dict())
    encoder.save(tmp_path)
    assert torch.equal(Encoder.load(tmp_path)(TOKENS).tokens, encoded.tokens)
