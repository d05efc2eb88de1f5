"""Closed one-minute bars: what a candle is, when a cycle is due, which bars are missing, how they are collected."""
