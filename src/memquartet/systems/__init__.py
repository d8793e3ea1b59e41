"""Memory systems that run under the same harness: the quartet and the baselines it is compared with."""
