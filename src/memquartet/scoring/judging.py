"""Scores that a judge model gives, without the model: what it is asked, and what its replies mean.

A judgement is a generator: it yields what to ask, is sent the reply, and returns the score, or None where the replies
hold no verdict. So one function tells a whole protocol, however many calls it takes, and whoever has a model drives
it (`memquartet.evals.judging`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from memquartet.core.samples import Question

Verdict = TypeVar("Verdict")
TRIES = 3
"""How often a judge is asked again when its reply has no verdict."""
_YES_OR_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_LONGEST = 200_000
_BRACKETS = 50
_FENCE = re.compile(r"```(?:json|python)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCall:
    """One question to the judge. `attempt` counts from 0; a driver should vary the seed with it."""

    prompt: str
    system: str = ""
    max_tokens: int = 16
    temperature: float = 0.0
    attempt: int = 0


Judgement = Generator[JudgeCall, str, float | None]
JudgeProtocol = Callable[[Question, str], Judgement]


def ask(
    prompt: str,
    read: Callable[[str], Verdict | None],
    *,
    system: str = "",
    max_tokens: int = 16,
    temperature: float = 0.0,
) -> Generator[JudgeCall, str, Verdict | None]:
    """Ask until `read` finds a verdict in the reply, at most `TRIES` times; None if it never does."""
    for attempt in range(TRIES):
        reply = yield JudgeCall(
            prompt=prompt, system=system, max_tokens=max_tokens, temperature=temperature, attempt=attempt
        )
        verdict = read(reply)
        if verdict is not None:
            return verdict
    return None


def yes_or_no(reply: str) -> float | None:
    """1 for yes and 0 for no, by whichever word stands first; None when neither does.

    (The official evaluators look for the letters "yes" and take everything else for no.)
    """
    found = _YES_OR_NO.search(reply)
    return float(found[1].lower() == "yes") if found else None


def whole_number(reply: str, low: int, high: int) -> float | None:
    """The first whole number of a reply that lies within the bounds; None without one."""
    numbers = (int(found) for found in re.findall(r"(?<![\d.])\d{1,3}(?![\d.]*\d)", reply))
    return next((float(number) for number in numbers if low <= number <= high), None)


def json_value(reply: str) -> object:
    """The first JSON list or object that a reply holds, fences and words around it dropped; None without one.

    Only the reply's first 200,000 characters and 50 opening brackets are tried.
    """
    text = _FENCE.sub("", reply[:_LONGEST])
    decoder = json.JSONDecoder()
    for start in (at.start() for at in islice(re.finditer(r"[\[{]", text), _BRACKETS)):
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        return value
    return None


def number_in(value: object, name: str) -> float | None:
    """The number under a name of a JSON object; None without one."""
    found = value.get(name) if isinstance(value, dict) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
