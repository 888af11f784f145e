#!/bin/sh
# Run once by the PostgreSQL image on an empty data folder: the database, its owner, and the application's login.
# Their passwords are those in the connection strings, which only files hold.
set -eu

psql --set ON_ERROR_STOP=1 --no-psqlrc --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\set owner_password `sed -E 's|^[a-z]+://[^:]+:([^@]+)@.*$|\1|' "${SECRETS:-/run/secrets}/owner_url"`
\set app_password `sed -E 's|^[a-z]+://[^:]+:([^@]+)@.*$|\1|' "${SECRETS:-/run/secrets}/app_url"`
CREATE ROLE dealtrace_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE dealtrace_app LOGIN PASSWORD :'app_password';
CREATE DATABASE dealtrace OWNER dealtrace_owner;
REVOKE ALL ON DATABASE dealtrace FROM PUBLIC;
GRANT CONNECT ON DATABASE dealtrace TO dealtrace_app;
SQL
