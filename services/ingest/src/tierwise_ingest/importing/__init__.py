"""Interactions from files, straight onto the stream."""
