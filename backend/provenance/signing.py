"""The certificate that signs manifests: the user's own, or one made at the first time, which nobody vouches for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.errors import InputError, OutputError
from blender_addon.protocol.discovery import state_folder

FOLDER = "signing"
CHAIN_FILE, KEY_FILE = "chain.pem", "key.pem"
SELF_MADE = "Self-made, vouched for by nobody"
LEAF_DAYS, ROOT_DAYS = 5 * 365, 10 * 365
RENEWAL_DAYS = 30


@dataclass(frozen=True)
class SigningCertificate:
    """A certificate chain and its private key, PEM, and C2PA's name of the signature's algorithm."""

    chain: bytes
    key: bytes
    algorithm: str

    @classmethod
    def read(cls, chain: Path, key: Path) -> SigningCertificate:
        """Reads the user's certificate chain (leaf first) and unencrypted key. Raises InputError."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            chain_pem, key_pem = chain.read_bytes(), key.read_bytes()
            leaf = x509.load_pem_x509_certificates(chain_pem)[0]
            private = load_pem_private_key(key_pem, password=None)
        except OSError as error:
            raise InputError(f"Cannot read the certificate's file '{error.filename}': {error.strerror}.") from error
        except (ValueError, TypeError) as error:
            raise InputError(
                f"'{chain}' and '{key}' should be a certificate chain and its unencrypted private key, both as PEM."
            ) from error
        if leaf.public_key() != private.public_key():
            raise InputError(f"The key '{key}' does not belong to the first certificate in '{chain}'.")
        return cls(chain_pem, key_pem, _algorithm_of(private))


def _algorithm_of(key: object) -> str:
    """C2PA's algorithm for a private key. Raises InputError."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size in (256, 384, 521):
        return {256: "es256", 384: "es384", 521: "es512"}[key.key_size]
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise InputError("C2PA signs with a P-256, P-384, P-521, RSA or Ed25519 key: choose one of these.")


def own_certificate() -> SigningCertificate:
    """This user's self-made certificate, made at the first time and renewed before it ends. Raises OutputError."""
    folder = state_folder() / FOLDER
    chain, key = folder / CHAIN_FILE, folder / KEY_FILE
    if not (chain.is_file() and key.is_file() and _lasts(chain)):
        try:
            _write_pair(folder)
        except OSError as error:
            raise OutputError(f"Cannot keep a signing certificate in '{folder}' ({error.strerror}).") from error
    return SigningCertificate.read(chain, key)


def _lasts(chain: Path) -> bool:
    from cryptography import x509

    try:
        end = x509.load_pem_x509_certificates(chain.read_bytes())[0].not_valid_after_utc
    except (OSError, ValueError, IndexError):
        return False
    return end - datetime.now(UTC) > timedelta(days=RENEWAL_DAYS)


def _write_pair(folder: Path) -> None:
    """Writes chain and key together: another process sees the old pair or the new one, key first under one lock."""
    chain, key = make_chain()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in ((KEY_FILE, key), (CHAIN_FILE, chain)):
        partial = folder / f".{name}.{os.getpid()}"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(partial, folder / name)


def make_chain() -> tuple[bytes, bytes]:
    """A new root, a certificate for signing under it (C2PA's profile: signature only, e-mail protection) and its key.

    Returns the chain, leaf first, and the leaf's key as PEM. The root's key is not kept.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, leaf_name = _name("EmoRig self-made root"), _name("EmoRig on this computer")
    root = _certificate(root_name, root_name, root_key.public_key(), root_key, days=ROOT_DAYS, is_authority=True)
    leaf = _certificate(leaf_name, root_name, leaf_key.public_key(), root_key, days=LEAF_DAYS, is_authority=False)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    pem = serialization.Encoding.PEM
    chain = b"".join(_signed(builder, root_key).public_bytes(pem) for builder in (leaf, root))
    key = leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return chain, key


def _name(common_name: str):
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    pairs = ((NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATION_NAME, SELF_MADE))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def _certificate(subject, issuer, public_key, issuer_key, *, days: int, is_authority: bool):
    """The builder of a certificate, valid from yesterday because clocks differ."""
    from cryptography import x509

    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=public_key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        builder.add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_authority,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority, critical=False)
    )


def _signed(builder, key):
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())
