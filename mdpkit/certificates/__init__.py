"""Certificates: bounds recomputed from the problem, independent of the solvers."""

from mdpkit.certificates.certificate import Certificate, Verdict
from mdpkit.certificates.enclose import certify, certify_exact

__all__ = ["Certificate", "Verdict", "certify", "certify_exact"]
