"""Turns candles into decisions with features and labels, and divides them into periods."""
