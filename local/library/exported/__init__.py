"""What an export for another server brings along: code that needs numpy and onnxruntime, and nothing of Signalbox."""
