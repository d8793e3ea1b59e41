"""`memquartet ask`: answer a question from the memory."""

from __future__ import annotations

import asyncio

import click

from memquartet.agents.answerer import TOP_K
from memquartet.agents.prompt_sets import TAUGHT_TOP_K
from memquartet.agents.team import Team
from memquartet.cli.command import Command
from memquartet.cli.options import (
    Target,
    line_option,
    local_time,
    model_option,
    screen_options,
    seed_option,
    target_options,
)
from memquartet.cli.rendering import entry_json, warn_of_wordless
from memquartet.cli.screen import Screen
from memquartet.core.samples import Question
from memquartet.core.trajectory import Answer
from memquartet.errors import WorldError
from memquartet.llm.specs import make_model
from memquartet.rollout.episode import EpisodeSettings, Rollout


@click.command(
    "ask",
    cls=Command,
    examples=[
        "memquartet ask 'Where does Mira live now?'",
        "memquartet ask 'Where does the brother of Mira live?' --max-searches 2",
        "memquartet ask 'What am I allergic to?' --user ann --json | python -m json.tool",
    ],
)
@click.argument("question")
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    help=f"How many memories a search finds; by default {TAUGHT_TOP_K} with a taught model (memquartet-135m), {TOP_K} with others.",
)
@click.option(
    "--max-searches",
    type=click.IntRange(min=0),
    help="How often the answerer may search again with a query of its own before it answers; by default twice with a"
    " model that was taught to (memquartet-135m), never with others.",
)
@line_option
@model_option
@seed_option
@target_options
@screen_options
def command(
    *,
    target: Target,
    screen: Screen,
    question: str,
    top_k: int | None,
    max_searches: int | None,
    line_top_k: int | None,
    model: str,
    seed: int,
) -> None:
    """Answer QUESTION from the memory. Nothing is written."""
    asked = Question(question_id="ask", text=question, answers=(), time=local_time())
    with target.open() as memory:
        chat = make_model(model)
        settings = EpisodeSettings(answer_top_k=top_k, max_searches=max_searches, line_top_k=line_top_k)
        rollout = Rollout(team=Team.of(chat), memory=memory, settings=settings, scope=target.scope, seed=seed)

        async def answer() -> Answer:
            try:
                return await rollout.answer(asked)
            finally:
                await chat.aclose()

        with screen.status(f"asking {chat.name}"):
            answered = asyncio.run(answer())
        if answered.trajectory.failure:
            raise WorldError(answered.trajectory.failure.message)
        if not answered.hits:
            warn_of_wordless(question, screen)
        if screen.as_json:
            shown = [entry_json(memory.get(entry_id)) for entry_id in answered.hits]
            screen.json(
                {
                    "question": question,
                    "answer": answered.text,
                    "model": chat.name,
                    "memories": shown,
                    "searches": [search.query for search in answered.searches],
                }
            )
            return
    screen.write(answered.text or "(the model stayed silent)")
    for search in answered.searches:
        screen.say(f"searched for: {search.query}")
    screen.say(f"shown to the model: {', '.join(answered.hits) or 'no memories'}")
