"""The agent beside a MetaTrader 5 terminal: it receives signed commands, trades, and reports. Setup: docs/live-trading.md.

It runs on the terminal's Windows machine and is never deployed. Nothing connects to it. Start reading with `agent.py`.
"""
