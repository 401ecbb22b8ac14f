"""Errors that a caller can do something about, as RFC 9457 problem details."""

from typing import Any, ClassVar


class Problem(Exception):  # noqa: N818  (RFC 9457's word)
    """Raised anywhere below a service's edge, answered there as `application/problem+json`.

    Subclasses name `status`, `code` (stable, snake_case, what programs compare) and `title`;
    `detail` says what was wrong this time and what to do next; `extra` are further members.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "The request cannot be understood"

    def __init__(self, detail: str, *, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}
        self.extra = extra

    def members(self) -> dict[str, Any]:
        """The problem details object (RFC 9457, section 3.1)."""
        return {
            "type": f"urn:tierwise:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extra,
        }


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "A valid key is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="tierwise"'})


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "The key does not allow this"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is no such thing"


class Unavailable(Problem):
    """A component that the request needs is slow or away; repeating later is safe."""

    status, code, title = 503, "unavailable", "Try again shortly"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})
