"""Logical dumps of the ledger: their files and format. Decision 0101."""
