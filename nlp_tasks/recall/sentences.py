"""Sentence boundaries."""

import re

_SENTENCE = re.compile(
    r"""[^。！？!?；;…\n]*?            # as little as possible up to
        (?:\.(?=["'”’)\]]*(?:\s|$)) # a full stop before a blank, so that 3.14 stays whole
         |[。！？!?；;…]+             # or marks that end a sentence wherever they stand
         |\n|$)                      # or the end of a line
        ["'”’」』）)\]]*             # with the quotes and brackets that close after it
    """,
    re.VERBOSE,
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Cut a text into sentences, Chinese or of languages that end them with ``. ! ?``.

    Returns:
        First character and one past the last of each, in order, without blanks around; sentences of blanks are left
        out.
    """
    spans = []
    for match in _SENTENCE.finditer(text):
        if stripped := match.group().strip():
            start = match.start() + match.group().index(stripped[0])
            spans.append((start, start + len(stripped)))
    return spans
