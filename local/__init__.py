"""The operator's workbench: the `signalbox` command, the local cloud, replay and the simulated market."""
