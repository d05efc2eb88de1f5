"""Logical dumps of the ledger: what one consists of, and how it is written down. Decision 0101."""
