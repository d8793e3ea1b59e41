"""Give an agent of your own a memory: show it before the answer, let the four agents read the exchange after it.

python examples/agent_with_memory.py openai:qwen3-4b@http://localhost:8000/v1
python examples/agent_with_memory.py local:smollm2-135m
"""

import asyncio
import sys

from memquartet import Memory
from memquartet.agents.team import Team
from memquartet.core.memory import Scope
from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Chunk
from memquartet.llm.protocols import ChatRequest
from memquartet.llm.specs import make_model
from memquartet.rollout.episode import Rollout


async def main(spec: str) -> None:
    """Two messages; the second is answered from what was remembered of the first."""
    model = make_model(spec)
    ann = Scope(user_id="ann")
    rollout = Rollout(team=Team.of(model), memory=Memory(), scope=ann)
    for number, said in enumerate(["I am allergic to peanuts.", "What should I tell the waiter?"]):
        prompt = rollout.memory.render_system_prompt("chat", said, scope=ann)
        reply = await model.complete(
            ChatRequest(
                messages=(
                    Message(speaker=Speaker.SYSTEM, content=prompt),
                    Message(speaker=Speaker.USER, content=said),
                )
            )
        )
        print(f"Ann: {said}\nAgent: {reply.text}")
        step = await rollout.read_chunk(Chunk(text=f"Ann: {said}\nAgent: {reply.text}", index=number))
        for outcome in step.outcomes:
            print(f"  {outcome.decision}: {outcome.fact.text}")
    await model.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "local:smollm2-135m"))
