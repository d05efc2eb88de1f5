"""The library: what was made, from what, and how it was judged; and the training jobs that make it.

Pure: requests to SageMaker are built here as plain mappings (training_jobs.py, pipeline.py), what a finished job left is
judged and recorded through ports (registration.py). What is deployed is not decided here.
"""
