"""The agent beside a MetaTrader 5 terminal: takes signed commands, trades, reports. docs/live-trading.md says how it is set up.

It runs on the Windows machine of the terminal and is never deployed. Start with `agent.py`. Nothing connects to it.
"""
