"""`signalbox library`: versions, approvals and deployments of models."""
