"""Webhooks: subscriptions to published changes, their secrets, and the log of what was sent to them."""
