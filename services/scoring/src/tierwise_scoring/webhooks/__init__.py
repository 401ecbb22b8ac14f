"""Sending changes to subscriptions."""
