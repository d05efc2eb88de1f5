"""Servers that speak like the outside world, on the loopback interface, driven by Python objects of the same process."""
