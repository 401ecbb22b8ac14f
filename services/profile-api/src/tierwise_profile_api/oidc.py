"""Read keys of an identity provider: JWTs of an OpenID Connect issuer, checked with the keys that it publishes.

OpenID Connect Discovery 1.0, section 4: `jwks_uri` stands at ISSUER/.well-known/openid-configuration. RFC 7517: the
key is the one of the JWT's `kid`.
"""

from typing import Any, Final

import httpx
import jwt
from jwt import PyJWK

from tierwise.problem import Unauthorized, Unavailable
from tierwise.security.fresh import Fresh
from tierwise.security.keys import SCOPES, Reader
from tierwise.settings import Settings

ALGORITHMS: Final = ("RS256", "ES256")
_FRESH_S: Final = 60.0
_STALE_S: Final = 86_400.0
_TIMEOUT_S: Final = 5.0
_LEEWAY_S: Final = 30
_LENGTH_MAX: Final = 8_000

Keys = dict[str, PyJWK]


class Issuer:
    """One issuer's JWTs. Its keys are asked for at the first JWT and every few minutes, and go on for a day while it is
    away."""

    def __init__(self, issuer: str, audience: str, scope_claim: str) -> None:
        self._issuer, self._audience, self._scope_claim = issuer, audience, scope_claim
        self._keys: Fresh[str, Keys] = Fresh(_published, what="JWTs", fresh_s=_FRESH_S, stale_s=_STALE_S)

    @classmethod
    def of(cls, settings: Settings) -> "Issuer | None":
        """None where there is none. Raises ValueError where the audience is missing."""
        if settings.oidc_issuer is None:
            return None
        if not settings.oidc_audience:
            raise ValueError("TIERWISE_OIDC_ISSUER needs TIERWISE_OIDC_AUDIENCE: else any client's JWT would do")
        return cls(settings.oidc_issuer, settings.oidc_audience, settings.oidc_scope_claim)

    async def reader(self, token: str) -> Reader:
        """Whom the JWT says, with those of its scopes that there are. Raises Unauthorized, Unavailable."""
        if len(token) > _LENGTH_MAX:
            raise Unauthorized("This JWT is too long.")
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthorized(f"This JWT is not accepted: {error}.") from error
        name = claims.get("email") or claims.get("preferred_username") or claims["sub"]
        return Reader(
            id=f"oidc:{claims['sub']}", name=str(name), scopes=self._scopes(claims), ends_s=claims["exp"] + _LEEWAY_S
        )

    def _scopes(self, claims: dict[str, Any]) -> frozenset[str]:
        given = claims.get(self._scope_claim, "")
        listed = given if isinstance(given, list) else str(given).split()
        return frozenset(one for one in listed if isinstance(one, str)).intersection(SCOPES)

    async def _key(self, kid: str) -> PyJWK:
        keys = await self._keys.get(self._issuer) or {}
        if kid not in keys:
            raise Unauthorized("This JWT is signed with a key that its issuer does not publish.")
        return keys[kid]


async def _published(issuer: str) -> Keys:
    """The issuer's signing keys by `kid`. Raises OSError while it is away, Unavailable where it answers nonsense."""
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        try:
            address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            document = (await client.get(address)).raise_for_status().json()
            published = (await client.get(document["jwks_uri"])).raise_for_status().json()
            wanted = [one for one in published["keys"] if one.get("use", "sig") == "sig" and one.get("kid")]
            return {one["kid"]: PyJWK(one) for one in wanted if one["kty"] in ("RSA", "EC")}
        except httpx.HTTPError as error:
            raise ConnectionError(f"{issuer} cannot be asked for its keys: {error}") from error
        except (ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            raise Unavailable(f"What {issuer} publishes is no set of keys.", retry_after_s=10) from error
