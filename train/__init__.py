"""Builds model bundles for streamsed. Needs the extra ``train``; the runtime never imports it."""

import streamsed  # noqa: F401 - before onnxruntime: it decides about telemetry
