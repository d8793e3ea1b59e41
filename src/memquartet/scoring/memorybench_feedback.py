"""MemoryBench's simulated user: what it thinks of a reply, and what it says next.

For LoCoMo and DialSim the data set's own score decides, since the text that holds the answer must not be shown to a
simulator; a model plays the user of the others. Both are generators as in `judging`. Rules: THUIR/MemoryBench at 9a33aae9,
`src/agent/feedback.py` and `user_simulator.py`; the wording is ours.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Question
from memquartet.scoring.judging import JudgeCall, ask, json_value
from memquartet.scoring.memorybench import dataset_of, info_of, memorybench_score
from memquartet.scoring.memorybench_judges import memorybench_judgement

RIGHT = 0.5
"""A LoCoMo reply above this F1 is liked; a DialSim reply is right or wrong."""
_TEMPERATURE = 0.7
_LANGUAGES = {"zh": "Chinese", "en": "English"}
_ROLES = {
    "LexEval": (
        "someone who looks for reliable legal information",
        "legal accuracy, completeness, clarity, practical use",
    ),
    "JuDGE": (
        "a legal clerk who has a judgment drafted",
        "facts, charges, statutes, penalty, form of the document",
    ),
    "WritingBench": ("someone who has a text written", "how well the text meets the task's demands"),
    "WritingPrompts": ("a reader who asked for a story", "whether it follows the prompt, plot, style"),
    "HelloBench": (
        "someone who asked for a long, well-made text",
        "whether the reply does all that was asked",
    ),
    "IdeaBench": ("a researcher who looks for ideas", "novelty, feasibility, fit to the given papers"),
    "JRE-L": (
        "a reader without background who wants science explained",
        "readability, correctness, completeness",
    ),
    "LimitGen": (
        "a reviewer who looks for a paper's weaknesses",
        "whether they are real, specific and about the aspect",
    ),
    "NFCats": (
        "someone with a question that asks for more than a fact",
        "whether the question is really answered",
    ),
}


class Action(StrEnum):
    """A silent sign of what the user thinks."""

    LIKE = "like"
    DISLIKE = "dislike"
    COPY = "copy"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A user's reaction to a reply. `says` is the next message, empty when the user ends the dialogue."""

    action: Action
    ends: bool
    says: str = ""

    def as_row(self, number: int) -> Mapping[str, object]:
        """As the benchmark stores it: the round's number, the act, and whether the dialogue ended."""
        return {"round": number, "implicit_action": self.action.value, "terminated": self.ends}


UserTurn = Generator[JudgeCall, str, Feedback | None]


def user_turn(question: Question, dialogue: Sequence[Message]) -> UserTurn:
    """The user's reaction to the dialogue's last reply; None without a verdict, which ends the dialogue unjudged.

    Raises:
        ConfigError: the question does not carry what its data set's score needs.
    """
    dataset = dataset_of(question)
    reply = next(
        (message.content for message in reversed(dialogue) if message.speaker is Speaker.ASSISTANT), ""
    )
    if dataset.startswith(("Locomo", "DialSim")):
        return (yield from _by_score(question, reply))
    return (
        yield from ask(
            _prompt(question, dialogue),
            _read,
            system=_role(dataset),
            max_tokens=1024,
            temperature=_TEMPERATURE,
        )
    )


def _by_score(question: Question, reply: str) -> UserTurn:
    score = memorybench_score(reply, question)
    if score is None:
        score = yield from memorybench_judgement(question, reply)
    if score is None:
        return None
    if score > RIGHT:
        return Feedback(action=Action.LIKE, ends=True)
    return Feedback(
        action=Action.DISLIKE,
        ends=False,
        says="That does not seem right. Please try again and answer more accurately.",
    )


def _role(dataset: str) -> str:
    who, cares = next(
        (role for prefix, role in _ROLES.items() if dataset.startswith(prefix)),
        ("someone with a request", "how well the reply meets it"),
    )
    return (
        f"You play the user of an assistant: {who}. You care about {cares}. You can tell a good reply from a bad one, yet you"
        " never give away a reference answer. Keep to your first request, and do not repeat what you have already asked."
    )


def _prompt(question: Question, dialogue: Sequence[Message]) -> str:
    said = "\n".join(
        f"{message.speaker.value.capitalize()}: {message.content}"
        for message in dialogue
        if message.speaker in (Speaker.USER, Speaker.ASSISTANT)
    )
    known = "\n".join(f"{name}: {value}" for name, value in info_of(question).items())
    language = _LANGUAGES.get(str(question.extra.get("lang")), "the language of the dialogue")
    hidden = f"\n\nWhat only you know, to judge the last reply by:\n{known}" if known else ""
    return (
        f"The dialogue so far:\n{said}{hidden}\n\nHow do you react to the assistant's last reply? Reply with JSON alone:"
        ' {"reasoning": how good the reply is, "implicit_action": "like", "dislike", "copy" or "none", "behavior":'
        ' "continue_conversation" or "end_conversation", "response": what you say next, or null when you end}. Say it in'
        f" {language}."
    )


def _read(reply: str) -> Feedback | None:
    value = json_value(reply)
    if not isinstance(value, dict) or value.get("implicit_action") not in set(Action):
        return None
    behavior, says = value.get("behavior"), value.get("response")
    if behavior not in ("continue_conversation", "end_conversation"):
        return None
    ends = behavior == "end_conversation"
    if not ends and not (isinstance(says, str) and says.strip()):
        return None
    return Feedback(action=Action(value["implicit_action"]), ends=ends, says="" if ends else str(says))
