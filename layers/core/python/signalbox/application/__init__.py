"""Application services: one module a function that has rules of its own about what it does, in which order, and what it retries.

A service knows the domain and the ports it needs, never an adapter: `signalbox.bootstrap` composes it, a handler calls it.
"""
