"""`signalbox collect alt` and the report on alternative data."""
