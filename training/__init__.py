"""Datasets, labels, models, calibration, evaluation and bundles. No AWS client; data comes as files."""
