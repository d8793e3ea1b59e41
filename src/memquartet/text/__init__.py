"""Plain text work: token counting, chunking, index terms."""
