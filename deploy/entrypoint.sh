#!/bin/sh
# Build DATABASE_URL from a password file, so that no file of the deployment holds the password.
set -eu

if [ -z "${DATABASE_URL:-}" ] && [ -n "${DATABASE_PASSWORD_FILE:-}" ]; then
    DATABASE_URL=$(python -c '
import os
from pathlib import Path
from urllib.parse import quote

env = os.environ
password = Path(env["DATABASE_PASSWORD_FILE"]).read_text().strip()
if not password:
    raise SystemExit("The file DATABASE_PASSWORD_FILE names is empty")
user, name = env.get("DATABASE_USER", "configsync"), env.get("DATABASE_NAME", "configsync")
host, port = env.get("DATABASE_HOST", "db"), env.get("DATABASE_PORT", "5432")
login = f"{quote(user, safe=str())}:{quote(password, safe=str())}"
print(f"postgresql://{login}@{host}:{port}/{quote(name, safe=str())}")
')
    export DATABASE_URL
fi

exec python -m app "$@"
