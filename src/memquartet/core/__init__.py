"""The nouns: frozen values that the rooms pass to each other. Standard library only."""
