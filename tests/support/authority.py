"""A certificate authority for one test run, and what it vouches for: a server on 127.0.0.1, a client."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority(NamedTuple):
    """PEM files. `server`, `client`: key and certificate in one; `stranger`: an authority that vouches for nobody."""

    certificate: Path
    server: Path
    client: Path
    stranger: Path


def authority(directory: Path) -> Authority:
    directory.mkdir(parents=True, exist_ok=True)
    key, certificate = _root("Tierwise tests")
    _, strange = _root("Somebody else")
    found = Authority(*(directory / f"{name}.pem" for name in Authority._fields))
    found.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    found.stranger.write_bytes(strange.public_bytes(Encoding.PEM))
    found.server.write_bytes(_leaf("127.0.0.1", key, certificate, ExtendedKeyUsageOID.SERVER_AUTH))
    found.client.write_bytes(_leaf("scoring", key, certificate, ExtendedKeyUsageOID.CLIENT_AUTH))
    for path in found:
        path.chmod(0o600)
    return found


def _root(name: str) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    key = generate_private_key(SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return key, builder.add_extension(usage, critical=True).sign(key, SHA256())


def _leaf(
    name: str, root_key: EllipticCurvePrivateKey, root: x509.Certificate, purpose: x509.ObjectIdentifier
) -> bytes:
    key = generate_private_key(SECP256R1())
    issuer = root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    certificate = (
        _builder(name, str(issuer), key)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def _builder(name: str, issuer: str, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
