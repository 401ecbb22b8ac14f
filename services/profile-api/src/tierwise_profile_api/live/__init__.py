"""Changes as they happen, as server-sent events: one reader of the database a process, however many listen."""
