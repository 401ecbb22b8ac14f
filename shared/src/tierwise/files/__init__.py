"""Interactions from files: rows of CSV, NDJSON or Parquet, mapped, given their ids and validated."""
