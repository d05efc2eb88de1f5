"""What a training run writes: the bundle, its report page, and the record in mlflow."""
