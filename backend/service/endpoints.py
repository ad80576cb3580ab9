"""Where the service listens: loopback by itself, anything else only for clients whose CURVE keys it knows."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import zmq
import zmq.auth.thread

from backend.errors import InputError, OutputError
from backend.process_ids import is_alive
from backend.service.handshakes import failed_handshakes_logged
from blender_addon.protocol.codec import MAX_BUFFER_BYTES
from blender_addon.protocol.keys import ClientKeys

try:
    import fcntl
except ImportError:  # not on Windows, where a folder is not locked
    fcntl = None

FOLDER_PREFIX = "emorig-service-"
LOCK_NAME = "lock"
QUEUED_MESSAGES = 16
HEARTBEAT_MS = 5000
EVERY_INTERFACE = ("0.0.0.0", "*", "::", "[::]")
SERVER_FILE, CLIENT_FILE = "server.json", "client.json"


@dataclass(frozen=True)
class ServiceKeys:
    """The service's CURVE key pair, the public keys of the clients that may come (Z85 text), and the token."""

    public: str
    secret: str
    clients: tuple[str, ...]
    token: str

    @classmethod
    def read(cls, folder: Path) -> ServiceKeys:
        """Reads the keys that make_keys wrote. Raises InputError."""
        try:
            fields = json.loads((folder / SERVER_FILE).read_text(encoding="utf-8"))
            clients = tuple(str(key) for key in fields["clients"])
            return cls(str(fields["public"]), str(fields["secret"]), clients, str(fields["token"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"Cannot read the service's keys in {folder}: choose a new folder to have keys made."
            ) from error


def make_keys(folder: Path, *, address: str) -> tuple[Path, Path]:
    """Makes the keys of a service and of one client in a folder. Returns the two files, server's and client's.

    address: how the client reaches the service, tcp://host:port. Existing keys are kept: OutputError.
    """
    server_public, server_secret = (key.decode() for key in zmq.curve_keypair())
    client_public, client_secret = (key.decode() for key in zmq.curve_keypair())
    token = secrets.token_urlsafe(32)
    server = ServiceKeys(server_public, server_secret, (client_public,), token)
    client = ClientKeys(address, token, server_public, client_public, client_secret)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = folder / SERVER_FILE, folder / CLIENT_FILE
    for path in paths:
        if path.exists():
            raise OutputError(f"There are keys in {path} already: use them, or choose another folder.")
    for path, keys in zip(paths, (server, client)):
        _write_private(path, asdict(keys))
    return paths


def add_client(folder: Path, name: str, *, address: str | None = None) -> Path:
    """Makes the keys of one more client and puts its public key on the service's list. Returns the client's file.

    address: how it reaches the service, None as the first client does. Raises InputError and OutputError.
    """
    if not name.isidentifier():
        raise InputError(f"A client's name should be letters, digits and underscores, got '{name}'.")
    server = ServiceKeys.read(folder)
    path = folder / f"client-{name}.json"
    if path.exists():
        raise OutputError(f"There are keys in {path} already: choose another name.")
    public, secret = (key.decode() for key in zmq.curve_keypair())
    reached = address or ClientKeys.read(folder / CLIENT_FILE).address
    _write_private(path, asdict(ClientKeys(reached, server.token, server.public, public, secret)))
    partial = folder / f".{SERVER_FILE}.{os.getpid()}"
    _write_private(partial, asdict(replace(server, clients=(*server.clients, public))))
    os.replace(partial, folder / SERVER_FILE)
    return path


def _write_private(path: Path, fields: dict) -> None:
    """Writes a new file that this user alone can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(fields, file)


def keys_in(folder: Path, *, host: str, port: int) -> ServiceKeys:
    """The keys in a folder, made at the first time for a service at host and port. Raises InputError."""
    if not (folder / SERVER_FILE).exists():
        if not port:
            raise InputError(
                "A service for other machines needs a fixed port, so that its clients find it: choose one."
            )
        reachable = socket.getfqdn() if host in EVERY_INTERFACE else host
        make_keys(folder, address=f"tcp://{_bracketed(reachable)}:{port}")
    return ServiceKeys.read(folder)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_safe_host(host: str, keys: ServiceKeys | None) -> None:
    """Raises InputError for an address that other machines reach without keys."""
    if keys is None and not is_loopback(host):
        raise InputError(
            f"Serving at {host} would let other machines in: name a folder of CURVE keys (--keys) for that, "
            "or serve at 127.0.0.1."
        )


class _KnownClients:
    """Tells the authenticator which public keys may connect."""

    def __init__(self, keys: ServiceKeys) -> None:
        self._known = {key.encode("ascii") for key in keys.clients}

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether this public key (Z85) is one of the clients'."""
        return key in self._known


@contextlib.contextmanager
def bound_router(context: zmq.Context, host: str, port: int, keys: ServiceKeys | None) -> Iterator[zmq.Socket]:
    """A ROUTER socket that listens at host and port (0: a free one). Raises InputError where it cannot."""
    with contextlib.ExitStack() as cleanup:
        router = context.socket(zmq.ROUTER)
        cleanup.callback(router.close, linger=300)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.SNDHWM, QUEUED_MESSAGES)
        router.setsockopt(zmq.RCVHWM, QUEUED_MESSAGES)
        router.setsockopt(zmq.MAXMSGSIZE, MAX_BUFFER_BYTES)
        router.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
        router.setsockopt(zmq.IPV6, int(":" in host))
        if keys is not None:
            authenticator = zmq.auth.thread.ThreadAuthenticator(context)
            authenticator.start()
            cleanup.callback(authenticator.stop)
            authenticator.configure_curve_callback(domain="emorig", credentials_provider=_KnownClients(keys))
            router.setsockopt(zmq.ZAP_DOMAIN, b"emorig")
            router.curve_secretkey, router.curve_publickey = keys.secret.encode(), keys.public.encode()
            router.curve_server = True
            cleanup.enter_context(failed_handshakes_logged(router))
        try:
            router.bind(f"tcp://{_bracketed(host)}:{port or '*'}")
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise InputError(
                    f"Something serves at {host}:{port} already, perhaps another EmoRig: stop it ('emorig status' "
                    "tells about it) or choose another port."
                ) from error
            raise InputError(
                f"Cannot serve at {host}:{port}: {error.strerror}. Choose another port or host."
            ) from error
        yield router


def address_of(router: zmq.Socket, host: str) -> str:
    """tcp://host:port as a client writes it, with the port that the socket really has."""
    port = router.getsockopt(zmq.LAST_ENDPOINT).decode().rpartition(":")[2].rstrip("\0")
    return f"tcp://{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    """localhost would be looked up as a network interface's name; IPv6 addresses stand in brackets."""
    if host == "localhost":
        return "127.0.0.1"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def service_folder() -> Path:
    """A new private folder for the service's files; its name ends in the process id."""
    return Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, suffix=f"-{os.getpid()}"))


@contextlib.contextmanager
def kept_folder(folder: Path) -> Iterator[Path]:
    """A folder whose jobs outlive the service, locked for this one. Raises InputError and OutputError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open(folder / LOCK_NAME, "w")  # noqa: SIM115 closed below
    except OSError as error:
        raise OutputError(f"Cannot keep jobs in '{folder}' ({error.strerror}): choose another folder.") from error
    with lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(f"Another service keeps its jobs in '{folder}': choose another folder.") from error
        yield folder


def clear_stale_folders() -> None:
    """Removes what services of this user left behind that were killed before they could clean up."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*-*"):
        pid = folder.name.rpartition("-")[2]
        if pid.isdigit() and not is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
