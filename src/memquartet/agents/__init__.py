"""The four agents: prompts, calls and parsing. They never write to the store."""
