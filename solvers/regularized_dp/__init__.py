"""Regularized dynamic programming: entropy and relative entropy in the backup."""

__all__: list[str] = []
