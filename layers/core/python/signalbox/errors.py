"""The root of the error tree. Errors are bugs or bad data; a refused symbol or order is a value, not an error.

Each package has a branch of its own in its errors.py; docs/errors.md draws the whole tree (`make docs`).
"""


class SignalboxError(Exception):
    """Base class of every error that Signalbox raises on purpose."""
