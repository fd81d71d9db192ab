#!/bin/sh
# What an administrator does in the platform's database, for the local stack:
#
#   database.sh platform     creates the database
#   database.sh exporters    creates the indexes and the exporters' users, once the platform has its tables
#
# Both can be run again.
set -eu
: "${SECRETS:=/secrets}" "${DEPLOY:=/deploy/mysql}" "${HOST:=mysql}" "${PORT:=3306}" "${SCHEMA:=platform}"
MYSQL_PWD="$(cat "$SECRETS/root")"
export MYSQL_PWD
client() { mysql --protocol=TCP --host="$HOST" --port="$PORT" --user=root "$@"; }

# rights FILE PASSWORD: fills the places of a file of grants and runs it.
rights() {
  sed "s/{{password}}/'$(cat "$SECRETS/$2")'/; s/{{host}}/'%'/; s/{{schema}}/$SCHEMA/" "$DEPLOY/$1" | client
}

# created INDEX tells whether there is an index of this name.
created() {
  [ "$(client --batch --skip-column-names --execute="SELECT COUNT(*) > 0 FROM information_schema.statistics WHERE table_schema = '$SCHEMA' AND index_name = '$1'")" = 1 ]
}

case "${1:-}" in
  platform)
    client --execute="CREATE DATABASE IF NOT EXISTS $SCHEMA"
    ;;
  exporters)
    # Some may be there already, which is no mistake; whether all are there, the last one of the file tells.
    last="$(sed -n 's/^CREATE INDEX .* \([a-z_]*\) ON .*/\1/p' "$DEPLOY/indexes.sql" | tail -n 1)"
    if ! created "$last"; then client --force "$SCHEMA" <"$DEPLOY/indexes.sql" || true; fi
    created "$last"
    rights grants.sql business
    rights grants-system.sql system
    rights grants-integration.sql integration
    ;;
  *)
    echo "usage: database.sh platform|exporters" >&2
    exit 1
    ;;
esac
