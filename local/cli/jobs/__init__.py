"""`signalbox jobs`: training jobs and the pipeline in your AWS account."""
