"""Application services: one module per Lambda function; it decides which steps the function takes, in which order, and which it
retries.

A service knows the domain and the ports it needs, never an adapter. `signalbox.bootstrap` composes it and a handler calls it.
"""
