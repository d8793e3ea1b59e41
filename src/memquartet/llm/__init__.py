"""Talking to language models."""

DEFAULT_MODEL = "memquartet-135m"
"""The local model that is used where none is named."""
