"""`signalbox secrets`: fields of a stage's secrets, each on its own."""
