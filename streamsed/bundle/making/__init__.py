"""Making a bundle of any model that was exported to ONNX; needs the extra ``onnx``."""
