"""The authority's store: the journal, the dead letters, and what it has signed. SQLite, or PostgreSQL in production."""
