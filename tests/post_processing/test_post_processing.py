"""Post-processing of vectors: identity covariance, invertibility, log-determinants, files; every part of the table."""

import numpy as np
import pytest
import torch

from recsys_bert.errors import InputError
from recsys_bert.post_processing import POST_PROCESSING
from recsys_bert.post_processing.fitted import PostProcessing, fit_post_processing

DIM = 6


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(0)
    mixed = random.normal(size=(400, DIM)) @ random.normal(size=(DIM, DIM)) + random.normal(size=DIM) * 5
    return np.where(mixed > 0, mixed, mixed / 3).astype(np.float32)  # not Gaussian


@pytest.mark.parametrize("name", POST_PROCESSING)
def test_every_part_is_the_same_from_a_file_and_row_by_row(name, vectors, tmp_path):
    fitted = fit_post_processing(name, vectors, {})
    mapped = fitted(vectors)
    assert mapped.shape == (400, fitted.out_dim)
    assert not any(parameter.requires_grad for parameter in fitted.part.parameters())
    fitted.save(tmp_path)
    loaded = PostProcessing.load(tmp_path)
    np.testing.assert_array_equal(loaded(vectors), mapped)
    np.testing.assert_allclose(np.concatenate([fitted(vectors[i : i + 1]) for i in range(5)]), mapped[:5], atol=1e-4)
    np.testing.assert_allclose(mapped.mean(axis=0), 0, atol=0.5)
    if hasattr(fitted.part, "linear"):
        weight, bias = fitted.part.linear()
        np.testing.assert_allclose(vectors @ weight.numpy().T + bias.numpy(), mapped, atol=1e-4)


def test_nothing_is_loaded_where_nothing_lies(tmp_path):
    assert PostProcessing.load(tmp_path) is None


@pytest.mark.parametrize("width", [None, 3])
def test_whitening_gives_identity_covariance(vectors, width):
    whitened = fit_post_processing("whitening", vectors, {"width": width})(vectors)
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(width or DIM), atol=1e-4)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-4)


def test_without_power_it_is_pca(vectors):
    from sklearn.decomposition import PCA

    ours = fit_post_processing("whitening", vectors, {"width": 2, "power": 0.0})(vectors)
    np.testing.assert_allclose(np.abs(ours), np.abs(PCA(2).fit_transform(vectors)), atol=1e-3)


def test_centring_removes_the_mean_and_the_top_direction(vectors):
    assert fit_post_processing("centring", vectors, {})(vectors) == pytest.approx(vectors - vectors.mean(0), abs=1e-4)
    removed = fit_post_processing("centring", vectors, {"top": 1})(vectors)
    before, after = (np.linalg.eigvalsh(np.cov(x.T)) for x in (vectors, removed))
    np.testing.assert_allclose(after[1:], before[:-1], rtol=1e-3)
    assert abs(after[0]) < 1e-4


def test_the_flow_is_invertible_and_its_log_determinant_is_autograds(vectors):
    flow = fit_post_processing("flow", vectors, {"epochs": 3, "steps": 2}).part
    some = torch.from_numpy(vectors[:5])
    z, log_det = flow.with_log_det(some)
    torch.testing.assert_close(flow.inverse(z), some, atol=1e-4, rtol=1e-4)
    for row, expected in zip(some, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0], row)
        assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(expected.item(), abs=1e-4)


def test_training_raises_the_flows_likelihood(vectors):
    short, long = (fit_post_processing("flow", vectors, {"epochs": epochs}).part for epochs in (1, 8))
    data = torch.from_numpy(vectors)
    assert long.log_likelihood(data).mean() > short.log_likelihood(data).mean() + 0.1


@pytest.mark.parametrize(
    ("name", "options", "rows", "message"),
    [
        ("whitening", {}, 4, "4 vectors span 3 dimensions, fewer than the 6 to keep. Give more vectors, or set width"),
        ("whitening", {"width": 7}, 9, "width is 7; of vectors of width 6, 1 to 6"),
        ("whitening", {"power": 2.0}, 9, "power is 2.0"),
        ("centring", {"top": 6}, 9, "top is 6"),
        ("flow", {"steps": 0}, 9, "steps is 0"),
        ("flow", {"lr": 0.0}, 9, "lr 0.0"),
        ("flow", {}, 1, "1 vectors are all the same"),
        ("whitenin", {}, 9, "did you mean 'whitening'"),
        ("flow", {"step": 3}, 9, "step"),
        ("centring", {}, 0, "at least one"),
    ],
)
def test_what_does_not_fit_is_refused(vectors, name, options, rows, message):
    with pytest.raises(InputError, match=message):
        fit_post_processing(name, vectors[:rows], options)


def test_vectors_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="some of the 3 vectors are not finite"):
        fit_post_processing("centring", np.full((3, 2), np.nan, np.float32), {})
