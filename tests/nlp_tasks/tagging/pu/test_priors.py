from dataclasses import replace

import numpy as np
import pytest

from nlp_tasks.tagging.pu.dictionary import Dictionary, match
from nlp_tasks.tagging.pu.priors import entry_of_words, estimate_priors
from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import split_words

LETTERS = {"A": list("abcdefghijklmnop"), "B": list("ABCDEFGHIJKLMNOP")}


def planted(n, seed):
    """Sentences whose entities are two random letters between signs of their type, and the entities."""
    random, sentences, names = np.random.default_rng(seed), [], {"A": set(), "B": set()}
    for _ in range(n):
        text = ""
        for kind, signs in (("A", "()"), ("B", "[]")):
            text += "".join(random.choice(list("0123456789"), int(random.integers(2, 8))))
            if random.random() < (0.9 if kind == "A" else 0.5):
                name = "".join(random.choice(LETTERS[kind], 2))
                names[kind].add(name)
                text += signs[0] + name + signs[1]
        sentences.append(split_words(text, "characters"))
    return sentences, names


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_priors_are_found_through_a_part_of_the_entries(seed):
    sentences, names = planted(1500, seed)
    random, words = np.random.default_rng(seed), sum(map(len, sentences))
    types = {str(name): kind for kind in "AB" for name in random.choice(sorted(names[kind]), 70, replace=False)}
    text = "".join(one.text for one in sentences)
    priors = estimate_priors(match(Dictionary(types), sentences).sentences, ["A", "B"], {}, seed=seed)
    for sign, one in zip("([", priors, strict=True):
        true = 2 * text.count(sign) / words
        assert one.source == "estimated"
        assert one.labelled < 0.5 * true
        assert 0.6 * true < one.prior < 1.7 * true


def test_what_cannot_be_estimated_says_so():
    sentences = [replace(split_words("甲乙丙丁", "characters"), levels=((Span(0, 1, "A"), Span(2, 4, "C")),))] * 3
    priors = estimate_priors(sentences, ["A", "B", "C"], {"C": 0.6, "B": 0.2})
    assert [(one.prior, one.labelled, one.source) for one in priors] == [
        (0.25, 0.25, "few entries"),
        (0.0, 0.0, "no match"),
        (0.6, 0.5, "set"),
    ]


def test_entities_that_nothing_sets_apart():
    random = np.random.default_rng(0)
    sentences = []
    for _ in range(400):
        sentence = split_words("".join(random.choice(LETTERS["A"], 12)), "characters")
        sentences.append(replace(sentence, levels=((Span(3, 5, "A"),) if random.random() < 0.1 else (),)))
    (one,) = estimate_priors(sentences, ["A"], {})
    assert (one.prior, one.source) == (one.labelled, "not separable")


def test_words_know_their_entry():
    first = replace(split_words("甲乙 甲", "characters"), levels=((Span(0, 2, "A"), Span(2, 3, "B")),))
    second = replace(split_words("丙甲乙", "characters"), levels=((Span(0, 1, "A"), Span(1, 3, "A")),))
    assert entry_of_words([first, second], "A").tolist() == [0, 0, -1, 1, 0, 0]
