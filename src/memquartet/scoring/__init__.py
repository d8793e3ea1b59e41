"""Answer and retrieval metrics, one function each, shared by reward and evaluation."""
