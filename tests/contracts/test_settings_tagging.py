"""Every setting of training a tagger, changed once: another model, other metrics, or a refusal."""

from pathlib import Path

import numpy as np
import pytest
from contracts.settings_contract import Runs, check_effects
from contracts.settings_tests import (  # noqa: F401, what every contract is tested by
    contract,
    pytest_generate_tests,
    test_a_changed_setting_changes_the_run_or_is_refused,
    test_a_default_that_init_overrides_is_refused,
    test_exempt_settings_exist,
    test_the_same_settings_give_the_same_run,
)
from contracts.text_runs import REFUSED, SMALL, folder_of_runs, outcome, text_contract

from nlp_tasks import Tagger
from nlp_tasks.tagging.config import TaggingTrainConfig

pytestmark = pytest.mark.slow
NAMES = {"LOC": ["Bonn", "oslo", "rome"], "ORG": ["bank", "Firm"], "PER": ["ada", "Bob", "carl"]}
FILLER = ["the", "A", "of", "and", "to", "in", "bank", "Ada"]
SMALL = {**SMALL, "train.epochs": 7, "train.batch_size": 8, "train.lr": 0.02, "encoder.init_std": 0.1}
LEXICON = {**SMALL, "lexicon.name": "soft_lexicon", "lexicon.file": "lexicon.txt", "lexicon.min_count": 1}
PU = {
    **SMALL,
    "train.epochs": 16,
    "train.lr": 0.03,
    "head.name": "binary",
    "pu.dictionary": "names.tsv",
    "pu.warm_up": 8,
    "pu.priors": {"LOC": 0.2, "ORG": 0.1, "PER": 0.3},
}
CONTRACT = text_contract(
    TaggingTrainConfig,
    bases={
        "plain": SMALL,
        "mrc": {**SMALL, "head.name": "mrc", "queries": "queries.tsv", "negative_share": 1.0},
        "lexicon": LEXICON,
        "dictionary": PU,
        "step_back": {**PU, "pu.correction": "step_back"},
        "growing": {**PU, "pu.rounds": 2, "pu.min_score": 0.1, "pu.agreement": 0.2, "pu.min_repeats": 1},
    },
    only={
        "mrc": ("queries", "negative_share", "length."),
        "lexicon": ("lexicon.",),
        "dictionary": ("pu.",),
        "step_back": ("pu.tolerance", "pu.step_back", "pu.memory", "pu.risk"),
        "growing": ("pu.rounds", "pu.min_", "pu.agreement"),
    },
    values={
        "length.max_len": [9],
        "length.overlap": [0.6],
        "head.name": ["softmax", "binary", "mrc"],
        "head.options": [{"scheme": "iob2"}],
        "lexicon.options": [{"width": 4}],
        "lexicon.file": ["others.txt"],
        "lexicon.text": [["names.tsv"]],
        "lexicon.vectors": ["vectors.txt"],
        "lexicon.min_count": [40],
        "lexicon.max_length": [3],
        "queries": [None, "others.tsv"],
        "pu.dictionary": ["fewer.tsv"],
        "pu.priors": [{"LOC": 0.15, "ORG": 0.1, "PER": 0.4}],
        "pu.tolerance": [0.3],
        "pu.step_back": [0.1],
        "pu.memory": [0.0],
        "pu.min_repeats": [1000],
        "pu.agreement": [1.0],
        "pu.min_score": [0.99],
        "train.monitor": ["macro_f1", "precision", "recall", "exact"],
    },
    contexts={
        "train.averaging.first_epoch": {"train.averaging.method": "swa", "train.epochs": 14},
        "lexicon.vectors": {"lexicon.options": {"width": 8}},
    },
    detected={"plain": {"tokenizer.kind": ("wordpiece",)}},
)
CHANGES = CONTRACT.changes()


def annotated_texts(n, seed=3):
    """Texts of 6 to 21 words with three entities each; some are not annotated, so that no model is perfect."""
    random, texts, entities = np.random.default_rng(seed), [], []
    for _ in range(n):
        words = random.choice(FILLER, int(random.integers(3, 18))).tolist()
        spans = []
        for kind in random.choice(sorted(NAMES), 3, p=[0.3, 0.1, 0.6]):
            position = int(random.integers(0, len(words)))
            words.insert(position, str(random.choice(NAMES[kind])))
        start = 0
        for word in words:
            kind = next((kind for kind, names in NAMES.items() if word in names), None)
            if kind is not None and random.random() < 0.8:
                spans.append((start, start + len(word), kind))
            start += len(word) + 1
        texts.append(" ".join(words))
        entities.append(spans)
    return texts, entities


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Run ``start``, dictionaries, lexicons and queries in the working directory."""
    with folder_of_runs(tmp_path_factory):
        Path("names.tsv").write_text("ada\tPER\nBob\tPER\nBonn\tLOC\noslo\tLOC\nFirm\tORG\n")
        Path("others.tsv").write_text("LOC\twhich city\nORG\twhich bank\nPER\twhich name\n")
        Path("fewer.tsv").write_text("ada\tPER\nBonn\tLOC\nFirm\tORG\n")
        Path("queries.tsv").write_text("PER\tthe person\nLOC\tthe place\nORG\tthe bank\n")
        Path("lexicon.txt").write_text("\n".join([*FILLER, "Bonn", "oslo", "rome", "the Bonn", "Bob"]))
        Path("others.txt").write_text("\n".join(["ada", "bob", "carl"]))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    texts, entities = annotated_texts(80)
    entities[-2:] = [[], []]

    def train(settings):
        out = tmp_path_factory.mktemp("run") / "run"
        labels = None if "pu" in settings else entities
        both = ["國", "国"] if labels else []  # for tokenizer.chinese
        tagger = Tagger.train(
            [*texts[: 80 - len(both)], *both],
            labels,
            validation=annotated_texts(40, seed=4) if labels else None,
            out=out,
            **settings,
        )
        return outcome(out, "tagger", TaggingTrainConfig, tagger.results, tagger.predict(texts[:20]))

    return Runs(CONTRACT, train)


def test_every_setting_has_an_effect_in_some_run(runs):
    check_effects(runs, CHANGES, REFUSED | {"encoder.exact_match", "length.long"})  # reads pairs; refuses the data
