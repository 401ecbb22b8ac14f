#!/bin/sh
# Makes the secrets of compose.yaml, each in a file of its own, unless they are there: sh deploy/secrets.sh [DIRECTORY]
set -eu
umask 022
directory="${1:-$(dirname "$0")/secrets}"
mkdir -p "$directory"
# The directory keeps others of this machine out; containers, which see the files alone, run as another user.
chmod 700 "$directory"
made() {
  [ -s "$directory/$1" ] || python3 -c 'import secrets; print(secrets.token_urlsafe(32), end="")' > "$directory/$1"
}
made secret_key
made postgres_password
for role in migrator ingest scoring profile_api; do
  made "${role}_password"
  printf 'postgresql://tierwise_%s:%s@postgres/tierwise' "$role" "$(cat "$directory/${role}_password")" \
    > "$directory/${role}_database_url"
done
