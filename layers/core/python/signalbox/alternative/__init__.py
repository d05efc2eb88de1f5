"""Data beside candles, such as funding rates: values with the times of their publication and arrival.

No cycle decides on them.
"""
