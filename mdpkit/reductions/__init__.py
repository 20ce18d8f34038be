"""Equivalences of problems as objects."""
