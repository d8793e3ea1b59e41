"""Writing a sample line by line, while a symbolic memory notes what each line means for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random

from memquartet.benchmarks.worlds.truth import TRUTH, FactKind, Key, TrueFact, truth_as_json
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Decision


@dataclass(slots=True)
class Script:
    """Chunks and truth of the sample being written.

    `history` holds each key's facts that changed the memory, oldest first: the last one is what a perfect memory
    says, or, with an empty value, no longer says. A chunk speaks of a key once at most, so that the facts of a
    chunk can be decided together.
    """

    chunks: list[Chunk] = field(default_factory=list)
    facts: list[TrueFact] = field(default_factory=list)
    history: dict[Key, list[TrueFact]] = field(default_factory=dict)
    touched: set[Key] = field(default_factory=set)
    _lines: list[str] = field(default_factory=list)
    _said: Counter[str] = field(default_factory=Counter)

    @property
    def lines(self) -> int:
        """Lines in the open chunk."""
        return len(self._lines)

    @property
    def characters(self) -> int:
        """Length of the open chunk."""
        return sum(map(len, self._lines))

    @property
    def is_bare(self) -> bool:
        """Whether the last line names its speaker and says nothing yet."""
        return self._lines[-1].endswith(":")

    def say(self, line: str) -> str:
        """Add a line that says nothing to remember; its source id."""
        self._lines.append(line)
        return self._line_id()

    def go_on(self, text: str) -> str:
        """Add to the last line; its source id."""
        self._lines[-1] += f" {text}"
        return self._line_id()

    def _line_id(self) -> str:
        return f"c{len(self.chunks)}:{len(self._lines) - 1}"

    def remark(self, line: str, *, text: str, gist: str) -> None:
        """Add a line of small talk."""
        self.note_remark(self.say(line), text=text, gist=gist)

    def note_remark(self, line_id: str, *, text: str, gist: str) -> None:
        """Note that a line of the open chunk holds small talk."""
        fact = TrueFact(
            fact_id=self._fact_id(line_id),
            chunk=len(self.chunks),
            text=text,
            kind=FactKind.UNIMPORTANT,
            gist=gist,
        )
        self.facts.append(fact)

    def tell(
        self, line: str, *, text: str, key: Key, value: str, kind: FactKind = FactKind.SEMANTIC
    ) -> TrueFact:
        """Add a line that says what a key's value is; an empty one says that it has none any more."""
        return self.note(self.say(line), text=text, key=key, value=value, kind=kind)

    def note(
        self, line_id: str, *, text: str, key: Key, value: str, kind: FactKind = FactKind.SEMANTIC
    ) -> TrueFact:
        """Note what a line of the open chunk says of a key; a line may say several things."""
        past = self.history.get(key, [])
        known = past[-1] if past and past[-1].value else None
        fact = TrueFact(
            fact_id=self._fact_id(line_id),
            chunk=len(self.chunks),
            text=text,
            kind=kind,
            subject=key[0],
            relation=key[1],
            value=value,
            decision=right_decision(known.value if known else "", value),
            target=known.fact_id if known else None,
        )
        self.facts.append(fact)
        self.touched.add(key)
        if fact.decision is not Decision.NOOP:
            self.history.setdefault(key, []).append(fact)
        return fact

    def _fact_id(self, line_id: str) -> str:
        """The line's id for the first thing that it says, and numbered ones for the others."""
        self._said[line_id] += 1
        return line_id if self._said[line_id] == 1 else f"{line_id}#{self._said[line_id]}"

    def end_chunk(self, *, head: str = "", time: datetime | None = None) -> None:
        """Close the open chunk; nothing happens when it has no lines."""
        if not self._lines:
            return
        index = len(self.chunks)
        self.chunks.append(
            Chunk(
                text="\n".join([head, *self._lines] if head else self._lines),
                index=index,
                time=time,
                source_ids=tuple(f"c{index}:{number}" for number in range(len(self._lines))),
            )
        )
        self._lines.clear()
        self.touched.clear()

    def as_sample(
        self, sample_id: str, questions: Sequence[Question], *, source: str, queries: float, random: Random
    ) -> Sample:
        """What was written, with its truth; a share `queries` of the chunks is read with one of the questions in mind."""
        chunks = [
            replace(chunk, query=random.choice(questions).text)
            if questions and random.random() < queries
            else chunk
            for chunk in self.chunks
        ]
        return Sample(
            sample_id=sample_id,
            chunks=tuple(chunks),
            questions=tuple(questions),
            source=source,
            metric="exact_match",
            extra={TRUTH: truth_as_json(self.facts)},
        )

    def current(self, key: Key) -> TrueFact | None:
        """The fact that a perfect memory holds about a key."""
        past = self.history.get(key)
        return past[-1] if past and past[-1].value else None

    def superseded(self, key: Key) -> Sequence[str]:
        """The values that a key used to have, without the one that it has, sorted."""
        past = self.history.get(key, [])
        return sorted({fact.value for fact in past} - {past[-1].value if past else "", ""})


def right_decision(stored: str, new: str) -> Decision:
    """What a fact means for a memory that says `stored` about its key; an empty text is no value."""
    if stored == new:
        return Decision.NOOP
    if not new:
        return Decision.DELETE
    return Decision.UPDATE if stored else Decision.ADD


def capitalized(text: str) -> str:
    """A sentence with its first letter large and the others as they are."""
    return text[:1].upper() + text[1:]
