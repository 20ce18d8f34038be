"""Claims about regularized dp."""
