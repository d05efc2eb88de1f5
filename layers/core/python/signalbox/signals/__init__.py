"""From calibrated probabilities to recorded signals: directions, tiers, and the five-minute cycle that makes them."""
