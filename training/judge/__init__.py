"""A frozen model on a period: the signals it issued, what they earned, and the verdicts of the gates."""
