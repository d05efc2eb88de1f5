"""Simulates accounts against a misbehaving venue: schedules drawn from a seed run the real steps and check named invariants."""
