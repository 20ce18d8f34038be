"""Claims about operators."""
