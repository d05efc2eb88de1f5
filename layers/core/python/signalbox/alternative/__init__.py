"""Data beside candles: what it says, when it was published and when it was known. Nothing here decides a cycle."""
