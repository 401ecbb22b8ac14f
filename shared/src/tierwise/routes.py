"""Routes that are answered beside a framework, as plain ASGI."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry

from tierwise.asgi import HEALTH_PATHS, App, Check, MethodNotAllowed, Receive, Scope, Send, health_app


class Routes:
    """Applications by path and method. A path is literal, or has `{name}` for whole segments that vary, which the
    application finds in the scope's `path_params`."""

    def __init__(self) -> None:
        self._literal: dict[str, dict[str, App]] = {}
        self._varying: dict[int, list[tuple[Sequence[str], str, dict[str, App]]]] = {}

    def add(self, path: str, methods: Mapping[str, App]) -> None:
        """Raises ValueError where path and method are taken by another application."""
        if "{" not in path:
            known = self._literal.setdefault(path, {})
        else:
            segments = path.split("/")
            alike = self._varying.setdefault(len(segments), [])
            known = next((apps for _, other, apps in alike if other == path), {})
            if not known:
                alike.append((segments, path, known))
        if taken := sorted(method for method, app in methods.items() if known.get(method, app) is not app):
            raise ValueError(f"{path} is taken for {', '.join(taken)}")
        known.update(methods)

    def find(self, scope: Scope) -> tuple[str, App] | None:
        """(the path as it was added, the application), or None where no path fits. The application of a method that
        the path does not take raises MethodNotAllowed."""
        path, method = scope["path"], scope["method"]
        apps = self._literal.get(path)
        template = path
        if apps is None:
            found = self._find_varying(path)
            if found is None:
                return None
            template, apps, scope["path_params"] = found
        else:
            scope["path_params"] = {}
        return template, apps.get(method) or _refusing(apps)

    def _find_varying(self, path: str) -> tuple[str, dict[str, App], dict[str, str]] | None:
        segments = path.split("/")
        for pattern, template, apps in self._varying.get(len(segments), ()):
            parameters = {}
            for wanted, segment in zip(pattern, segments, strict=True):
                if wanted.startswith("{"):
                    parameters[wanted[1:-1]] = segment
                elif wanted != segment:
                    break
            else:
                return template, apps, parameters
        return None


def _refusing(apps: Mapping[str, App]) -> App:
    allowed = ", ".join(sorted(apps))

    async def refuse(_: Scope, __: Receive, ___: Send) -> None:
        raise MethodNotAllowed(f"This path takes {allowed}.", headers={"Allow": allowed})

    return refuse


def health_routes(checks: Mapping[str, Check], registry: CollectorRegistry) -> Routes:
    """Routes that hold `health_app`, for `Observed`; a service adds its own."""
    app, routes = health_app(checks, registry), Routes()
    for path in HEALTH_PATHS:
        routes.add(path, {"GET": app, "HEAD": app})
    return routes
