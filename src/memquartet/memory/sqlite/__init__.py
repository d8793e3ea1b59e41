"""The durable backend: one SQLite file that holds the journal and what is derived from it."""
