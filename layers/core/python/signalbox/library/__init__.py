"""The library: versions of models and data sets, their lineage and evaluations, and the training jobs that make them.

Pure: this package builds requests to SageMaker as plain mappings (training_jobs.py, pipeline.py), and checks and records the
result of a finished job through ports (registration.py). It does not decide what is deployed.
"""
