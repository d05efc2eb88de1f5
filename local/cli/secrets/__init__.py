"""`signalbox secrets`: sets single fields of a stage's secrets."""
