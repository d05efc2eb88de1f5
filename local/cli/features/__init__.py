"""`signalbox features`: the feature matrix of recorded candles, and the check of stored features."""
