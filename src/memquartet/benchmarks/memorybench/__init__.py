"""MemoryBench (THUIR): 28 data sets whose users' feedback is to be learned from.

`catalogue` lists the data sets, `records` reads their rows, `loading` finds them on the hub or in a folder, `raw` builds
rows from the sources of some of them, `protocols` says what is fed and asked in which order. Format and protocol:
THUIR/MemoryBench at 9a33aae9.
"""
