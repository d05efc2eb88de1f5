"""Evaluates a frozen model on a period: its issued signals, their returns, and the verdicts of the gates."""
