"""Fits members to decisions: the model families, their weights and calibration, and their ONNX files."""
