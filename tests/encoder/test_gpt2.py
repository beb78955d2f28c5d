"""GPT-2 checkpoints: the same hidden states and logits as transformers, in and out."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from recsys_bert.decoding.config import DecodingConfig
from recsys_bert.decoding.constraints import Vocabulary
from recsys_bert.decoding.decode import decode
from recsys_bert.decoding.encoder_tokens import EncoderTokens
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.hugging_face.load import load_checkpoint
from recsys_bert.encoder.hugging_face.save import CheckpointHead, save_checkpoint
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError

SIZE = 21
TOKENS = torch.tensor([[3, 4, 5, 6, 7, 2], [8, 3, 9, 1, 1, 12]])


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    torch.manual_seed(2)
    sizes = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 24, "n_inner": 40}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=SIZE, initializer_range=0.5, bos_token_id=1, **sizes)).eval()
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.5)
    folder = tmp_path_factory.mktemp("gpt2")
    model.save_pretrained(folder)
    return model, folder


def logits_of(encoder: Encoder, tokens: torch.Tensor) -> torch.Tensor:
    """Logits in the order of their vocabulary, whose token 0 is here in the last row."""
    table = encoder.embeddings.token.weight
    ours = torch.where(tokens == 0, SIZE, tokens)
    logits = encoder.project(encoder(ours).tokens) @ table.T
    return torch.cat([logits[..., SIZE:], logits[..., 1:SIZE]], -1)


def test_states_and_logits_are_theirs(gpt2):
    model, folder = gpt2
    encoder = load_checkpoint(folder)
    assert encoder.config.attention == "causal"
    for tokens in (TOKENS, TOKENS.clamp(max=5) % 5):  # their token 0 among them
        with torch.no_grad():
            theirs = model(tokens, output_hidden_states=True)
            ours = encoder(torch.where(tokens == 0, SIZE, tokens))
            torch.testing.assert_close(logits_of(encoder, tokens), theirs.logits, atol=1e-5, rtol=1e-5)
        for n in range(3):
            torch.testing.assert_close(ours.states[n], theirs.hidden_states[n], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.tokens, theirs.hidden_states[3], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("appended", [True, False])
def test_an_export_has_the_same_logits(gpt2, tmp_path, appended):
    encoder = load_checkpoint(gpt2[1])
    head = CheckpointHead("LMHeadModel", appended_padding=appended)
    save_checkpoint(encoder, tmp_path, head, pad_row=SIZE)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert again.config.vocab_size == SIZE + (not appended)
    with torch.no_grad():
        torch.testing.assert_close(again(TOKENS).logits[..., :SIZE], gpt2[0](TOKENS).logits, atol=1e-5, rtol=1e-5)


def test_an_encoder_of_ours_is_exported_with_its_segment(tmp_path):
    torch.manual_seed(0)
    config = {"vocab_size": 9, "dim": 8, "max_len": 12, "position": "start", "attention": "causal", "init_std": 1.0}
    encoder = Encoder(EncoderConfig(n_segments=2, share_layers=True, **config)).eval()
    save_checkpoint(encoder, tmp_path, CheckpointHead("LMHeadModel"))
    theirs, tokens = AutoModelForCausalLM.from_pretrained(tmp_path).eval(), torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        logits = encoder(tokens).tokens @ encoder.embeddings.token.weight.T
        torch.testing.assert_close(theirs(tokens).logits, logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "bert"}, "layer is 'bert', not 'pre_norm'"),
        ({"attention": "prefix"}, "attention is 'prefix', not 'causal'"),
        ({"position": "rope"}, "position is 'rope', not 'start'"),
        ({"embedding_dim": 4}, "embedding tables are factorised"),
        ({"fusion": "scalar_mix", "norm_eps": 1e-6}, r"fusion is 'scalar_mix', not 'last'; norms differ in norm_eps"),
    ],
)
def test_what_is_no_gpt2_is_refused(tmp_path, settings, message):
    defaults = {"vocab_size": 9, "dim": 8, "attention": "causal", "position": "start"}
    encoder = Encoder(EncoderConfig(**defaults | settings))
    with pytest.raises(InputError, match=message):
        save_checkpoint(encoder, tmp_path / "out", CheckpointHead("LMHeadModel"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale_attn_weights": False}, "not divided by the root of the width"),
        ({"scale_attn_by_inverse_layer_idx": True}, "divided by the layer's number"),
        ({"add_cross_attention": True}, "cross-attention"),
        ({"n_embd": None}, "encoder setting dim"),
    ],
)
def test_variants_are_refused(gpt2, tmp_path, change, message):
    for file in gpt2[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    values = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=message):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{"search": "greedy"}, {"beams": 3, "n_best": 2}, {"beams": 3, "repetition_penalty": 1.3, "no_repeat_ngram": 2}],
    ids=["greedy", "beam", "penalties"],
)
def test_generation_with_a_cache_is_theirs(gpt2, settings):
    model, encoder = gpt2[0], load_checkpoint(gpt2[1])
    table, inputs = encoder.embeddings.token.weight, [[3, 4, 5, 9], [7, 2], [8, 8, 6]]
    config = DecodingConfig(max_length=10, **settings)
    tokens = EncoderTokens(encoder, lambda x: x @ table.T, inputs, config.max_length)
    ours = decode(tokens, config, Vocabulary(stop=(1,), forbidden=(0, SIZE)), history=inputs)  # SIZE is their token 0
    beams = config.beams if config.search == "beam" else 1
    for row, hypotheses in zip(inputs, ours, strict=True):
        theirs = model.generate(
            torch.tensor([row]),
            attention_mask=torch.ones(1, len(row), dtype=torch.long),
            do_sample=False,
            num_beams=beams,
            num_return_sequences=config.n_best,
            max_new_tokens=10,
            eos_token_id=1,
            pad_token_id=1,
            suppress_tokens=[0],
            repetition_penalty=config.repetition_penalty,
            no_repeat_ngram_size=config.no_repeat_ngram or None,
            **({"early_stopping": "never"} if beams > 1 else {}),
        )
        expected = [tokens[len(row) :].tolist() for tokens in theirs]
        assert [list(one.tokens) for one in hypotheses] == [
            tokens[: tokens.index(1)] if 1 in tokens else tokens for tokens in expected
        ]
