"""`signalbox report`: reports of one account and period, from the ledger."""
