"""mdpkit.certificates"""
