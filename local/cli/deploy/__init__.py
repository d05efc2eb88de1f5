"""`signalbox deploy`: brings a stage into an AWS account, from an empty account to the first alarm."""
