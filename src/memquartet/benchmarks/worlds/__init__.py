"""Generated worlds with known truth: unlimited, seeded episodes to train on and to measure with."""
