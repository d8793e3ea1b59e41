"""The memory as tools that a language model calls."""
