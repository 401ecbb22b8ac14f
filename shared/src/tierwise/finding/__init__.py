"""Conditions on customers: by facets, and by expressions in the rulebook's language, as SQL."""
