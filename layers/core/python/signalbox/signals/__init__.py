"""Signals: directions and tiers from calibrated probabilities, and the five-minute cycle that makes and records them."""
