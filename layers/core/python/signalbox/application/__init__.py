"""Application services: one module for each function with rules about what it does, in which order, and what it retries.

A service knows the domain and the ports it needs, never an adapter. `signalbox.bootstrap` composes it and a handler calls it.
"""
