"""Audio sources: anything that delivers :class:`~streamsed.sources.block.Block`."""
