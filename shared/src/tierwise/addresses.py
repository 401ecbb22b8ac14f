"""Where the services of one machine serve."""

from tierwise.settings import Settings


def addresses(settings: Settings) -> dict[str, tuple[str, int]]:
    """Host and port of each service; port 0: any."""
    return {
        "ingest": (settings.ingest_host, settings.ingest_port),
        "scoring": (settings.scoring_host, settings.scoring_port),
        "profile-api": (settings.profile_api_host, settings.profile_api_port),
    }


def url_of(service: str, settings: Settings) -> str:
    """By which this machine reaches it."""
    host, port = addresses(settings)[service]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  (compared, not bound)
    return f"http://{host}:{port}"
