"""Adapters for exchanges and brokers, behind the domain's ports."""

from signalbox.adapters.venues.ccxt_package import defer_exchanges

defer_exchanges()  # before any module of this package imports ccxt
