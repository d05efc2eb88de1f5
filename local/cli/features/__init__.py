"""`signalbox features`: computes the feature matrix of recorded candles, and verifies stored features."""
