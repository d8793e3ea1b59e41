from __future__ import annotations

from memquartet.agents.team import Team
from memquartet.core.samples import Chunk, Question, Sample
from memquartet.core.trajectory import Role
from memquartet.llm.protocols import ChatRequest
from memquartet.memory.embedders import NoEmbedder
from memquartet.memory.memory import Memory
from memquartet.rewards.credit import reward_episode
from memquartet.rollout.episode import run_episode
from memquartet.testing.models import ScriptedModel
from memquartet.training.rows import episode_rows
from memquartet.training.settings import TrainingSettings

SAMPLE = Sample(
    sample_id="s",
    chunks=(Chunk(text="Ann's sister is Bea. Bea is a nurse.", index=0),),
    questions=(Question(question_id="q", text="What is the job of Ann's sister?", answers=("nurse",)),),
    metric="exact_match",
)


def team(request: ChatRequest) -> str:
    system, task = request.messages[0].content, request.messages[-1].content
    if system.startswith("You extract"):
        return '{"semantic": ["Ann\'s sister is Bea.", "Bea is a nurse."], "episodic": [], "unimportant": []}'
    if system.startswith("You keep a long-term"):
        return '["ADD", "ADD"]'
    return "nurse" if "nurse" in task else "search: Bea nurse"


async def test_each_search_is_a_training_row_that_is_paid_with_the_answer() -> None:
    settings = TrainingSettings.read({"max_searches": 2, "answer_top_k": 1})
    memory = Memory(embedder=NoEmbedder())
    episode = await run_episode(SAMPLE, Team.of(ScriptedModel(team)), memory, settings=settings.episode)
    reward = reward_episode(episode, SAMPLE)
    rows = episode_rows(episode, reward, trainable=frozenset({Role.ANSWERER}), filler=0)
    assert [row.group for row in rows] == ["s/question-0/answerer", "s/question-0/answerer/searched-1"]
    assert [row.reward for row in rows] == [1.0, 1.0]
    assert [row.parts["search"] for row in rows] == [1.0, None]
    assert rows[0].prompt_ids != rows[1].prompt_ids
    assert reward.by_role()["answerer/search"] == 1.0
