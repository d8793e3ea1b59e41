"""Configurations: `memquartet.yaml` on top of verl's trainer, and the presets."""
