"""Adapters for exchanges and brokers, behind the domain's ports."""
