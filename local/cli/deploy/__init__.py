"""`signalbox deploy`: a stage in an AWS account, from nothing to the first alarm."""
