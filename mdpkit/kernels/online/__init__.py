"""Compiled loops of learners: acting, exact values of what is played, counting, and planning, episode by episode.

Each loop plays as :func:`mdpkit.play` does round by round with the learner's own ``begin``, ``policy``, ``observe``: the same
draws from the same generators, in the same order. ``tests/conformance/test_learners.py`` holds them together.
"""
