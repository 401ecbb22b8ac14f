"""`tierwise subscribe`: what leaves on a topic, as it leaves."""
