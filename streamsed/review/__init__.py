"""Reviews of events: what people decided about them, beside the journal."""
