from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from nlp_tasks.artefacts import record_artefact
from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig, check_encoder
from nlp_tasks.encoders import load_text_encoder, make_text_encoder, save_text_encoder, some_layers, start_files
from recsys_bert.checksums import write_checksums
from recsys_bert.encoder.embeddings import is_zero_initialised
from recsys_bert.errors import InputError


@pytest.fixture
def folder(tmp_path, encoder, tokenizer):
    save_text_encoder(record_artefact(tmp_path, "encoder"), encoder, tokenizer)
    return tmp_path


def states(encoder, tokens):
    return encoder(tokens).tokens.detach().numpy()


TOKENS = torch.tensor([[2, 5, 6, 7, 3]])


def test_ours_comes_back_from_a_run_folder(folder, encoder, tokenizer, settings):
    loaded, its_tokenizer = load_text_encoder(folder, settings)
    np.testing.assert_array_equal(states(loaded, TOKENS), states(encoder, TOKENS))
    assert its_tokenizer.tokens(range(its_tokenizer.size)) == tokenizer.tokens(range(tokenizer.size))


def test_parts_follow_the_recipe_and_start_afresh(folder, encoder, settings):
    loaded, _ = load_text_encoder(folder, replace(settings, fusion="scalar_mix", neck="cnn", dropout=0.4))
    assert (loaded.config.fusion, loaded.config.neck, loaded.config.dropout) == ("scalar_mix", "cnn", 0.4)
    for name, value in encoder.state_dict().items():
        if name.startswith(("embeddings.", "layers.", "norm.")):
            torch.testing.assert_close(loaded.state_dict()[name], value, rtol=0, atol=0)


def test_a_part_that_stays_keeps_its_weights(tmp_path, settings, tokenizer):
    initial, _ = make_text_encoder(
        None, replace(settings, fusion="scalar_mix", neck="cnn"), TokenizerConfig(), ["a b"] * 3
    )
    with torch.no_grad():
        for weight in initial.parameters():
            weight.add_(0.25)
    save_text_encoder(tmp_path, initial, tokenizer_of(initial, tokenizer))
    loaded, _ = load_text_encoder(tmp_path, replace(settings, fusion="scalar_mix", neck="none"))
    torch.testing.assert_close(loaded.fusion.state_dict(), initial.fusion.state_dict())
    again, _ = load_text_encoder(tmp_path, replace(settings, fusion="last", neck="cnn"))
    torch.testing.assert_close(again.neck.state_dict(), initial.neck.state_dict())


def tokenizer_of(encoder, tokenizer):
    """Whatever fits: the table must be as large."""
    if encoder.config.vocab_size >= tokenizer.size:
        return tokenizer
    return type(tokenizer).train(["a b"] * 3, TokenizerConfig())


@pytest.fixture
def hugging_face(tmp_path, tokenizer):
    torch.manual_seed(2)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    model = BertModel(
        BertConfig(vocab_size=tokenizer.size, max_position_embeddings=40, **sizes), add_pooling_layer=False
    )
    model.eval().save_pretrained(tmp_path / "bert")
    tokenizer.save(tmp_path / "bert")
    return tmp_path / "bert", model


def test_a_hugging_face_folder(hugging_face, settings):
    path, model = hugging_face
    loaded, tokenizer = load_text_encoder(path)
    text = "ball and bank"
    theirs = model(**AutoTokenizer.from_pretrained(path)(text, return_tensors="pt"), output_hidden_states=True)
    rows = np.concatenate([[tokenizer.cls], tokenizer([text]).ids, [tokenizer.sep]])
    ours = loaded(torch.from_numpy(rows)[None].long())
    for one, other in zip(ours.states, theirs.hidden_states, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    mixed, _ = load_text_encoder(
        path, replace(TEXT_ENCODER, fusion="token_mix", layer_options={"attention_dropout": 0.0})
    )
    assert mixed.config.fusion == "token_mix"
    assert mixed.config.n_layers == 2
    assert mixed.layers[1].attention.dropout == 0.0


def test_sizes_are_the_checkpoints(hugging_face, settings):
    with pytest.raises(InputError, match=r"encoder\.dim is 32, but .*bert has 16, which cannot be changed"):
        load_text_encoder(hugging_face[0], replace(settings, dim=32))


def test_layer_options_change_what_holds_no_weights(folder, settings):
    loaded, _ = load_text_encoder(folder, replace(settings, layer_options={"attention_dropout": 0.25}))
    assert loaded.layers[0].attention.dropout == 0.25
    with pytest.raises(InputError, match=r"does not fit the settings: it has no layers\.0\.ffn"):
        load_text_encoder(folder, replace(settings, layer_options={"ffn_dim": 20}))


def test_a_tokenizer_of_another_encoder_is_refused(folder, settings):
    tokens = "".join(f"word{n}\n" for n in range(2000))
    (folder / "encoder" / "tokenizer.json").unlink()
    (folder / "encoder" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + tokens)
    write_checksums(folder / "encoder")
    with pytest.raises(InputError, match=r"has 2,005 tokens, the encoder's table has \d+ rows: they do not belong"):
        load_text_encoder(folder, settings)


def test_a_training_starts_from_these_files(folder, hugging_face, tmp_path):
    names = ["model.safetensors", "tokenizer.json", "vocab.txt", "tokenizer_config.json"]
    ours, theirs = ([path / name for name in names] for path in (folder / "encoder", hugging_face[0]))
    initial = TokenizerConfig(folder=folder, vectors=tmp_path / "vectors.txt")
    assert start_files(None, TokenizerConfig()) == []
    assert start_files(None, initial) == [tmp_path / "vectors.txt", *ours[1:]]
    assert start_files(folder, TokenizerConfig(), teacher=hugging_face[0]) == [*ours, *theirs]


def test_settings_of_a_tokenizer_are_not_ignored_beside_a_trained_one(tmp_path, settings, topics):
    cased = {"kind": "wordpiece", "vocab_size": 300, "lowercase": False}
    texts = {"pieces": topics(50)[0], "characters": ["我爱北京", "北京 ab"] * 3}
    initial = {"pieces": cased, "characters": {"kind": "characters"}}
    for name, how in initial.items():
        save_text_encoder(tmp_path / name, *make_text_encoder(None, settings, TokenizerConfig(**how), texts[name]))
        _, plain = make_text_encoder(tmp_path / name, settings, TokenizerConfig(), [])
        _, again = make_text_encoder(tmp_path / name, settings, TokenizerConfig(**how), [])
        assert plain.tokens(range(plain.size)) == again.tokens(range(again.size))
    for name, how, message in (
        (
            "pieces",
            {"kind": "characters"},
            r"\(wordpiece, .*letters as they are\), and tokenizer\.kind characters would",
        ),
        ("pieces", {"vocab_size": 20, "min_count": 1}, r"vocab_size 20, tokenizer\.min_count 1 .*: 8000, 2\."),
        ("characters", {"kind": "wordpiece"}, r"\(characters, .*small letters\)"),
        ("characters", {"lowercase": False}, r"tokenizer\.lowercase False would change nothing .* its default: True"),
        ("characters", {"folder": tmp_path / "pieces"}, r"tokenizer\.folder"),
    ):
        with pytest.raises(InputError, match=message):
            make_text_encoder(tmp_path / name, settings, TokenizerConfig(**how), [])


@pytest.mark.parametrize("change", [{"vocab_size": 9}, {"attention": "causal"}, {"time_gaps": True}])
def test_what_follows_from_the_data_is_not_set(settings, change):
    with pytest.raises(InputError, match=f"encoder.{next(iter(change))} follows from the data"):
        check_encoder(replace(settings, **change), pairs=True)


def test_shared_runs_need_two_texts(settings):
    shared = replace(settings, exact_match=2)
    check_encoder(shared, pairs=True)
    with pytest.raises(InputError, match="this reads one"):
        check_encoder(shared, pairs=False)


@pytest.mark.parametrize("addition", [{"exact_match": 2}, {"ngrams": 3, "ngram_rows": 50}])
def test_what_starts_at_zero_can_be_added_to_a_trained_encoder(folder, settings, tmp_path, addition):
    plain, tokenizer = load_text_encoder(folder, settings)
    richer, _ = load_text_encoder(folder, replace(settings, **addition))
    tokens, segments = torch.tensor([[2, 5, 3, 5, 3]]), torch.tensor([[0, 0, 0, 1, 1]])
    assert richer.config == replace(plain.config, **addition)
    assert torch.equal(richer(tokens, segments=segments).tokens, plain(tokens, segments=segments).tokens)
    table = next(value for name, value in richer.named_parameters() if is_zero_initialised(name))
    torch.nn.init.ones_(table)
    save_text_encoder(tmp_path / "richer", richer, tokenizer)
    loaded, _ = load_text_encoder(tmp_path / "richer", settings)  # which do not ask for it
    assert loaded.config == richer.config
    with pytest.raises(InputError, match="cannot be changed"):
        load_text_encoder(tmp_path / "richer", replace(settings, **{next(iter(addition)): 4}))


def test_afresh_the_table_is_as_large_as_the_vocabulary(settings, topics):
    encoder, tokenizer = make_text_encoder(None, settings, TokenizerConfig(), topics(50)[0])
    assert encoder.config.vocab_size == tokenizer.size
    assert encoder.config.dim == 16


def test_some_layers_are_those_of_the_other_encoder(settings):
    deep, _ = make_text_encoder(
        None, replace(settings, n_layers=4, fusion="scalar_mix", neck="cnn"), TokenizerConfig(), ["a b"] * 3
    )
    deep.eval()
    some = some_layers(deep, [0, 1, 3]).eval()
    assert some.config == replace(deep.config, n_layers=3)
    tokens = torch.tensor([[2, 5, 6, 3]])
    for ours, theirs in zip(some(tokens).states[:3], deep(tokens).states, strict=False):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.testing.assert_close(some.layers[2].state_dict(), deep.layers[3].state_dict())
    torch.testing.assert_close(some.neck.state_dict(), deep.neck.state_dict())


@pytest.mark.parametrize(("layers", "sharing"), [((0, 4), False), ((-1,), False), ((0, 1), True)])
def test_layers_that_are_not_there_are_refused(settings, layers, sharing):
    deep, _ = make_text_encoder(
        None, replace(settings, n_layers=4, share_layers=sharing), TokenizerConfig(), ["a b"] * 3
    )
    with pytest.raises(InputError, match=r"init_layers is .* the encoder has layers"):
        some_layers(deep, layers)
