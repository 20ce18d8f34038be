"""mdpkit.models"""
