"""The command line as people and scripts use it: exit statuses, one clear line for what goes wrong, JSON."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tierwise.cli import build

Run = Callable[..., subprocess.CompletedProcess[str]]
TIERWISE = Path(sys.executable).with_name("tierwise")
SECRET_KEY = "a-secret-key-of-the-tests-with-32-characters"


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tierwise-cli-"))
    path.chmod(0o711)  # where we are root the server runs as another user
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def run(data_dir: Path) -> Run:
    """Runs `tierwise` with nothing configured but the data directory and the settings given by name."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
        environment["TIERWISE_DATA_DIR"] = str(data_dir)
        environment |= {f"TIERWISE_{name}": value for name, value in settings.items()}
        return subprocess.run(
            [str(TIERWISE), *arguments], env=environment, cwd=data_dir, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture(scope="module")
def migrated(run: Run) -> None:
    assert run("key", "list").returncode == 1
    done = run("migrate")
    assert (done.returncode, done.stderr) == (0, "")


def test_version_and_help_need_no_configuration(run: Run) -> None:
    assert run("--version").stdout.startswith("tierwise ")
    shown = run("--help")
    assert shown.returncode == 0
    for command in ("migrate", "key", "doctor"):
        assert command in shown.stdout


IMPORTED = "import sys; from tierwise.cli import build; build(*sys.argv[1:]); print(*sorted(sys.modules))"


@pytest.mark.parametrize(
    ("first", "waits_for", "does_not_wait_for"),
    [
        ("--version", "typer", "sqlalchemy"),
        ("rulebook", "tierwise_scoring", "tierwise_ingest"),
        ("doctor", "sqlalchemy", "fastapi"),
        ("key", "tierwise.security.keys", "pyarrow"),
    ],
)
def test_a_command_waits_for_the_imports_of_no_other(first: str, waits_for: str, does_not_wait_for: str) -> None:
    imported = subprocess.check_output([sys.executable, "-c", IMPORTED, first], text=True).split()
    assert waits_for in imported
    assert does_not_wait_for not in imported


def test_a_mistyped_command_is_told_from_all_that_there_are(run: Run) -> None:
    done = run("digset")
    assert done.returncode == 2
    assert "'digest'" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("key", "create"),
        ("key", "create", "--source", ""),
        ("key", "create", "--source", "a", "--reader", "b"),
        ("key", "create", "--reader", "a", "--browser"),
        ("key", "create", "--source", "a", "--scope", "write"),
        ("key", "create", "--reader", "a", "--scope", "everything"),
        ("key", "revoke"),
    ],
)
def test_wrong_use_is_status_2(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(build(), arguments).exit_code == 2


def test_a_wrong_setting_is_status_2_and_named_without_a_traceback(run: Run) -> None:
    done = run("migrate", INGEST_PORT="many")
    assert done.returncode == 2
    assert done.stderr.startswith("tierwise: TIERWISE_INGEST_PORT: ")


@pytest.mark.usefixtures("migrated")
def test_a_key_is_made_listed_and_revoked(run: Run) -> None:
    created = json.loads(run("key", "create", "--source", "shop", "--json").stdout)
    assert set(created) == {"id", "name", "secret"}
    assert created["secret"].startswith(f"tw_w_{created['id']}_")
    reader = run("key", "create", "--reader", "board", "--scope", "pii:read")
    assert reader.stdout.startswith("tw_r_")
    assert run("key", "revoke", created["id"]).returncode == 0
    listed = run("key", "list", "--json")
    assert created["secret"] not in listed.stdout
    by_name = {row["name"]: row for row in json.loads(listed.stdout)}
    assert by_name["shop"]["revoked_at"] is not None
    assert by_name["board"]["scopes"] == ["pii:read"]
    assert "shop" in run("key", "list").stdout


@pytest.mark.usefixtures("migrated")
def test_an_unknown_key_to_revoke_fails_in_one_line(run: Run) -> None:
    done = run("key", "revoke", "nothing")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nothing" in done.stderr


@pytest.mark.usefixtures("migrated")
def test_migrating_again_changes_nothing(run: Run) -> None:
    again = run("migrate")
    assert (again.returncode, again.stderr) == (0, "")


@pytest.mark.usefixtures("migrated")
def test_the_doctor_finds_a_migrated_database_well(run: Run) -> None:
    done = run("doctor", "--json")
    found = {finding["check"]: finding["status"] for finding in json.loads(done.stdout)}
    assert set(found) == {"database", "migrations", "keys", "stream", "clock", "disk"}
    assert "fail" not in found.values()
    assert done.returncode == 0


@pytest.mark.usefixtures("migrated")
def test_a_wrong_secret_key_fails_in_one_line(run: Run, data_dir: Path) -> None:
    kept = data_dir / "secret.key"
    aside = kept.rename(data_dir / "secret.key.aside")
    try:
        done = run("key", "list", SECRET_KEY=SECRET_KEY)
        doctor = run("doctor", "--json", SECRET_KEY=SECRET_KEY)
    finally:
        aside.rename(kept)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "TIERWISE_SECRET_KEY" in done.stderr
    assert {finding["check"]: finding["status"] for finding in json.loads(doctor.stdout)}["keys"] == "fail"


def test_a_database_that_is_away_fails_in_one_line_that_says_so(run: Run) -> None:
    away = "postgresql://someone:geheim@127.0.0.1:1/nothing"
    done = run("key", "list", DATABASE_URL=away, SECRET_KEY=SECRET_KEY)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "127.0.0.1:1 cannot be reached" in done.stderr
    doctor = run("doctor", DATABASE_URL=away, SECRET_KEY=SECRET_KEY)
    assert doctor.returncode == 1
    assert "geheim" not in done.stderr + doctor.stdout + doctor.stderr


@pytest.mark.usefixtures("migrated")
def test_a_data_directory_of_another_version_fails_with_what_to_do(run: Run, data_dir: Path) -> None:
    version = data_dir / "postgres" / "PG_VERSION"
    before = version.read_text()
    version.write_text("14\n")
    try:
        done = run("migrate")
        doctor = run("doctor", "--json")
    finally:
        version.write_text(before)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "PostgreSQL 14" in done.stderr
    assert json.loads(doctor.stdout)[0]["status"] == "fail"


def test_a_rulebook_that_is_not_there_fails_in_one_line(run: Run, data_dir: Path) -> None:
    done = run("migrate", DATA_DIR=str(data_dir / "other"), RULEBOOK="/nowhere/rulebook.yaml")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "/nowhere/rulebook.yaml" in done.stderr


def test_the_migrations_are_compared_with_the_tables_without_any_configuration(run: Run) -> None:
    done = run("migrate", "--check", DATABASE_URL="postgresql://127.0.0.1:1/away")
    assert (done.returncode, done.stderr) == (0, "")
