"""mdpkit.reductions"""
