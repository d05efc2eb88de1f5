"""Servers on the loopback interface that behave like outside services, controlled by Python objects of the same process."""
