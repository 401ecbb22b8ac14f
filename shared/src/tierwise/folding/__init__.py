"""Folding interactions into customers: a batch that arrives, or a history that is stored, as of any time."""
