#!/bin/sh
# Run by PostgreSQL's image when it makes its data directory: the roles of roles.sql get the passwords of the secrets.
set -eu
for role in migrator ingest scoring profile_api; do
  # By standard input: arguments can be seen by others.
  psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<END
\\set password \`cat "${SECRETS:-/run/secrets}/${role}_password"\`
SET password_encryption = 'scram-sha-256';
ALTER ROLE tierwise_$role PASSWORD :'password';
END
done
