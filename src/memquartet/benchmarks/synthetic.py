"""Generated episodes in which facts change: people move, change jobs and give up pets, between small talk.

Everything is drawn from a seed and known to be true, so that answers, superseded values and evidence come for
free. A question asks for what counts at the end; its `extra` names the values that no longer do
("superseded") and whom it is about ("subject").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from memquartet.core.samples import Chunk, Question, Sample
from memquartet.errors import ConfigError

SOURCE = "synthetic-conflicts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Something that a person has one of. `{s}` stands for the subject, `{v}` for the value."""

    name: str
    stated: tuple[str, ...]
    changed: tuple[str, ...]
    question: str
    values: tuple[str, ...]


RELATIONS = (
    Relation(
        name="city",
        stated=("{s} lives in {v}.", "{s}'s home is in {v}.", "These days you find {s} in {v}."),
        changed=("{s} has moved to {v}.", "{s} lives in {v} now.", "{s} left for {v} and stays there."),
        question="Where does {s} live?",
        values=("Oslo", "Rome", "Lima", "Kyiv", "Porto", "Quito", "Lyon", "Osaka", "Tunis", "Bergen"),
    ),
    Relation(
        name="job",
        stated=("{s} works as a {v}.", "{s} earns a living as a {v}.", "{s} is a {v} by trade."),
        changed=("{s} changed jobs and is a {v} now.", "{s} works as a {v} from now on."),
        question="What does {s} do for a living?",
        values=("baker", "pilot", "nurse", "tailor", "painter", "plumber", "teacher", "gardener", "welder"),
    ),
    Relation(
        name="pet",
        stated=("{s} has a {v}.", "{s} keeps a {v} at home.", "There is a {v} in {s}'s flat."),
        changed=("{s} gave the old pet away and has a {v} now.", "{s}'s only pet is a {v} now."),
        question="Which pet does {s} have?",
        values=("cat", "parrot", "hamster", "rabbit", "turtle", "canary", "ferret", "lizard", "goldfish"),
    ),
    Relation(
        name="drink",
        stated=("{s} always orders {v}.", "{s}'s favourite drink is {v}."),
        changed=("{s} went off the old drink and always orders {v} now.", "{s} prefers {v} now."),
        question="What does {s} like to drink?",
        values=("green tea", "cocoa", "espresso", "cider", "lemonade", "ginger beer", "buttermilk"),
    ),
    Relation(
        name="instrument",
        stated=("{s} plays the {v}.", "{s} is learning the {v}."),
        changed=("{s} sold the old instrument and plays the {v} now.", "{s} switched to the {v}."),
        question="Which instrument does {s} play?",
        values=("cello", "flute", "banjo", "piano", "violin", "trumpet", "harp", "clarinet"),
    ),
)
SUBJECTS = (
    *("Anna", "Boris", "Chloe", "Dario", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaja", "Liam"),
    *("Mira", "Nils", "Olga", "Pablo", "Rosa", "Sven", "Tara", "Uwe", "Vera", "Wim", "Yara", "Zeno"),
)
SMALL_TALK = (
    *(
        "What a lovely morning.",
        "The bus was late again.",
        "I could use a break.",
        "Did you hear that noise?",
    ),
    *("It rained all night.", "Let us talk later.", "The line is bad today.", "I am fine, thanks."),
    *("Lunch was all right.", "The lift is still broken.", "Nothing much happened.", "See you soon."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictShape:
    """How large an episode is and how often its facts change.

    A line of a chunk states something new, changes something stated earlier (with probability `changes`), or is
    small talk (with probability `small_talk`). `questions` are drawn from what was stated, changed things first.
    """

    chunks: int = 4
    lines: int = 4
    subjects: int = 3
    changes: float = 0.4
    small_talk: float = 0.25
    questions: int = 4

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ConfigError: a size below 1, more subjects than there are names, or a probability outside [0, 1].
        """
        for name in ("chunks", "lines", "subjects", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.subjects > len(SUBJECTS):
            raise ConfigError(f"subjects must be at most {len(SUBJECTS)}, got {self.subjects}")
        for name in ("changes", "small_talk"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be a probability in [0, 1], got {getattr(self, name)}")


def conflict_samples(
    count: int, *, seed: int, shape: ConflictShape | None = None, first: int = 0
) -> Iterator[Sample]:
    """Generate samples; equal arguments give equal samples.

    Args:
        count: how many.
        seed: samples of different seeds have nothing to do with each other.
        shape: their size.
        first: number of the first one; sample n of a seed is the same in every call.
    """
    for number in range(first, first + count):
        yield _Story(shape or ConflictShape(), Random(f"{seed}/{number}")).sample(f"conflict-{seed}-{number}")


@dataclass(slots=True)
class _Known:
    """What was said about one subject's relation: its values, oldest first, and where the last was said."""

    subject: str
    relation: Relation
    values: list[str] = field(default_factory=list)
    said: str = ""


class _Story:
    def __init__(self, shape: ConflictShape, random: Random) -> None:
        self._shape = shape
        self._random = random
        pairs = [(s, r) for s in random.sample(SUBJECTS, shape.subjects) for r in RELATIONS]
        random.shuffle(pairs)
        self._untold = [_Known(subject, relation) for subject, relation in pairs]
        self._told: list[_Known] = []

    def sample(self, sample_id: str) -> Sample:
        chunks = tuple(self._chunk(index) for index in range(self._shape.chunks))
        return Sample(
            sample_id=sample_id,
            chunks=chunks,
            questions=tuple(self._questions()),
            source=SOURCE,
            metric="exact_match",
        )

    def _chunk(self, index: int) -> Chunk:
        lines, sources = [], []
        for number in range(self._shape.lines):
            source = f"c{index}:{number}"
            # A chunk always says something, and so does every first one.
            small_talk = number > 0 and self._random.random() < self._shape.small_talk
            lines.append(self._random.choice(SMALL_TALK) if small_talk else self._statement(source))
            sources.append(source)
        return Chunk(text="\n".join(lines), index=index, source_ids=tuple(sources))

    def _statement(self, source: str) -> str:
        change = self._told and (not self._untold or self._random.random() < self._shape.changes)
        if change:
            known = self._random.choice(self._told)
            forms: Sequence[str] = known.relation.changed
        else:
            known = self._untold.pop()
            self._told.append(known)
            forms = known.relation.stated
        known.values.append(
            self._random.choice([v for v in known.relation.values if v not in known.values[-1:]])
        )
        known.said = source
        return self._random.choice(forms).format(s=known.subject, v=known.values[-1])

    def _questions(self) -> Iterator[Question]:
        order = sorted(self._told, key=lambda known: (len(known.values) < 2, self._random.random()))
        for number, known in enumerate(order[: self._shape.questions]):
            current = known.values[-1]
            yield Question(
                question_id=f"q{number}",
                text=known.relation.question.format(s=known.subject),
                answers=(current,),
                category="changed" if len(known.values) > 1 else "stated",
                evidence=(known.said,),
                extra={
                    "superseded": sorted({value for value in known.values if value != current}),
                    "subject": known.subject,
                },
            )
