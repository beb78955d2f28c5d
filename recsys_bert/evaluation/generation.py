"""Metrics of generated texts against references: BLEU, chrF, ROUGE, exact match, and diversity.

Chinese characters are words of their own, as in sacrebleu's ``zh``; of texts without any, BLEU is that of ``13a``.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

CHINESE = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"

Words = Sequence[str]

_SPACED = (  # marks become words; full stops and commas unless a digit is on either side, dashes behind digits
    (re.compile(rf"([{CHINESE}\u3000-\u303f\uff00-\uffef])"), r" \1 "),
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ROUGE_WORD = re.compile(rf"[{CHINESE}]|(?:(?![{CHINESE}_])\w)+")


def generation_metrics(generated: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Metrics of texts, each against its reference.

    Returns:
        ``bleu`` and ``chrf`` of the corpus, 0 to 100; the means ``rouge_1``, ``rouge_2``, ``rouge_l`` (F1), and
        ``exact``, 0 to 1; and ``distinct_1``, ``distinct_2`` of the generated texts.
    """
    pairs = list(zip(generated, references, strict=True))
    words = [(bleu_words(text), bleu_words(reference)) for text, reference in pairs]
    rouge_words = [tuple(_ROUGE_WORD.findall(text.lower()) for text in pair) for pair in pairs]
    rouge: dict[str, Callable[[Words, Words], float]] = {
        "rouge_1": lambda text, reference: overlap_f1(text, reference, 1),
        "rouge_2": lambda text, reference: overlap_f1(text, reference, 2),
        "rouge_l": subsequence_f1,
    }
    return {
        "bleu": bleu(words),
        "chrf": chrf(pairs),
        **{name: _mean([f1(*pair) for pair in rouge_words]) for name, f1 in rouge.items()},
        "exact": _mean([text.strip() == reference.strip() for text, reference in pairs]),
        **{f"distinct_{n}": distinct([text for text, _ in words], n) for n in (1, 2)},
    }


def bleu_words(text: str) -> list[str]:
    """Words, marks and single Chinese characters, as BLEU counts them (mteval's 13a)."""
    text = f" {text} ".replace("\n", " ")
    for pattern, replacement in _SPACED:
        text = pattern.sub(replacement, text)
    return text.split()


def bleu(pairs: Sequence[tuple[Words, Words]], longest: int = 4) -> float:
    """BLEU of a corpus (https://aclanthology.org/P02-1040), 0 to 100.

    An n-gram length without a match counts 1/2, 1/4 … matches (https://aclanthology.org/W14-3346, method 3).

    Args:
        pairs: Words of each text and of its reference.
        longest: Longest n-grams.
    """
    matches, totals = [0] * longest, [0] * longest
    for text, reference in pairs:
        for n in range(1, longest + 1):
            counts = ngrams(text, n)
            matches[n - 1] += (counts & ngrams(reference, n)).total()
            totals[n - 1] += counts.total()
    length, expected = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    if not matches[0] or not all(totals):
        return 0.0
    logs, smallest = 0.0, 1.0
    for match, total in zip(matches, totals, strict=True):
        smallest /= 1 if match else 2
        logs += math.log((match or smallest) / total) / longest
    return 100 * math.exp(min(0.0, 1 - expected / length) + logs)


def chrf(pairs: Sequence[tuple[str, str]], longest: int = 6, beta: float = 2.0) -> float:
    """ChrF of a corpus (https://aclanthology.org/W15-3049), 0 to 100: F of character n-grams without blanks.

    Args:
        pairs: Each text and its reference.
        longest: Longest n-grams.
        beta: Weight of recall against precision.
    """
    precision: list[float] = []
    recall: list[float] = []
    spelt = [tuple("".join(text.split()) for text in pair) for pair in pairs]
    for n in range(1, longest + 1):
        counts = [(ngrams(text, n), ngrams(reference, n)) for text, reference in spelt]
        match = sum((text & reference).total() for text, reference in counts)
        of_texts, of_references = (sum(pair[side].total() for pair in counts) for side in (0, 1))
        if of_texts and of_references:
            precision.append(match / of_texts)
            recall.append(match / of_references)
    p, r = _mean(precision), _mean(recall)
    return 100 * (1 + beta**2) * p * r / (beta**2 * p + r) if p + r else 0.0


def overlap_f1(text: Words, reference: Words, n: int) -> float:
    """ROUGE-n (https://aclanthology.org/W04-1013): F1 of the n-grams that both have."""
    counts, expected = ngrams(text, n), ngrams(reference, n)
    return _f1((counts & expected).total(), counts.total(), expected.total())


def subsequence_f1(text: Words, reference: Words) -> float:
    """ROUGE-L: F1 of the longest common subsequence."""
    lengths = [0] * (len(reference) + 1)
    for word in text:
        diagonal = 0
        for n, other in enumerate(reference, 1):
            above = lengths[n]
            lengths[n] = diagonal + 1 if word == other else max(above, lengths[n - 1])
            diagonal = above
    return _f1(lengths[-1], len(text), len(reference))


def distinct(texts: Sequence[Words], n: int) -> float:
    """Distinct-n (https://aclanthology.org/N16-1014): different n-grams as a share of all; 0 without any."""
    counts: Counter[Any] = Counter()
    for text in texts:
        counts.update(ngrams(text, n))
    return len(counts) / counts.total() if counts else 0.0


def ngrams(words: Sequence[str], n: int) -> Counter[Any]:
    """Counts of the n-grams of words, or of the characters of a text."""
    return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))


def _f1(match: int, n_text: int, n_reference: int) -> float:
    return 2 * match / (n_text + n_reference) if match else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
