"""Numbered SQL files, applied once each, in order, by one starting service at a time."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from runtime import failpoints
from runtime.errors import StartupError

MIGRATIONS_FOLDER: Final = Path(__file__).parent / "migrations"
# Any number, the same for every service that shares the database.
_MIGRATION_LOCK: Final = 0x7477_696E_0001
_FILE_NAME: Final = re.compile(r"(?P<number>\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str
    sha256: str


def read_migrations(folder: Path) -> list[Migration]:
    """Returns the folder's migrations in order; raises StartupError when their numbers have a gap or a double."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise StartupError(f"{path.name} is no migration's name; use 0001_what_it_does.sql")
        sql = path.read_text(encoding="utf-8")
        migrations.append(Migration(int(match["number"]), path.name, sql, hashlib.sha256(sql.encode()).hexdigest()))
    if [migration.number for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise StartupError(f"the migrations in {folder} are not numbered 1, 2, 3, ... without a gap")
    return migrations


async def migrate(connection: "asyncpg.Connection[Any]", folder: Path = MIGRATIONS_FOLDER) -> int:
    """Applies what is missing and returns how many that were.

    Raises StartupError when an applied file was edited since, when the database is newer than this build, or when
    pgvector cannot be had.
    """
    migrations = read_migrations(folder)
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
        try:
            async with connection.transaction():
                await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError, asyncpg.InsufficientPrivilegeError):
            raise StartupError(
                "the database lacks pgvector; install it there and run CREATE EXTENSION vector as a superuser"
            ) from None
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY, name text NOT NULL, "
            "sha256 text NOT NULL, apply_time timestamptz NOT NULL DEFAULT now())"
        )
        rows = await connection.fetch("SELECT number, name, sha256 FROM migrations ORDER BY number")
        if len(rows) > len(migrations):
            raise StartupError("the database was made by a newer version of this service; start that one")
        for row, migration in zip(rows, migrations, strict=False):
            if row["sha256"] != migration.sha256:
                raise StartupError(
                    f"migration {row['name']} was edited after it was applied; restore it and add a new one instead"
                )
        for migration in migrations[len(rows) :]:
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO migrations (number, name, sha256) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.sha256,
            )
            await failpoints.reach_async("migration.between_files")
        await failpoints.reach_async("migration.before_commit")
    return len(migrations) - len(rows)
