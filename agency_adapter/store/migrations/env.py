"""Alembic's entry: run the migrations on the connection that the adapter gives."""

from alembic import context

from agency_adapter.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
