"""`python -m memquartet` is the same as `memquartet`."""

from memquartet.cli.main import cli

cli(prog_name="memquartet")
