"""Runs the migrations on a connection that is handed in, or on the URL of alembic.ini."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from service.storage.database import connect
from service.storage.tables import Table


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_by_url() -> None:
    engine = connect(context.config.get_main_option("sqlalchemy.url", ""))
    with engine.begin() as connection:
        _run(connection)
    engine.dispose()


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("freshet's migrations need a database to run on; --sql is not supported")
if given is None:
    _run_by_url()
else:
    _run(given)
