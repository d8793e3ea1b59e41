"""Finding entries: an inverted index with vectors, exact scores under filters, forks that cost nothing."""
