"""Benchmarks for operators. Each measures its comparison in the same run, and none passes or fails anything."""
