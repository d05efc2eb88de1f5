"""Exchanges behind the domain's ports."""
