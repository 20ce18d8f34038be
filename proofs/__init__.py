"""Claims that run, a room for each family of :mod:`mdpkit.solvers`."""

if __name__ != "mdpkit.proofs":
    raise ImportError(f"import this package as mdpkit.proofs, not as {__name__!r}")
