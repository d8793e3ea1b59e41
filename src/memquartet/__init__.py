"""Four cooperating agents give a language model a memory, and reinforcement learning teaches them to use it."""

__version__ = "0.1.0"
