"""Backtest of a bundle and an account over years of candles.

It runs the deployed steps on an account state in memory, but only at the minutes that matter. `decisions` computes the signals of
the five-minute cycle, `bar_grid` holds the candles, `engine` applies both to the account through `signalbox.trading`, `starts`
repeats the run from many start dates, and `figures`, `page` and `command` report.
"""
