"""Application services: one module per Lambda function, which decides the order of its steps and which of them it retries.

A service knows the domain and the ports it needs, never an adapter. `signalbox.bootstrap` composes it and a handler calls it.
"""
