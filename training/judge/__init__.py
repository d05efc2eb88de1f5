"""A frozen model on a period: what it issued, what that earned, and the verdicts of the gates."""
