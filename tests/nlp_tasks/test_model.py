import numpy as np
import pytest
import torch

from nlp_tasks.config import HeadConfig, LengthConfig
from nlp_tasks.inputs import read_texts
from nlp_tasks.model import TextModel, outputs


@pytest.fixture
def model(encoder):
    def build(pool="mean", n_outputs=3, head="mean"):
        torch.manual_seed(5)
        return TextModel(encoder, HeadConfig(name=head), n_outputs, pool).eval()

    return build


def test_windows_become_one_vector(model, encoder, tokenizer):
    text = "ball goal team match bank stock price fund soup bread"
    inputs = read_texts(tokenizer, ["soup", text], None, LengthConfig(long="windows", overlap=0.0), 6)
    for pool, reduce in (("mean", np.mean), ("max", np.max)):
        values = outputs(model(pool, 0), inputs)
        rows = []
        for first, last in zip(inputs.offsets[:-1], inputs.offsets[1:], strict=True):
            tokens = torch.from_numpy(inputs.ids[first:last])[None]
            rows.append(encoder(tokens).tokens[0].mean(dim=0).detach().numpy())
        expected = [rows[0], reduce(rows[1:], axis=0)]
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_outputs_are_in_the_order_of_the_texts(model, tokenizer, topics):
    texts = [text * n for text, n in zip(topics(40)[0], np.arange(40) % 3 + 1, strict=True)]
    built = model()
    inputs = read_texts(tokenizer, texts, None, LengthConfig(), 32)
    together = outputs(built, inputs)
    alone = np.concatenate([outputs(built, read_texts(tokenizer, [text], None, LengthConfig(), 32)) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.shape == (40, 3)
    assert together.dtype == np.float32


def test_no_texts_have_no_outputs(model, tokenizer):
    assert len(outputs(model(), read_texts(tokenizer, [], None, LengthConfig(), 32))) == 0


def test_the_second_text_is_told_apart(model, tokenizer):
    built = model()
    pair = read_texts(tokenizer, ["ball"], ["goal"], LengthConfig(), 32)
    assert not np.allclose(outputs(built, pair), _without_segments(built, pair), atol=1e-4)


def _without_segments(model, inputs):
    batch = {name: torch.from_numpy(value) for name, value in inputs.gather(np.array([0])).items()}
    batch |= {"segments": torch.zeros_like(batch["segments"]), "owner": torch.zeros(1, dtype=torch.long)}
    return model(batch).detach().numpy()


def test_measuring_leaves_the_mode_as_it_was(model, tokenizer):
    built = model().train()
    outputs(built, read_texts(tokenizer, ["ball"], None, LengthConfig(), 32))
    assert built.training
