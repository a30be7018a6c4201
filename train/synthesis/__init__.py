"""Procedural sounds for classes of which there are no or too few recordings.

:func:`train.synthesis.catalogue.synthesise` is the entry; the modules beside it hold one family
of sounds each.
"""
