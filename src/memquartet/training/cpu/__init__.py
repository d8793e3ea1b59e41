"""verl on a CPU, for tests and laptops: platform, engine and rollout, loaded only where VERL_PLATFORM=cpu."""
