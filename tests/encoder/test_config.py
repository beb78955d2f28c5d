import subprocess
import sys

import pytest

from recsys_bert.encoder.config import EncoderConfig, FeatureConfig
from recsys_bert.errors import InputError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 10, "n_heads": 4}, "dim 10 is not divisible by n_heads 4"),
        ({"vocab_size": 1}, "vocab_size is 1; it must be at least 2"),
        ({"n_layers": -1}, "n_layers is -1"),
        ({"n_layers": 0}, "n_layers is 0, so that nothing would look beyond one position"),
        ({"n_layers": 0, "neck": "bilstm", "times": True}, "n_layers is 0, so that no layer would read times"),
        ({"max_len": 0}, "max_len is 0"),
        ({"n_segments": -1}, "n_segments is -1"),
        ({"embedding_dim": 0}, "embedding_dim is 0"),
        ({"dropout": 1.0}, r"dropout is 1.0; it must lie in \[0, 1\)"),
        ({"layer_drop": -0.1}, "layer_drop is -0.1"),
        ({"norm_eps": 0.0}, "norm_eps is 0.0"),
        ({"layer": "pre_nrom"}, "no layer is called 'pre_nrom'; did you mean 'pre_norm'"),
        ({"fusion": "lst"}, "no fusion is called 'lst'; did you mean 'last'"),
        ({"neck": "bilstn"}, "no neck is called 'bilstn'; did you mean 'bilstm'"),
        ({"residual": "ad"}, "no residual form is called 'ad'; did you mean 'add'"),
        ({"position": "lats"}, "no position is called 'lats'; did you mean 'last'"),
        ({"neck_options": {"kernel": 3}}, "neck_options is {'kernel': 3}, but neck is 'none': it has no effect"),
        ({"residual": "concat"}, "residual is 'concat', but neck is 'none': it has no effect. Leave it out"),
        ({"ngram_rows": 99}, "ngram_rows is 99, but ngrams is 1"),
        ({"position": "none", "position_init": "sinusoidal"}, "position_init is .*, but position is 'none'"),
        ({"n_layers": 0, "neck": "cnn", "layer": "bert"}, "layer is 'bert', but n_layers is 0"),
        ({"n_layers": 1, "share_layers": True}, "share_layers is True, but n_layers is 1"),
        ({"features": (FeatureConfig(name="a", size=3), FeatureConfig(name="a", size=4))}, "share a name"),
    ],
)
def test_a_bad_setting_is_refused_with_its_value(settings: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        EncoderConfig(**{"vocab_size": 9, **settings})


@pytest.mark.parametrize("name", ["n_heads", "residual_init_scale", "gradient_checkpointing"])
def test_settings_of_layers_are_refused_where_there_are_none(name: str):
    config = EncoderConfig(n_layers=0, neck="bilstm", dim=9)
    with pytest.raises(InputError, match=f"{name} is of the layers, but n_layers is 0"):
        config.check_named(frozenset({name}))
    config.check_named(frozenset({"dim"}))
    EncoderConfig().check_named(frozenset({name}))


def test_a_feature_needs_a_name_and_two_values():
    with pytest.raises(InputError, match="empty name"):
        FeatureConfig(name="", size=3)
    with pytest.raises(InputError, match="size is 1"):
        FeatureConfig(name="a", size=1)


def test_a_config_comes_back_from_plain_values():
    config = EncoderConfig(
        vocab_size=9, layer_options={"ffn_dim": 7}, features=(FeatureConfig(name="a", size=3, multi=True),)
    )
    assert EncoderConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocab_size": 9, "dimm": 8}, "no encoder setting is called 'dimm'; did you mean 'dim'"),
        ({"vocab_size": 9, "dim": 10, "n_heads": 4}, "^dim 10 is not divisible"),
        ({"vocab_size": 9, "dim": "wide"}, "dim: "),
        (
            {"vocab_size": 9, "features": [{"name": "a", "size": 3, "mutli": True}]},
            "setting of a feature is called 'mutli'; did you mean 'multi'",
        ),
    ],
)
def test_plain_values_that_do_not_fit_are_refused(values: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        EncoderConfig.from_dict(values)


def test_the_config_module_imports_no_torch():
    code = "import sys; import recsys_bert.encoder.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
