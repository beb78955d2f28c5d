"""Every setting of training a generator, changed once: another model, other metrics or texts, or a refusal."""

import pytest
from contracts.settings_contract import Runs, check_effects
from contracts.settings_tests import (  # noqa: F401, what every contract is tested by
    contract,
    pytest_generate_tests,
    test_a_changed_setting_changes_the_run_or_is_refused,
    test_exempt_settings_exist,
    test_the_same_settings_give_the_same_run,
)
from contracts.text_runs import (
    INIT,
    OF_START,
    SMALL,
    STARTS,
    folder_of_runs,
    outcome,
    text_contract,
    topic_texts,
)

from nlp_tasks import Generator
from nlp_tasks.generation.config import GenerationTrainConfig

pytestmark = pytest.mark.slow
LENGTH = {"decoding.max_length": 6}
BASE = {**SMALL, **LENGTH}
SAMPLE = {**BASE, "decoding.search": "sample", "decoding.temperature": 2.0}
ENCODER = tuple(
    f"encoder.{name}"
    for name in ("attention", "layer", "position", "n_segments", "neck", "residual", "ngram", "exact_match", "fusion")
)
"""What generation may refuse; that the others reach the training loop, other tasks' contracts show."""
CONTRACT = text_contract(
    GenerationTrainConfig,
    bases={
        **{name: {**settings, **LENGTH} for name, settings in STARTS.items()},
        "untaught": {**STARTS["untaught"], **LENGTH, "tokenizer.folder": "start"},
        "init": {**INIT, **LENGTH},
        "pairs": BASE,
        "sample": SAMPLE,
        "texts": {**BASE, "targets": False},
    },
    only={
        "no_init": ("init",),
        "no_folder": ("tokenizer.folder",),
        "pairs": ("decoding.", "length.", "tokenizer.", "train.monitor", "train.auxiliary", *ENCODER),
        "sample": ("decoding.",),
        "texts": ("length.", "train.monitor", "train.auxiliary"),
        "init": ("encoder.n_layers", "tokenizer.", "init"),
    },
    values={
        "teacher": ["start"],
        "decoding.top_p": [0.2],
        "decoding.repetition_penalty": [4.0],
        "decoding.no_repeat_ngram": [1],
        "decoding.min_length": [5],
        "decoding.length_penalty": [-5.0],
        "decoding.n_best": [2],
        "decoding.beams": [1],
        "decoding.top_k": [2],
        "decoding.temperature": [0.2],
        "train.monitor": ["accuracy", "chrf"],
    },
    detected={
        "pairs": {
            "tokenizer.kind": ("wordpiece",),
            "train.monitor": ("log_likelihood",),
            "decoding.repetition_penalty": (4.0,),  # its texts are of two words
            "decoding.no_repeat_ngram": (1,),
        },
        "init": {**OF_START, "tokenizer.lowercase": (True,)},
    },
)
CHANGES = CONTRACT.changes()


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Run ``start`` in the working directory."""
    with folder_of_runs(tmp_path_factory, {"encoder.ngrams": 1}):
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    texts, topics = topic_texts(40)
    columns = (texts, [f"{topic[:2]} {text[:2]}" for topic, text in zip(topics, texts, strict=True)])

    def train(settings):
        out = tmp_path_factory.mktemp("run") / "run"
        data = columns if settings.pop("targets", True) else columns[:1]
        generator = Generator.train(*data, validation=0.25, out=out, **settings)
        texts = generator.candidates(columns[0][:6])
        return outcome(out, "generator", GenerationTrainConfig, generator.results, repr(texts))

    return Runs(CONTRACT, train)


def test_every_setting_has_an_effect_in_some_run(runs):
    windows = {f"length.{name}" for name in ("overlap", "max_windows", "pool")}
    not_cached = {f"encoder.{name}" for name in ("neck", "neck_options", "residual", "ngrams", "ngram_rows")}
    check_effects(
        runs,
        CHANGES,
        {"encoder.attention", "encoder.exact_match", "encoder.n_layers", "teacher"} | windows | not_cached,
    )
