"""Sources of candles for a replay: recorded files, a live exchange, or a seeded simulator."""
