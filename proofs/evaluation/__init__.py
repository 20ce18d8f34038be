"""Claims about methods that estimate the value of a policy."""
