"""Running a benchmark over a system, with results that resume."""
