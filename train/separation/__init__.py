"""Separation of a mixture into its sources: losses, figures, and what is done with them."""
