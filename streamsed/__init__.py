"""streamsed: streaming sound event detection."""

import os

__version__ = "0.1.0"

# onnxruntime's packages report their use to their maker, and keep an identifier of the machine in
# the user's cache, unless this is set before they are first imported. What listens in a home does
# neither; ORT_DISABLE_TELEMETRY=0 in the environment is a choice that is respected.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
