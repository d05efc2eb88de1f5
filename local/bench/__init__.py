"""Benchmarks an operator can run: each measures its peer in the same run and judges nothing."""
