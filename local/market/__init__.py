"""Where the candles of a replay come from: recorded files, a live exchange, or a seeded simulator."""
