"""`signalbox telegram`: the bot on a terminal."""
