"""Builds model bundles for streamsed. Needs the extra ``train``; the runtime never imports it."""
