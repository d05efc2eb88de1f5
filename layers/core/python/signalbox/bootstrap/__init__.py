"""The composition root: one module for each function, which builds the function's collaborators from its environment.

Only this package names concrete adapters and reads the environment. Composing does no I/O: connections open on first use.
"""
