"""The reads that frontends make most, without the framework's way there: a current view by id or by identifier."""

from typing import Final

from fastapi import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from tierwise_profile_api.authenticate import PROFILES, holding
from tierwise_profile_api.routes import customers

_CUSTOMERS: Final = "/v1/customers/"
_BY: Final = "/v1/customers/by/"


class HotReads:
    """Answers these with the handlers that the framework would find, which costs it 0.2 ms: four times what the row
    does. Whatever has parameters, or is anything else, goes the long way, where it is checked."""

    def __init__(self, app: ASGIApp, api: ASGIApp) -> None:
        """`api`: the application that has the handlers."""
        self._app, self._api = app, api
        self._reader = holding(PROFILES)
        found = {route.endpoint: route for route in customers.router.routes if hasattr(route, "endpoint")}
        self._by_id: BaseRoute = found[customers.read_customer]
        self._by_identifier: BaseRoute = found[customers.read_customer_by_identifier]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path.startswith("c_", len(_CUSTOMERS)) and path.startswith(_CUSTOMERS) and path.count("/") == 3:
            request = self._request(scope, self._by_id, {"customer_id": path[len(_CUSTOMERS) :]})
            response = await customers.read_customer(request, await self._reader(request), **request.path_params)
        elif path.startswith(_BY) and path.count("/") >= 5:
            kind, _, value = path[len(_BY) :].partition("/")
            request = self._request(scope, self._by_identifier, {"kind": kind, "value": value})
            reader = await self._reader(request)
            response = await customers.read_customer_by_identifier(request, reader, **request.path_params)
        else:
            await self._app(scope, receive, send)
            return
        await response(scope, receive, send)

    def _request(self, scope: Scope, route: BaseRoute, parameters: dict[str, str]) -> Request:
        scope["app"], scope["route"], scope["path_params"] = self._api, route, parameters
        return Request(scope)
