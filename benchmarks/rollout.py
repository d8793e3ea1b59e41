"""Episodes per second with a model that answers at once: what the framework itself costs.

256 episodes run at the same time on one core; each reads chunks of new, changed and repeated facts and small talk
and answers questions, so that every agent and every operation takes part. The scripted model gives valid outputs
without waiting; what is left is prompts, parsing, retrieval, the journal and bookkeeping.

    python benchmarks/rollout.py [--episodes 256] [--json PATH]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import time
from pathlib import Path

from memquartet import __version__
from memquartet.agents.team import Team
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Episode
from memquartet.llm.protocols import ChatRequest
from memquartet.memory.memory import Memory
from memquartet.rollout.episode import run_episode
from memquartet.testing.models import ScriptedModel

PEOPLE = ("Ann", "Bo", "Cy", "Dee", "Eli", "Fay")
CITIES = ("Rome", "Oslo", "Lima", "Cairo", "Kyoto", "Quito", "Dakar", "Perth")
_FACT = re.compile(r"^Fact (\d+): .*\n(?:\[(\d+)\])?", re.MULTILINE)


def sample(number: int, chunks: int) -> Sample:
    """Every chunk says where six people live now; some have moved, some have not; it also rains."""
    texts = [
        "\n".join(
            f"{person} lives in {CITIES[(number + i * (c % 3)) % len(CITIES)]} since year {c // 2}."
            for i, person in enumerate(PEOPLE)
        )
        for c in range(chunks)
    ]
    return Sample(
        sample_id=f"s{number}",
        chunks=tuple(Chunk(text=f"{text}\nIt rains.", index=i) for i, text in enumerate(texts)),
        questions=tuple(
            Question(question_id=person, text=f"Where does {person} live?", answers=("?",))
            for person in PEOPLE
        ),
    )


def reply(request: ChatRequest) -> str:
    """A valid output for whichever agent asks: facts are lines, the first shown memory is updated or kept."""
    role, task = request.messages[0].content[:20], request.messages[-1].content
    if role.startswith("You extract"):
        lines = [line for line in task.splitlines() if " lives in " in line]
        return json.dumps({"semantic": lines, "episodic": [], "unimportant": ["It rains."]})
    if role.startswith("You keep a long"):
        decisions = [
            {"fact": int(fact), "op": "UPDATE" if int(fact) % 2 else "NOOP", "id": short}
            if short
            else {"fact": int(fact), "op": "ADD"}
            for fact, short in _FACT.findall(task)
        ]
        return json.dumps({"decisions": decisions})
    return "It rains in the places they talk about." if role.startswith("You keep a short") else "Rome"


async def run(episodes: int, chunks: int) -> tuple[float, list[Episode]]:
    """Wall seconds and the episodes; all of them run at the same time."""
    team = Team.of(ScriptedModel(reply))
    started = time.perf_counter()
    done = await asyncio.gather(
        *(run_episode(sample(number, chunks), team, Memory()) for number in range(episodes))
    )
    return time.perf_counter() - started, list(done)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=256, help="how many run at the same time")
    parser.add_argument("--chunks", type=int, default=8, help="chunks an episode")
    parser.add_argument("--repeats", type=int, default=3, help="runs; the median counts")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    asyncio.run(run(8, options.chunks))  # loads the embedder and the tokenizer
    runs = sorted(
        (asyncio.run(run(options.episodes, options.chunks)) for _ in range(options.repeats)),
        key=lambda r: r[0],
    )
    seconds, done = runs[len(runs) // 2]
    calls = sum(len(episode.turns) for episode in done)
    result = {
        "episodes_at_once": options.episodes,
        "chunks_an_episode": options.chunks,
        "model_calls": calls,
        "repeats": options.repeats,
        "seconds_median": seconds,
        "seconds_all": [run_seconds for run_seconds, _ in runs],
        "episodes_per_second": len(done) / seconds,
        "milliseconds_a_model_call": seconds / calls * 1000,
        "memquartet": __version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "cores_used": 1,
    }
    print(
        f"{options.episodes} episodes at once, {calls} model calls, one core, median of {options.repeats} runs"
    )
    print(
        f"  {result['episodes_per_second']:.1f} episodes/s, {result['milliseconds_a_model_call']:.2f} ms a model call"
    )
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
