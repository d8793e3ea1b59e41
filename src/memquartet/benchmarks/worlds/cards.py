"""Cards: what people talk about in the talk worlds, read from the text files of a split.

A file begins with lists (names, reactions, small talk) and goes on with a card a topic:

    ## pottery workshop (event)
    said: I went to a pottery workshop {when}. >> {p} went to a pottery workshop {on}. | ...
    ask: When did {p} go to the pottery workshop?
    + made
    v: a bowl | a vase
    said: I made {v} there. >> {p} made {v} at the pottery workshop.
    ...

Alternatives stand between bars. What is said has its fact behind it: as near to the letter as the third person and
standing alone allow, since that can be learned for sentences that no card has. `{p}` is the person, `{v}` the value,
`{w}` a slip of the tongue, `{x}` a variety, `{when}` and `{When}` a time as it is said, `{on}` the same for ever. A line
after `+` belongs to a part: something more about the same event, with a fact of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from memquartet.benchmarks.worlds.vocabulary import WorldSplit, files_of

PAIR = " >> "


class TopicKind(StrEnum):
    """What can happen to what a card is about."""

    TRAIT = "trait"
    """Has one value, which may change or be gone."""
    FIXED = "fixed"
    """Has one value for good."""
    ITEM = "item"
    """Has several values, each of which may come and go."""
    PLAN = "plan"
    """Will be some time; may be moved or called off."""
    EVENT = "event"
    """Was some time."""
    CIRCUMSTANCE = "circumstance"
    """Something more about an event or a plan; a part of its card."""
    TIE = "tie"
    """Another person by name."""
    TOLD = "told"
    """Something that an assistant recommended."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What is said and its fact; of a reply also the other speaker's question."""

    said: str
    fact: str
    question: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One card; what a kind does not use is empty.

    `changed` are said of a new value or time, `ended` when there is none any more, `prompted` in reply to a
    question of the other speaker, `other` of somebody who is not there.
    Of an item `asks` and `counts` ask for all values. `label` names an event or plan in a question, a tie's person
    in a longer one.
    """

    name: str
    kind: TopicKind
    x: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    said: tuple[Saying, ...] = ()
    changed: tuple[Saying, ...] = ()
    ended: tuple[Saying, ...] = ()
    prompted: tuple[Saying, ...] = ()
    other: tuple[Saying, ...] = ()
    asks: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    label: str = ""
    parts: tuple[Topic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """Everything that a talk world is made of.

    `remarks` are small talk: what is said, its fact and its gist. `advice` are a user's request and an assistant's
    reply.
    """

    people: tuple[str, ...]
    openers: tuple[str, ...]
    reactions: tuple[str, ...]
    feelings: tuple[str, ...]
    turns: tuple[str, ...]
    repeated: tuple[str, ...]
    aside: tuple[str, ...]
    remarks: tuple[tuple[str, str, str], ...]
    advice: tuple[tuple[str, str], ...]
    acknowledged: tuple[str, ...]
    order: tuple[str, ...]
    ago: tuple[str, ...]
    recent: tuple[str, ...]
    topics: tuple[Topic, ...]


@cache
def cards(split: WorldSplit) -> Cards:
    """The shipped cards of a split, out of all its files."""
    own = (file for file in files_of(split) if file.name.startswith("talk"))
    return read_cards(*(file.read_text(encoding="utf-8") for file in own))


def read_cards(*texts: str) -> Cards:
    """Cards in the form that the module describes; a line in no such form is a ValueError or KeyError.

    Args:
        texts: files, whose lists and cards are joined. The first has every list, the others add to some.
    """
    heads, blocks = [], []
    for text in texts:
        head, *cards_of_it = f"\n{text}".split("\n## ")
        heads.append(head)
        blocks += cards_of_it
    lists = _fields("\n".join(heads))
    remarks = [tuple(one.split(PAIR)) for one in lists["remarks"]]
    return Cards(
        **{name: lists[name] for name in _PLAIN},
        remarks=tuple((said.strip(), fact.strip(), gist.strip()) for said, fact, gist in remarks),
        advice=_pairs(lists["advice"]),
        topics=tuple(_topic(block) for block in blocks),
    )


_PLAIN = (
    "people", "openers", "reactions", "feelings", "turns", "repeated", "aside", "acknowledged", "order", "ago",
    "recent",
)  # fmt: skip


def _topic(block: str) -> Topic:
    title, _, body = block.partition("\n")
    name, _, kind = title.removesuffix(")").partition(" (")
    main, *parts = body.split("\n+ ")
    dated = kind in (TopicKind.EVENT, TopicKind.PLAN)
    part_kind = TopicKind.CIRCUMSTANCE if dated else TopicKind.FIXED
    return _card(name, TopicKind(kind), main, [_part(name, part_kind, part) for part in parts])


def _part(name: str, kind: TopicKind, block: str) -> Topic:
    own, _, body = block.partition("\n")
    return _card(f"{name}, {own.strip()}", kind, body, ())


def _card(name: str, kind: TopicKind, body: str, parts: Sequence[Topic]) -> Topic:
    fields = _fields(body)
    return Topic(
        name=name,
        kind=kind,
        x=fields.get("x", ()),
        values=fields.get("v", ()),
        said=_sayings(fields["said"]),
        changed=_sayings(fields.get("new", ())),
        ended=_sayings(fields.get("end", ())),
        prompted=tuple(
            Saying(reply, fact, question)
            for question, reply, fact in (text.split(PAIR) for text in fields.get("talk", ()))
        ),
        # Of somebody else one speaks in the third person: what is said is the fact.
        other=tuple(Saying(text, text) for text in fields.get("other", ())),
        asks=fields["ask"],
        counts=fields.get("count", ()),
        label=" ".join(fields.get("label", ())),
        parts=tuple(parts),
    )


def _fields(body: str) -> Mapping[str, tuple[str, ...]]:
    """`key: one | two` lines; a key that stands twice goes on."""
    found: dict[str, tuple[str, ...]] = {}
    for line in body.splitlines():
        if line.strip() and not line.startswith("#"):
            key, _, rest = line.partition(": ")
            found[key] = (*found.get(key, ()), *(one.strip() for one in rest.split(" | ")))
    return found


def _sayings(texts: Sequence[str]) -> tuple[Saying, ...]:
    return tuple(Saying(said, fact) for said, fact in _pairs(texts))


def _pairs(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [text.split(PAIR) for text in texts]
    return tuple((first.strip(), second.strip()) for first, second in pairs)
