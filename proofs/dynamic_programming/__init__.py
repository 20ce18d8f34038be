"""Claims about dynamic programming."""
