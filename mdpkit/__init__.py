"""Markov decision processes solved with certificates."""

__version__ = "0.1.0"
