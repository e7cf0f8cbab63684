"""`python -m service.migrate`: updates the database's schema as a separate step, then ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from service.db.migrate import Standing, UnfitDatabase, migrate, standing
from service.db.postgres_migration import WAIT_SECONDS
from service.db.sqlite_lock import DatabaseTaken, exclusive_use
from service.settings import SettingsError, load_database_url

DONE, BEHIND, BAD_USAGE = 0, 1, 2


def main() -> int:
    """The exit status: 0 if the schema is up to date, 1 with --check if it is not, 2 after an error."""
    options = _arguments()
    try:
        url = load_database_url()
        with named_setting():
            if options.check:
                return _check(standing(url))
            with exclusive_use(url):
                before = migrate(url, seconds=options.wait, say=_say)
                if before.behind:
                    print(f"migrated from revision {before.found or 'none'} to {before.wanted}")
                else:
                    _say_current(before)
    except SettingsError as error:
        _say(str(error))
        return BAD_USAGE
    return DONE


@contextmanager
def named_setting() -> Iterator[None]:
    """Turns database errors into messages that name the setting. Raises SettingsError."""
    try:
        yield
    except (DatabaseTaken, UnfitDatabase) as error:
        raise SettingsError(f"BATON_DATABASE_URL: {error}") from None
    except (SQLAlchemyError, OSError) as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        raise SettingsError(f"BATON_DATABASE_URL: the database cannot be migrated: {cause}") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="baton migrate", description="Updates the schema of the database.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 when a migration is due")
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, metavar="S", help="seconds to wait for locks")
    return parser.parse_args()


def _check(found: Standing) -> int:
    if found.behind:
        print(f"the schema is at revision {found.found or 'none'}, behind {found.wanted}: run `baton migrate`")
        return BEHIND
    _say_current(found)
    return DONE


def _say_current(found: Standing) -> None:
    newer = f", newer than {found.wanted}; this version can use it" if found.newer else ": up to date"
    print(f"the schema is at revision {found.found}{newer}")


def _say(text: str) -> None:
    print(f"baton: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
