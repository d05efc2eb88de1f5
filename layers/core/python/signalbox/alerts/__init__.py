"""Alerts: which events people are told of, in which words, when, and what each chat has already got."""
