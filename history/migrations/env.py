"""How alembic reaches the database: through the connection that `history.versions` hands over."""

from alembic import context

from history.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
