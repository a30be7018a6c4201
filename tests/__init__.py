import streamsed  # noqa: F401 - before onnxruntime: it decides about telemetry
