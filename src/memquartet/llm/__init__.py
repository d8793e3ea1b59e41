"""Talking to language models."""

DEFAULT_MODEL = "smollm2-135m"
"""The local model that is used where none is named."""
