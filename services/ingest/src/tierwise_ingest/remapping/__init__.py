"""Reading again what webhooks sent and an older version, or an older mapping, did not know."""
