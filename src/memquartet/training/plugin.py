"""What verl loads: importing this module registers the team's agent loop, trainer and advantage estimator.

verl finds it by the entry point `verl.plugins` and, loudly, by VERL_USE_EXTERNAL_MODULES. It runs in every process
that imports verl; those that hold an engine alone are spared the trainer. The CPU's platform, engine and rollout are
registered where VERL_PLATFORM=cpu and nowhere else; attention over packed sequences is for GPUs.
"""

from __future__ import annotations

import os
from importlib import import_module

PLATFORM = "VERL_PLATFORM"
ROLLOUT = "in_process"
"""The name of the CPU's rollout, for `actor_rollout_ref.rollout.name`."""


def register() -> None:
    """Register with verl what this process needs."""
    # verl's worker groups set it in the processes that hold an engine.
    engine_only = "WG_BACKEND" in os.environ
    on_cpu = os.environ.get(PLATFORM, "").lower() == "cpu"
    if on_cpu:
        _register_cpu(engine=engine_only)
    if not engine_only:
        import_module("memquartet.training.agent_loop")
        import_module("memquartet.training.tokens_loop")
        import_module("memquartet.training.trainer")
    elif not on_cpu:
        import_module("memquartet.training.packed_attention")


def _register_cpu(*, engine: bool) -> None:
    # First of all, because verl's modules ask for the platform when they are imported.
    import_module("memquartet.training.cpu.platform")
    from verl.workers.rollout.base import _ROLLOUT_REGISTRY
    from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry

    def load() -> type[RolloutReplica]:
        from memquartet.training.cpu.rollout import SamplerReplica

        return SamplerReplica

    _ROLLOUT_REGISTRY[ROLLOUT, "async"] = "memquartet.training.cpu.rollout.SamplerAdapter"
    RolloutReplicaRegistry.register(ROLLOUT, load)
    if engine:
        import_module("memquartet.training.cpu.engine")


register()
