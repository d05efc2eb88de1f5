"""Benchmarks for operators. Each measures its comparison in the same run. None of them is a test that passes or fails."""
