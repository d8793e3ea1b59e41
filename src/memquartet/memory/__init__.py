"""The store: what is remembered, how it is found, and the journal of how it came to be. Knows no model."""
