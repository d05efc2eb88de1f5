"""Trading: one account from signals and bars to orders, fills, limits and halts. Pure steps over what the ledger keeps.

`state.py` holds an account between two steps; every step returns the account state after it and the `ChangeSet` to commit. Steps
are in modules by what happens to an account: bars, entries, operator_orders, venue_reports, halts, bookings. None reads a clock,
and one that is taken again finds its own traces and changes nothing; whoever takes one applies the closed bars first. The
ledger (ports.py) loads an account state and saves changes; manage_orders, monitor_risk and the backtest run the same steps.
"""
