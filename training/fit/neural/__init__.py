"""LSTM and Transformer. This is the only package that imports torch; code that needs no networks must not import it."""
