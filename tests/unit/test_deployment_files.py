"""The files that deployments are made of: what they say to be safe, and that they name what there is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from tierwise.cli import build
from tierwise.db.roles import ROLES
from tierwise.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm"
TEMPLATES = "\n".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))
OURS = ("migrate", "ingest", "scoring", "profile-api")

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


def tool(name: str) -> str:
    """Of the machine, or beside this Python."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed here: the other tests of this file look at the same files without it")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


GUIDE = (DEPLOY.parent / "docs" / "operations.md").read_text()


@pytest.mark.parametrize(
    "text", [GUIDE, (DEPLOY / "Dockerfile").read_text(), yaml.safe_dump(COMPOSE), TEMPLATES, str(VALUES)]
)
def test_only_settings_that_there_are_are_named(text: str) -> None:
    names = {name.removesuffix("_FILE") for name in re.findall(r"TIERWISE_(\w+)", text)}
    fields = {field.upper().removesuffix("_FILE") for field in Settings.model_fields}

    assert names
    assert names <= fields


def test_the_image_runs_as_nobody_in_particular_and_holds_no_build_tools() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]

    assert "USER 10001:10001" in last
    assert not [line for line in last if line.startswith(("RUN ", "ADD "))]
    assert [line for line in last if line.startswith("COPY ")] == ["COPY --from=built /opt/tierwise /opt/tierwise"]
    assert "--require-hashes" in "\n".join(lines)
    assert not re.search(r"https?://|--index-url|--extra-index", "\n".join(lines))


def test_the_dockerfile_is_as_hadolint_likes_it() -> None:
    run(tool("hadolint"), DEPLOY / "Dockerfile")


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_compose_may_do_little(name: str) -> None:
    service = COMPOSE["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "10001:10001"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert ("healthcheck" in service) == (name != "migrate")


@pytest.mark.parametrize("name", [*OURS, "postgres", "kafka"])
def test_secrets_of_compose_are_files_and_each_service_has_its_own_alone(name: str) -> None:
    service = COMPOSE["services"][name]
    environment = {key: str(value) for key, value in service["environment"].items()}
    named = {value.removeprefix("/run/secrets/") for value in environment.values() if "/run/secrets/" in value}
    role = {"migrate": "migrator"}.get(name, name.replace("-", "_"))

    assert not [key for key in environment if re.search(r"(PASSWORD|SECRET_KEY|DATABASE_URL)$", key)]
    assert named <= set(service.get("secrets", ()))
    if name in OURS:
        assert set(service["secrets"]) == {"secret_key", f"{role}_database_url"}


def test_compose_makes_every_secret_that_it_mounts(tmp_path: Path) -> None:
    run("sh", DEPLOY / "secrets.sh", tmp_path / "secrets")
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    run("sh", DEPLOY / "secrets.sh", tmp_path / "secrets")

    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made
    assert {Path(one["file"]).name for one in COMPOSE["secrets"].values()} == set(made)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    for service, role in ROLES._asdict().items():
        url = f"postgresql://{role}:{made[f'{service}_password']}@postgres/tierwise"
        assert made[f"{service}_database_url"] == url
    assert len({*made.values()}) == len(made)


def test_a_pod_of_the_chart_may_do_little() -> None:
    said = yaml.safe_load(re.search(r"^securityContext:\n(?:  .*\n)+", TEMPLATES, re.MULTILINE)[0])  # type: ignore[index]
    own = re.search(r"^    securityContext:\n(?:      .*\n)+", TEMPLATES, re.MULTILINE)
    assert own is not None
    container = yaml.safe_load(own[0])

    assert said["securityContext"]["runAsNonRoot"] is True
    assert said["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for needed in ("automountServiceAccountToken: false", "livenessProbe:", "readinessProbe:", "startupProbe:"):
        assert needed in TEMPLATES
    kinds = set(re.findall(r"^kind: (\w+)$", TEMPLATES, re.MULTILINE))
    assert kinds == {"PodDisruptionBudget", "Deployment", "Service", "Job"}


def test_the_chart_has_the_services_that_there_are() -> None:
    assert set(VALUES["services"]) == {service.replace("_", "-") for service in ROLES._fields}
    for name, service in VALUES["services"].items():
        field = f"{name.replace('-', '_')}_port"
        assert service["port"] == Settings.model_fields[field].default


def test_helm_takes_the_chart_and_makes_each_service_of_it() -> None:
    made = [one for one in yaml.safe_load_all(run(tool("helm"), "template", "shop", CHART)) if one]
    pods = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in made if "template" in one["spec"]}

    assert set(pods) == {f"shop-{name}" for name in OURS}
    for pod in pods.values():
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_image_gets_what_services_need_and_no_tools() -> None:
    lock = DEPLOY.parent / "requirements.lock"
    part = run(sys.executable, DEPLOY / "runtime.py", lock)
    names = set(re.findall(r"^([\w.-]+)==", part, re.MULTILINE))

    assert {"asyncpg", "aiokafka", "fastapi", "numpy", "uvloop"} <= names
    assert not {"pytest", "mypy", "ruff", "playwright", "hypothesis"} & names
    assert set(part.splitlines()) <= set(lock.read_text().splitlines())
    assert part.count("--hash=sha256:") > 5 * len(names)


def test_roles_of_the_file_are_those_that_migrate_grants_to() -> None:
    made = set(re.findall(r"'(tierwise_\w+)'", (DEPLOY / "postgresql" / "roles.sql").read_text()))

    assert made == {*ROLES, "tierwise_migrator"}


def test_the_page_about_operating_names_only_commands_files_and_targets_that_there_are() -> None:
    command = typer.main.get_command(build())
    assert isinstance(command, TyperGroup)
    commands = set(command.commands)
    targets = set(re.findall(r"^([a-z]+):", (DEPLOY.parent / "Makefile").read_text(), re.MULTILINE))
    paths = re.findall(r"(?:deploy|shared)/[\w./-]*\w", GUIDE)

    assert set(re.findall(r"^ *tierwise ([a-z-]+)", GUIDE, re.MULTILINE)) <= commands
    assert set(re.findall(r"`tierwise ([a-z-]+)", GUIDE)) <= commands
    assert set(re.findall(r"`make ([a-z]+)", GUIDE)) <= targets
    assert [path for path in paths if not (DEPLOY.parent / path).exists()] == []
