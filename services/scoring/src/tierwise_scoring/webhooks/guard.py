"""Connecting to receivers only, never into the network that Tierwise itself stands in.

The address is checked that the connection is made to, after the name was looked up and in the same breath: a name that
leads elsewhere the second time gains nothing. TLS and the Host header go by the name as ever.
"""

import asyncio
import socket
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

import httpcore

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOOKUPS: Final = 32


class AddressRefused(httpcore.ConnectError):
    """The message says which address, and what would allow it."""


class Lookups:
    """Looks up names in threads of its own, each name once at a time: a name server that hangs holds up one thread for
    each name, and nothing else that looks up names."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-lookup")
        self._running: dict[str, asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str) -> list[Address]:
        """Raises OSError."""
        if (running := self._running.get(host)) is None:
            running = asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host)
            self._running[host] = running
            running.add_done_callback(lambda _: self._running.pop(host))
        return await asyncio.shield(running)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str) -> list[Address]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [ip_address(entry[4][0]) for entry in found]


class Guard(httpcore.AsyncNetworkBackend):
    """`allowed`: networks that may be connected to. `public`: every address may that is one of the internet's."""

    def __init__(self, lookups: Lookups, allowed: Collection[Network], *, public: bool) -> None:
        self._lookups, self._allowed, self._public = lookups, allowed, public
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (the port's own)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises AddressRefused, and what httpcore raises of connections."""
        try:
            async with asyncio.timeout(timeout):
                found = await self._lookups.addresses(host)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} could not be looked up in {timeout:g} s") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be looked up: {error}") from error
        permitted = [address for address in found if self._permits(address)]
        if not permitted:
            raise AddressRefused(self._refusal(host, found))
        for address in permitted[:-1]:
            try:
                return await self._connect(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._connect(permitted[-1], port, timeout, local_address, socket_options)

    async def _connect(self, address: Address, port: int, *options: Any) -> httpcore.AsyncNetworkStream:
        return await self._backend.connect_tcp(str(address), port, *options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _permits(self, address: Address) -> bool:
        return all(
            any(one in network for network in self._allowed)
            or (self._public and one.is_global and not one.is_multicast)
            for one in meant(address)
        )

    def _refusal(self, host: str, found: Iterable[Address]) -> str:
        where = ", ".join(dict.fromkeys(map(str, found)))
        why = "is no address of the internet" if self._public else "is only sent to with https"
        return f"{host} ({where}) {why}: TIERWISE_WEBHOOK_ALLOWED_NETWORKS may allow it"


def meant(address: Address) -> Iterator[Address]:
    """Every address that packets to this one may reach: an IPv4 address may be wrapped in one of IPv6."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    else:
        yield address
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)
