"""Making a bundle of a model that somebody exported to ONNX; needs the extra ``onnx``."""
