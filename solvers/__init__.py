"""Algorithms, a room for each family: ``mdpkit.solvers.<family>.<mechanism>``."""

if __name__ != "mdpkit.solvers":
    raise ImportError(f"import this package as mdpkit.solvers, not as {__name__!r}")
