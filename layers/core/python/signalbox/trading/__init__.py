"""Trading: turns signals and bars into orders, fills, limit checks and halts of one account.

Its steps are pure functions of its state.

`state.py` holds an account between two steps. Every step returns the next account state and the `ChangeSet` to commit. The
steps are in modules by what happens to an account: bars, entries, operator_orders, venue_reports, halts, bookings. No step reads
a clock. A repeated step changes nothing. Whoever calls a step first applies the closed bars. The ledger (ports.py) loads account
states and saves change sets. manage_orders, monitor_risk and the backtest run the same steps.
"""
