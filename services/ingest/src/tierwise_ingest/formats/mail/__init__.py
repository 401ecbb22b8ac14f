"""The webhooks of e-mail providers: a file each, and what they share."""
