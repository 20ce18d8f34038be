"""Claims about policy gradient methods."""
