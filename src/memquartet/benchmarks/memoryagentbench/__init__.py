"""MemoryAgentBench (Hu, Wang, McAuley, ICLR 2026): one long context read in chunks, then many questions about it.

`records` reads and loads it, `sources` says how each of its data sets is run, `templates` words the prompts, and
`chunking` cuts as the official code does. Format and protocol: HUST-AI-HYZ/MemoryAgentBench at 455306dc.
"""
