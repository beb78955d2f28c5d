"""Limits of one request."""

from collections.abc import Iterable
from dataclasses import dataclass

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Most of everything that one request may ask for."""

    body_kib: int = 1024
    """KiB of a request's body."""

    texts: int = 64
    """Texts, pairs of texts, documents, questions, events or items of one request."""

    characters: int = 20_000
    """Characters of one text."""

    k: int = 1000
    """Items of a list, and candidates to rank."""

    lists: int = 64
    """Lists of one request."""

    history: int = 5000
    """Items of a typed history, of an allow or deny list, or pairs to score."""

    def __post_init__(self) -> None:
        for name in ("body_kib", "texts", "characters", "k", "lists", "history"):
            if getattr(self, name) < 1:
                raise InputError(f"limits.{name} is {getattr(self, name)}; it must be at least 1.")

    def check(self, name: str, limit: str, number: int) -> None:
        """Refuse a number over a limit.

        Args:
            name: Key of the request.
            limit: Name of the limit.
            number: Its size.

        Raises:
            InputError: It is larger.
        """
        if number > (most := getattr(self, limit)):
            raise InputError(f"{name}: {number:,} is more than {most:,}, the most of one request here.")

    def check_texts(self, name: str, texts: Iterable[str]) -> None:
        """Refuse too many texts, or one that is too long or has nothing but spaces.

        Raises:
            InputError: So it is.
        """
        texts = list(texts)
        self.check(name, "texts", len(texts))
        for number, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"{name}[{number}] is empty.")
            if len(text) > self.characters:
                raise InputError(
                    f"{name}[{number}] has {len(text):,} characters; {self.characters:,} are the most of one text here."
                )
