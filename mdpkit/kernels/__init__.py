"""mdpkit.kernels"""
