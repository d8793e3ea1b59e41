"""Talk as text: remarks of the form "Ann: Hello!", each with the lines that belong to it."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A name of up to four words; the number of a list item ("12. Note: ...") is none.
_SPEAKER = re.compile(r"(?!\d+[.)] )[\w+@#][\w.'’&()@-]*(?: [\w.'’&()@-]+){0,3}: ")
_HEAD = re.compile(r"\[[^\]\n]*\]\n")
"""The line with a session's date."""


def speaker_of(remark: str) -> str:
    """The name that a remark begins with, as it stands there: "Ann: "; "" where it begins with none."""
    found = _SPEAKER.match(remark)
    return found[0] if found else ""


def remarks(text: str) -> Iterator[str]:
    """The remarks of a talk one after another, else the lines of the text; joined they are the text.

    A talk is what begins with a remark, behind the line with its date if there is one. A line of it without a
    name belongs to the remark above.
    """
    lines = text.splitlines(keepends=True)
    head = _HEAD.match(text)
    if not speaker_of(text[head.end() :] if head else text):
        yield from lines
        return
    held: list[str] = []
    for number, line in enumerate(lines):
        if held and (speaker_of(line) or (head and number == 1)):
            yield "".join(held)
            held = []
        held.append(line)
    yield "".join(held)
