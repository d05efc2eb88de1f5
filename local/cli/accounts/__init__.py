"""`signalbox accounts`: an operator's commands to the orders API of a stage."""
