"""A plug-in for verl whose CPU rollout says a script of tool calls, and the reward of that script.

A tiny model cannot speak in tool calls. Everything around it is verl's own: the loop, the parser, the trainer. Each
trajectory stores a word of its own, changes it and looks for it; every other one deletes it before it looks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from typing_extensions import override
from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry, TokenOutput

from memquartet.training.plugin import ROLLOUT

_WORD = re.compile(r"word-(\d+)-(\w+)")
_MEMORY_ID = re.compile(r'"memory_id": ?"?([^",}]+)')
_TYPE = {"memory_type": "semantic"}


def next_line(said: str, number: int) -> str:
    """What a trajectory says after `said`, its prompt with all tool calls and replies so far.

    Args:
        said: as the model's tokens decode.
        number: for a trajectory that has said nothing yet.
    """
    words = _WORD.findall(said)
    calls = said.count("<tool_call>")
    if not words:
        return _call("new_memory_insert", **_TYPE, content=f"The word is word-{number}-first.")
    own = int(words[0][0])
    memory_id = _MEMORY_ID.findall(said)[0]
    if calls == 1:
        changed = f"The word is word-{own}-second."
        return _call("memory_update", **_TYPE, memory_id=memory_id, new_content=changed)
    if calls == 2 and own % 2:
        return _call("memory_delete", **_TYPE, memory_id=memory_id)
    if calls == 2 + own % 2:
        return _call("search_memory", **_TYPE, query="Which word is it?")
    found = _WORD.findall(said.rpartition("</tool_call>")[2])
    return f"RESULT {json.dumps([own, found])}"


def compute_score(data_source: str, solution_str: str, ground_truth: str, **_: object) -> float:
    """1 for a trajectory that found its own changed word and no other, 0.5 for one that deleted it and found none."""
    own, found = json.loads(solution_str.rpartition("RESULT ")[2])
    if own % 2:
        return 0.5 if found == [] else -1.0
    return 1.0 if found == [[str(own), "second"]] else -1.0


def _call(name: str, **arguments: str) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def _scripted() -> type[RolloutReplica]:
    from transformers import AutoTokenizer

    from memquartet.training.cpu.rollout import SamplerReplica, SamplerServer

    class ScriptedServer(SamplerServer):
        def __init__(self, config: Any, model_config: Any, replica_rank: int) -> None:  # as the base
            super().__init__(config, model_config, replica_rank)
            self._tokenizer = AutoTokenizer.from_pretrained(model_config.path)
            self._numbers = count()

        @override
        async def generate(
            self,
            prompt_ids: Sequence[int],
            sampling_params: Mapping[str, Any],
            request_id: str,
            **_: object,
        ) -> TokenOutput:
            said = self._tokenizer.decode(prompt_ids)
            number = next(self._numbers) if "<tool_call>" not in said else 0
            ids = self._tokenizer(next_line(said, number), add_special_tokens=False)["input_ids"]
            ids.append(self._tokenizer.eos_token_id)
            return TokenOutput(
                token_ids=ids,
                log_probs=[-1.0] * len(ids),
                stop_reason="completed",
                extra_fields={"global_steps": self._version},
            )

    class ScriptedReplica(SamplerReplica):
        server_class = ScriptedServer

    return ScriptedReplica


RolloutReplicaRegistry.register(ROLLOUT, _scripted)
