"""mdpkit.operators"""
