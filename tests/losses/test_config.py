"""Settings of the item losses that cannot be, or would have no effect."""

import pytest

from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig, NegativesConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"loss\.temperature is 0\.0"),
        ({"calibration": 1.5}, r"loss\.calibration is 1\.5"),
        ({"chunk": 0}, r"loss\.chunk is 0"),
        ({"temperature": 0.1}, r"loss\.temperature has no effect: it divides cosines"),
        ({"calibration": 0.1}, r"loss\.calibration has no effect: it is for loss\.name 'gbce'"),
        ({"negatives": {"hard_negatives": 2}}, r"hard_negatives has no effect: loss\.name 'full' scores all items"),
        ({"name": "gbce", "negatives": {"log_q": False}}, r"log_q has no effect: all negatives are drawn uniformly"),
        ({"name": "sampled", "negatives": {"skip_top": 2}}, r"skip_top has no effect: .* nothing is mined"),
        ({"name": "sampled", "negatives": {"refresh_steps": 2}}, r"refresh_steps has no effect: .* nothing is mined"),
        (
            {"name": "sampled", "negatives": {"in_batch": 5, "uniform": 0, "popularity_power": 1.0}},
            r"popularity_power has no effect: loss\.negatives\.uniform is 0",
        ),
    ],
)
def test_settings_that_cannot_be_or_have_no_effect_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        LossConfig(**{**settings, "negatives": NegativesConfig(**settings.get("negatives", {}))})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"uniform": -1}, r"loss\.negatives\.uniform is -1"),
        ({"uniform": 0}, "in_batch and uniform are both 0"),
        ({"refresh_steps": 0, "hard_negatives": 1}, "refresh_steps is 0"),
    ],
)
def test_negatives_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        NegativesConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "name"),
    [({}, "temperature"), ({}, "calibration"), ({}, "negatives.uniform"), ({"name": "gbce"}, "negatives.log_q")],
)
def test_a_default_without_effect_is_refused_where_it_is_named(settings, name):
    with pytest.raises(InputError, match=f"loss.{name} has no effect"):
        LossConfig(**settings).check_named(frozenset([name]))
    LossConfig(**settings).check_named(frozenset(["chunk"]))


@pytest.mark.parametrize(
    ("loss", "names", "message"),
    [
        (LossConfig(name="gbce"), (), "loss.name 'gbce' has no effect: it is not read. Take 'sampled'"),
        (
            LossConfig(name="sampled", negatives=NegativesConfig(in_batch=3)),
            (),
            r"loss\.negatives\.in_batch has no effect",
        ),
        (LossConfig(name="sampled"), ("negatives.log_q",), r"loss\.negatives\.log_q has no effect: it is not read"),
    ],
)
def test_a_loss_of_which_only_the_similarity_is_read_refuses_the_rest(loss, names, message):
    with pytest.raises(InputError, match=message):
        loss.check_only_similarity("it is not read", frozenset(names))
    LossConfig(name="sampled", similarity="cosine").check_only_similarity("", frozenset({"negatives.uniform", "chunk"}))
