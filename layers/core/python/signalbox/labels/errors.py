"""Errors of signal contracts.

LabelError
├── ContractDocumentError   a contract document is not valid, or its fields contradict each other
└── UnknownContractError    a contract, or a version of it, that this code does not have
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class LabelError(SignalboxError):
    """A signal contract cannot be used."""


class ContractDocumentError(LabelError):
    """A contract document is not valid, or its fields contradict each other."""


class UnknownContractError(LabelError):
    """A contract, or a version of it, that this code does not have."""
