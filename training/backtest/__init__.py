"""A bundle and an account over years of candles: the deployed steps in an account state in memory, at the minutes that matter.

`decisions` says what the cycle would have signalled, `grid` holds the candles, `engine` brings both to the account through
`signalbox.trading`, `starts` does it again from many start dates, `figures`, `page` and `terminal` tell what came of it.
"""
