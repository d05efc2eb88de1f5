"""The operator's workbench: the `signalbox` command, the local cloud, the replay, the simulated market."""
