"""Exact match and F1 against cases worked by hand from the two evaluation scripts' definitions."""

from collections import Counter

import numpy as np
import pytest

from nlp_tasks.qa.metrics import (
    answer_metrics,
    best_answer_threshold,
    chinese_em,
    chinese_f1,
    chinese_segments,
    em_and_f1,
    english_em,
    english_f1,
    nearest_sentence,
)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("光荣和ω-force", ["光", "荣", "和", "ωforce"]),  # the hyphen goes, and does not end the word
        ("2012年5月，Windows 8", ["2012", "年", "5", "月", "windows", "8"]),
        (" 《红楼梦》。 ", ["红", "楼", "梦"]),
        ("3.14 and 1,000!", ["3.14", "and", "1,000", "!"]),  # ASCII marks that the script does not list stay
        ("好…", ["好", "…"]),  # it lists two of these, which no single character is
        ("", []),
    ],
)
def test_chinese_segments(text, segments):
    assert chinese_segments(text) == segments


@pytest.mark.parametrize(
    ("answer", "reference", "em", "f1"),
    [
        ("1963年", "1963年", 1, 1),
        ("在1963年", "1963年", 0, 0.8),  # 2 of 3 segments, and 2 of 2: 2 · 2 / 5
        ("甲乙丙丁", "甲丙丁", 0, 4 / 7),  # the longest run is 丙丁; a subsequence would be 3 long
        ("《红楼梦》。", "红楼梦", 1, 1),
        ("红楼 梦", "红楼梦", 0, 1),  # a blank within counts for EM alone
        ("Windows", "windows", 1, 1),
        ("好…", "好", 0, 2 / 3),
        ("，", "，", 1, 0),  # nothing is left to overlap
        ("乙", "甲", 0, 0),
    ],
)
def test_chinese(answer, reference, em, f1):
    assert chinese_em(answer, reference) == em
    assert chinese_f1(answer, reference) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "reference", "em", "f1"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1, 1),
        ("the big cat sat", "a cat sat down", 0, 2 / 3),  # big cat sat, cat sat down: 2 · 2 / 6
        ("new new york", "new york city", 0, 2 / 3),  # the second "new" finds none
        ("tower Eiffel", "Eiffel tower", 0, 1),
        ("U.S.", "US", 1, 1),
        ("the", "a", 1, 1),  # both are nothing
        ("the", "cat", 0, 0),
    ],
)
def test_english(answer, reference, em, f1):
    assert english_em(answer, reference) == em
    assert english_f1(answer, reference) == pytest.approx(f1)


def test_the_longest_run_against_the_table_of_the_definition():
    random = np.random.default_rng(0)
    for _ in range(200):
        one, other = ("".join(random.choice(list("甲乙丙"), random.integers(1, 9))) for _ in range(2))
        table = np.zeros((len(one) + 1, len(other) + 1), int)
        for i, a in enumerate(one):
            for j, b in enumerate(other):
                table[i + 1, j + 1] = table[i, j] + 1 if a == b else 0
        assert chinese_f1(one, other) == pytest.approx(2 * table.max() / (len(one) + len(other)))


def test_the_best_reference_counts_and_silence_where_there_is_none():
    answers = ["1963年", None, "甲", None]
    references = [["在1963年", "1963年"], [], [], ["乙"]]
    em, f1 = em_and_f1(answers, references, "chinese")
    assert em.tolist() == [1, 1, 0, 0]
    assert f1.tolist() == [1, 1, 0, 0]
    values = answer_metrics(answers, references, "chinese")
    assert values == {"em": 0.5, "f1": 0.5, "examples": 4, "f1_with_answer": 0.5, "right_without_answer": 0.5}
    assert answer_metrics(["甲"], [["甲"]], "chinese") == {"em": 1.0, "f1": 1.0, "examples": 1}


def test_the_threshold_is_the_best_of_all_that_there_are():
    random = np.random.default_rng(1)
    for _ in range(50):
        n = int(random.integers(2, 12))
        scores, none = random.choice([0.1, 0.2, 0.3, 0.5, 0.9], n), random.random(n) < 0.4
        f1 = np.where(none, 0.0, random.random(n))

        def mean(threshold, scores=scores, f1=f1, none=none):
            return np.where(scores >= threshold, f1, none).mean()

        best = max(mean(threshold) for threshold in [0.0, *(scores + 1e-9)])
        assert mean(best_answer_threshold(scores, f1, none)) == pytest.approx(best)


def test_the_nearest_sentence():
    passage = "他生于1963年。他是广东人，后来任主教。他的母亲也是广东人，后来任什么都没有做成。"
    assert nearest_sentence("什么也没有？", passage, "chinese") == "他的母亲也是广东人，后来任什么都没有做成。"
    assert (
        nearest_sentence("谁是广东人", passage, "chinese") == "他是广东人，后来任主教。"
    )  # as many shared, but shorter
    assert nearest_sentence("Who was the cat?", "A dog. A cat sat. Who?", "english") == "Who?"
    assert Counter(nearest_sentence("甲", "无", "chinese")) == Counter("无")
