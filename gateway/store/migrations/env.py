"""Alembic's entry: run the migrations on the connection that the gateway gives."""

from alembic import context

from gateway.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    connection = context.get_bind()
    if connection.dialect.name == "postgresql":
        # Two processes that find an empty database at once: the second one finds it made.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '30s'")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7214)")
    context.run_migrations()
