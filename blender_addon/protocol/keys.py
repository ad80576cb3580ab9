"""The CURVE keys with which a client reaches a backend on another machine, as the file that 'emorig serve' wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError


@dataclass(frozen=True)
class ClientKeys:
    """A client's CURVE key pair, the backend's public key (all Z85 text), its address and its token."""

    address: str
    token: str
    server_public: str
    public: str
    secret: str

    @classmethod
    def read(cls, path: str | Path) -> ClientKeys:
        """Reads the client's key file. Raises InputError."""
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(**{name: str(fields[name]) for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"Cannot read the client's keys in {path}: use the client.json that 'emorig serve' made on the backend."
            ) from error
