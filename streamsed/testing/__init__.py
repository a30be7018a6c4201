"""Doubles for tests of programs that use streamsed, and of streamsed itself.

``tone_bundle`` writes a small real bundle that reports tones (it needs the extra ``onnx``), and
audio whose events are known; ``scripted_source`` delivers what a script lists; ``proxy`` stalls and
cuts connections.
"""
