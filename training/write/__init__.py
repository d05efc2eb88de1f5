"""Writes the output of a training run: the bundle, its report page, and the record in mlflow."""
