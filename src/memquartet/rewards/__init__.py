"""Rewards: from an episode to a reward for each of its turns, in named parts.

`reward_episode` is the door; `branch_credit` and `judge_steps` gather, with model calls, what it may be given as
`Evidence`; `group_advantages` and `role_weights` are the arithmetic behind it, for any trainer.
"""

from memquartet.rewards.advantages import Scale, group_advantages, role_weights
from memquartet.rewards.branch import BranchCredit, branch_credit
from memquartet.rewards.credit import CreditMode, EpisodeReward, Evidence, TurnReward, reward_episode
from memquartet.rewards.judge import ContentJudge, ModelJudge, judge_steps
from memquartet.rewards.mix import DEFAULT_MIX, RewardMix
from memquartet.rewards.parts import Part

__all__ = [
    "DEFAULT_MIX",
    "BranchCredit",
    "ContentJudge",
    "CreditMode",
    "EpisodeReward",
    "Evidence",
    "ModelJudge",
    "Part",
    "RewardMix",
    "Scale",
    "TurnReward",
    "branch_credit",
    "group_advantages",
    "judge_steps",
    "reward_episode",
    "role_weights",
]
