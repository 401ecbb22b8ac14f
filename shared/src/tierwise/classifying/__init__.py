"""Customers from a file of interactions: found by their identifiers, folded and classified, without any service."""
