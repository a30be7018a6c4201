"""The criteria by which detections are right, a module each, and what they count."""
