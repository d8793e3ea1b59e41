"""What verl has registered in a fresh process, as one line of JSON; run by `doctor` as a program."""

from __future__ import annotations

import json
import sys

from verl.experimental.agent_loop.agent_loop import _agent_loop_registry
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY
from verl.workers.rollout.base import _ROLLOUT_REGISTRY


def main() -> None:
    """Print the names by registry."""
    found = {
        "agent loop": list(_agent_loop_registry),
        "trainer": list(TRAINER_REGISTRY),
        "advantage estimator": [str(name) for name in ADV_ESTIMATOR_REGISTRY],
        "rollout": [name for name, _ in _ROLLOUT_REGISTRY],
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
