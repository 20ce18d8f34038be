"""Claims about average reward."""
