"""A plug-in for verl that makes its CPU rollout fail to order; loaded by VERL_USE_EXTERNAL_MODULES.

What goes wrong depends on the training step: see `GARBAGE_STEP` and `DEATH_STEP`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from typing_extensions import override
from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry, TokenOutput

from memquartet.scoring import registry
from memquartet.training.plugin import ROLLOUT

GARBAGE_STEP, DEATH_STEP, LONELY_STEP, LONG_STEP = 3, 4, 5, 6
CALLS_BEFORE_DEATH = 9
BROKEN_METRIC = "always_nan"

registry.METRICS = (*registry.METRICS, BROKEN_METRIC)
registry._BY_ANSWER = {**registry._BY_ANSWER, BROKEN_METRIC: lambda *_: math.nan}


def _faulty() -> type[RolloutReplica]:
    from memquartet.training.cpu.rollout import SamplerReplica, SamplerServer

    class FaultyServer(SamplerServer):
        calls = 0

        @override
        @ray.method(max_task_retries=0)
        async def generate(
            self,
            prompt_ids: Sequence[int],
            sampling_params: Mapping[str, Any],
            request_id: str,
            **more: object,
        ) -> TokenOutput:
            step = None if self._version is None else self._version + 1
            if step == GARBAGE_STEP:
                sampling_params = {**sampling_params, "temperature": 50.0, "max_tokens": 8}
            if step == DEATH_STEP:
                self.calls += 1
                if self.calls > CALLS_BEFORE_DEATH:
                    os._exit(1)
            return await super().generate(prompt_ids, sampling_params, request_id, **more)

    class FaultyReplica(SamplerReplica):
        server_class = FaultyServer

    return FaultyReplica


RolloutReplicaRegistry.register(ROLLOUT, _faulty)
