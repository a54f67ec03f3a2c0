#!/bin/sh
# Applies what migrations/ has and the database has not.
set -eu
. ./.deploy.env
export MIGRATE_DSN
exec "$PYTHON" ops/migrate.py
