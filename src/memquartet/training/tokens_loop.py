"""verl's agent loop `memquartet_tokens`: one prompt of token ids, one output. Nothing else happens.

It lets the batch path use verl's `AgentLoopManager` as what draws its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput, register

TOKENS_AGENT = "memquartet_tokens"


@register(TOKENS_AGENT)
class TokensAgentLoop(AgentLoopBase):
    """Draws one output for a row's `raw_prompt_ids`, with the row's `sampling` on top of verl's."""

    async def run(self, sampling_params: Mapping[str, Any], **row: Any) -> AgentLoopOutput:  # verl's row
        """Ask the server once."""
        prompt = list(row["raw_prompt_ids"])
        output = await self.server_manager.generate(
            request_id=uuid4().hex,
            prompt_ids=prompt,
            sampling_params={**sampling_params, **row["sampling"]},
        )
        return AgentLoopOutput(
            prompt_ids=prompt,
            response_ids=list(output.token_ids),
            response_mask=[1] * len(output.token_ids),
            response_logprobs=output.log_probs,
            reward_score=0.0,
            num_turns=2,
            metrics={},
            extra_fields={**output.extra_fields, "reward_extra_info": {}},
        )
