"""`signalbox deploy`: deploys a stage to an AWS account, from an empty account to a test alarm."""
