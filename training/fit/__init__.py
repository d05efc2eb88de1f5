"""From decisions to fitted members: the model families, their weights and calibration, and their ONNX files."""
