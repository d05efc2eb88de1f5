"""Trading: one account from signals and bars to orders, fills, limits and halts. Pure steps over what the ledger keeps.

`desk.py` holds an account between two steps; every step returns the desk after it and the `Changes` to commit. The ledger
(ports.py) loads a desk and saves changes; manage_orders, monitor_risk and the backtest run the same steps.
"""
