"""Apply pending migrations in order, each in a transaction of its own, as most tools do."""

import os
from pathlib import Path

import psycopg2

session = psycopg2.connect(os.environ["MIGRATE_DSN"])
for path in sorted(Path("migrations").glob("*.sql")):
    with session, session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM public.schema_migrations WHERE version = %s", (path.stem,))
        if cursor.fetchone() is None:
            print(f"applying {path.stem}", flush=True)  # noqa: T201 - a tool talks to its user
            cursor.execute(path.read_text())
            cursor.execute("INSERT INTO public.schema_migrations (version) VALUES (%s)", (path.stem,))
session.close()
