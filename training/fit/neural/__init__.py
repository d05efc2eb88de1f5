"""LSTM and Transformer: the only package that imports torch. What fits or scores without networks never comes here."""
