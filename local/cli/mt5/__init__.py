"""`signalbox mt5`: configuration and signing key of a MetaTrader 5 account's agent."""
