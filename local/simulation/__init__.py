"""Accounts against a venue that misbehaves: schedules drawn from a seed, run over the real steps, checked by named invariants."""
