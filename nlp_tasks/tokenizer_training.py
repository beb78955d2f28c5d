"""Training of a BERT tokenizer: characters, or WordPiece."""

from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from nlp_tasks.tokenizer_files import SpecialTokens

_PRIVATE = 0xF0000  # first of 131,068 code points that no text uses


def bert_backend(lowercase: bool, vocabulary: dict[str, int] | None = None) -> tokenizers.Tokenizer:
    """NFKC, BERT's normalisation and pre-tokenisation, with a vocabulary or none yet."""
    unk = SpecialTokens().unk
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary or {}, unk_token=unk, max_input_chars_per_word=100))
    bert = normalizers.BertNormalizer(lowercase=lowercase)
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), bert])  # as ``normalise``; bert drops the unseen
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    if vocabulary:
        backend.add_special_tokens([name for name in SpecialTokens().names if name in vocabulary])
        cls, sep = (SpecialTokens().cls, SpecialTokens().sep)
        backend.post_processor = processors.BertProcessing((sep, vocabulary[sep]), (cls, vocabulary[cls]))
    return backend


def word_counts(texts: Iterable[str], backend: tokenizers.Tokenizer) -> Counter[str]:
    """Count of each pre-token; a Chinese character is one."""
    counts: Counter[str] = Counter()
    for text in texts:
        normal = backend.normalizer.normalize_str(text)
        counts.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))
    return counts


def characters_of(counts: Counter[str], min_count: int, room: int) -> list[str]:
    """Characters, most frequent first; within a word they carry ``##``, so any BERT tokenizer reads them alike."""
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        characters[word[0]] += count
        for letter in word[1:]:
            characters[f"##{letter}"] += count
    return sorted((c for c, n in characters.items() if n >= min_count), key=lambda c: (-characters[c], c))[:room]


def pieces_of(counts: Counter[str], characters: list[str], min_count: int, room: int) -> list[str]:
    """Characters, and the longer pieces from merging the most frequent pair again and again.

    The library's own WordPiece trainer breaks ties differently from run to run, because of how it numbers characters
    with ``##``. Here these go in under a letter of their own each, and the BPE trainer, which has an order for ties,
    does the merging.
    """
    inside = {token[2]: chr(_PRIVATE + n) for n, token in enumerate(characters) if token.startswith("##")}
    first = {token for token in characters if len(token) == 1}
    disguised = {
        word[0] + "".join(inside[letter] for letter in word[1:]): count
        for word, count in sorted(counts.items())
        if len(word) > 1 and word[0] in first and all(letter in inside for letter in word[1:])
    }
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    alphabet = sorted(first | set(inside.values()))
    trainer = trainers.BpeTrainer(
        vocab_size=max(0, room - len(characters)) + len(alphabet),
        min_frequency=min_count,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator((" ".join([word] * count) for word, count in disguised.items()), trainer)
    letters = {disguise: letter for letter, disguise in inside.items()}
    merged = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    plain = (("##" if token[0] in letters else "") + "".join(letters.get(c, c) for c in token) for token, _ in merged)
    return list(dict.fromkeys([*characters, *plain]))[:room]
