-- Roles for a database of one's own: run once, in that database, by somebody who may make roles:
--
--     psql --file deploy/postgresql/roles.sql "postgresql://postgres@db.example.com/tierwise"
--
-- Then give each a password (\password tierwise_ingest, ...), run `tierwise migrate` as tierwise_migrator, which owns
-- the tables and grants to the others what they need, and set TIERWISE_DATABASE_URL of each service to its own role.
-- Running it again changes nothing.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['tierwise_migrator', 'tierwise_ingest', 'tierwise_scoring', 'tierwise_profile_api'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', wanted);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO tierwise_migrator;
GRANT USAGE ON SCHEMA public TO tierwise_ingest, tierwise_scoring, tierwise_profile_api;
