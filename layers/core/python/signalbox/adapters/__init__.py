"""Implementations of the domain's ports, each with its own SDK. Only `signalbox.bootstrap` names a concrete one."""
