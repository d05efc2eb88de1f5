"""The composition root: one module a function, each builds that function's collaborators from its environment.

Only here is a concrete adapter named and the environment read. Composing does no I/O: connections open on first use.
"""
