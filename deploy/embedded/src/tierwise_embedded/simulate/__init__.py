"""A believable population and what it does, the same for the same seed."""
