"""Encodings that fit bytes which are not UTF-8: by how many of the characters outside ASCII are common ones."""

import codecs
import re

from recsys_bert.errors import InputError

_CHINESE_MARKS = "，。、；：？！“”‘’（）《》【】—…·「」『』　％￥"
_KANA = r"\u3040-\u30ff"
_LETTERS = "À-ÖØ-öø-ÿŠšŽžŒœŸ"
_WESTERN_MARKS = "«»“”„‘’–—…€£§°·¿¡"
_MANY = 0.9  # share of characters that must be common
_CANDIDATES = (  # encoding, what is common in it; of equal ones the first
    ("euc_kr", "hangul"),  # before gb18030, in which Korean is common characters as well, but not the other way round
    ("shift_jis", "kana"),
    ("euc_jp", "kana"),
    ("gb18030", "gb2312"),
    ("big5", "big5"),
    ("cp1251", "cyrillic"),
    ("koi8_r", "cyrillic"),
    ("latin-1", "latin"),
    ("cp1252", "latin"),
    ("cp1250", "latin2"),
)
_WIDE = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def check_encoding(name: str, setting: str) -> None:
    """Refuse an encoding that Python does not know.

    Args:
        name: The encoding.
        setting: Its setting, for the message.

    Raises:
        InputError: There is none of this name.
    """
    try:
        known = codecs.lookup(name)._is_text_encoding
    except LookupError:
        known = False
    if not known:
        raise InputError(f"{setting} is {name!r}, which is no encoding; known are utf-8, gb18030, big5, latin-1, ….")


def fitting_encodings(content: bytes) -> list[str]:
    """Encodings in which most characters outside ASCII are common, the best first, three at most.

    Args:
        content: Whole lines.
    """
    if (wide := _WIDE.get(content[:2])) is not None:
        return [wide]
    scores = {}
    for encoding, kind in _CANDIDATES:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if (score := _share(text, kind)) >= _MANY:
            scores[encoding] = score
    if "latin-1" in scores and "cp1252" in scores:  # equal unless bytes 0x80 to 0x9f occur
        del scores["latin-1" if any(0x80 <= byte < 0xA0 for byte in content) else "cp1252"]
    return sorted(scores, key=lambda name: -scores[name])[:3]


def _share(text: str, kind: str) -> float:
    """Share of the characters outside ASCII that are common."""
    others = [letter for letter in text if ord(letter) > 0x7F]
    if not others:
        return 0.0
    if kind in ("latin", "latin2"):
        return _share_of_letters(text, len(others), kind)
    if kind == "cyrillic":
        words = re.findall(r"\b[А-ЯЁ]?[а-яё]*\b", text)  # none has plain letters beside, or capitals within
        return (sum(map(len, words)) + sum(letter in _WESTERN_MARKS + "№" for letter in others)) / len(others)
    if kind == "kana" and len(re.findall(f"[{_KANA}]", text)) < 0.3 * len(others):
        return 0.0
    blanks = len(re.findall("[\uac00-\ud7a3] ", text))  # between words
    if kind == "hangul" and (blanks < len(others) / 12 or len(others) < 8):
        return 0.0
    return sum(map(_COMMON[kind], others)) / len(others)


def _share_of_letters(text: str, n_others: int, kind: str) -> float:
    """Letters with marks stand alone among plain ones, as in ``für``: never three of them in a row."""
    letters = _LETTERS if kind == "latin" else "\u00c0-\u017f"
    runs = re.findall(rf"[{letters}]+", text)
    common = sum(len(run) for run in runs if len(run) <= 2) + len(re.findall(f"[{_WESTERN_MARKS}\u00a0]", text))
    return common / n_others


def _is_common_gb2312(letter: str) -> bool:
    """Characters of GB 2312's first level, kana and marks."""
    if letter in _CHINESE_MARKS:
        return True
    code = letter.encode("gb18030")
    return len(code) == 2 and (0xB0 <= code[0] <= 0xD7 or code[0] == 0xA3) and code[1] >= 0xA1


def _is_common_big5(letter: str) -> bool:
    """Characters of Big5's first level, and marks."""
    return letter in _CHINESE_MARKS or b"\xa4\x40" <= letter.encode("big5") <= b"\xc6\x7e"


def _is_kana(letter: str) -> bool:
    return bool(re.match(rf"[{_KANA}\u4e00-\u9fff]", letter)) or letter in _CHINESE_MARKS


def _is_hangul(letter: str) -> bool:
    return "\uac00" <= letter <= "\ud7a3"


_COMMON = {
    "gb2312": _is_common_gb2312,
    "big5": _is_common_big5,
    "kana": _is_kana,
    "hangul": _is_hangul,
}
