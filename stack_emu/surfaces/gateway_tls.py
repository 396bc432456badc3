"""The gateway's certificate authority: one per run, kept in memory, with a leaf certificate per host name.

Every certificate follows the strict profile of RFC 5280 (basicConstraints, keyUsage, subject and authority key
identifiers, subjectAltName), which OpenSSL 3 demands under ``X509_V_FLAG_X509_STRICT`` and Python 3.13 by default.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_BACKDATED = timedelta(days=30)
"""A laptop whose clock is behind still accepts the certificates."""

_LIFETIME = timedelta(days=397)
"""Apple's clients refuse server certificates that live longer than 398 days."""

_CACHED_LEAVES = 256
"""The host is the client's choice: without a bound a client could fill the memory with contexts."""

_LONGEST_COMMON_NAME = 64
"""ub-common-name of RFC 5280; longer hosts stand in subjectAltName only."""

_LONGEST_DNS_NAME = 253

_SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)

_INHERITED_ROOTS = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class CertificateAuthority:
    """A certificate authority for one run.

    Made by :meth:`create`. Its private key never leaves the process; the key of the leaves touches the disk, in a
    file only this user can read, for the moment OpenSSL needs to load it.

    Args:
        certificate: the self-signed root.
        key: the root's private key.
        leaf_key: the one key all leaf certificates share, so that a new host costs one signature.
    """

    def __init__(
        self, certificate: x509.Certificate, key: EllipticCurvePrivateKey, leaf_key: EllipticCurvePrivateKey
    ) -> None:
        from cryptography.hazmat.primitives import serialization

        self._certificate = certificate
        self._key = key
        self._leaf_key = leaf_key
        self._leaf_key_pem = leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self.ca_pem: bytes = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def create(cls) -> CertificateAuthority:
        """Make a new authority with fresh P-256 keys, valid from a month ago for 397 days in all."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        # Two runs must not share a subject: a client that trusts both would have to guess which key signed.
        name = _name(f"stack-emu local CA {serial % 0xFFFFFFFF:08x}")
        start = datetime.now(timezone.utc) - _BACKDATED
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(start)
            .not_valid_after(start + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key, ec.generate_private_key(ec.SECP256R1()))

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return the server-side TLS context that proves to be ``host``.

        The context follows the client's SNI when that names another host, so that the mistake is answered in HTTP
        (421) instead of dying in the handshake.

        Args:
            host: DNS name (A-label) or IP address, without port or brackets.

        Raises:
            ValueError: the host cannot stand in a certificate.
        """
        wanted = host.lower().rstrip(".")
        if not 0 < len(wanted) <= _LONGEST_DNS_NAME:
            raise ValueError(f"a host name has between 1 and {_LONGEST_DNS_NAME} characters")
        known = self._contexts.get(wanted)
        if known is not None:
            self._contexts.move_to_end(wanted)
            return known
        context = self._build_context(wanted)
        self._contexts[wanted] = context
        if len(self._contexts) > _CACHED_LEAVES:
            self._contexts.popitem(last=False)
        return context

    def write_bundle(self, path: str | os.PathLike[str], inherited: Mapping[str, str] | None = None) -> None:
        """Write this authority and every root the machine already trusts into one PEM file.

        Clients take the file *instead of* their own roots, so it has to hold those too: hosts let through by
        ``gateway.allow`` prove themselves with real certificates.

        Args:
            path: where to write; an existing file is replaced.
            inherited: the environment whose ``SSL_CERT_FILE`` (and its kin) name more roots the user trusts, such as a
                company's; files that cannot be read are passed over.
        """
        certificates: dict[bytes, None] = {self.ca_pem.strip(): None}
        for source in _root_files(inherited or {}):
            certificates.update(dict.fromkeys(_certificates_in(source)))
        Path(path).write_bytes(b"\n".join(certificates) + b"\n")

    def _build_context(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.sni_callback = self._follow_server_name
        with tempfile.TemporaryDirectory(prefix="stack-emu-") as folder:
            chain = Path(folder, "leaf.pem")
            with open(os.open(chain, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._leaf_pem(host) + self.ca_pem + self._leaf_key_pem)
            context.load_cert_chain(chain)
        return context

    def _follow_server_name(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        if name is None:
            return None
        try:
            connection.context = self.context_for(name)
        except ValueError:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    def _leaf_pem(self, host: str) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        issuer = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        public = self._leaf_key.public_key()
        # The authority's own window, not "now": a test that froze this process's clock must get valid leaves too.
        leaf = (
            x509.CertificateBuilder()
            .subject_name(_name(host if len(host) <= _LONGEST_COMMON_NAME else "stack-emu leaf"))
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._certificate.not_valid_before_utc)
            .not_valid_after(self._certificate.not_valid_after_utc)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return leaf.public_bytes(serialization.Encoding.PEM)


def _name(common_name: str) -> x509.Name:
    from cryptography import x509

    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "stack-emu"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _root_files(inherited: Mapping[str, str]) -> list[str]:
    files = []
    try:
        import certifi

        files.append(certifi.where())
    except ImportError:
        pass
    # The compiled-in path: cafile would follow SSL_CERT_FILE of this very process.
    files.append(ssl.get_default_verify_paths().openssl_cafile)
    files.extend(_SYSTEM_ROOTS)
    files.extend(inherited[name] for name in _INHERITED_ROOTS if inherited.get(name))
    return files


def _certificates_in(source: str) -> list[bytes]:
    try:
        text = Path(source).read_bytes()
    except (OSError, ValueError):
        return []
    found = []
    for block in text.split(_BEGIN)[1:]:
        body, end, _ = block.partition(_END)
        if end:
            found.append(_BEGIN + body.replace(b"\r\n", b"\n") + _END)
    return found
