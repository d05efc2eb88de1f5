"""Alerts: which events become messages, in which words, when, and what each chat has already got."""
