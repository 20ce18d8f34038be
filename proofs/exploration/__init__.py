"""Claims about exploration."""
