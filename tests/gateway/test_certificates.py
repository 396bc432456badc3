"""The certificates of the gateway satisfy strict clients, and its bundle keeps what the machine trusted."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess

import certifi
import pytest
from cryptography import x509

from stack_emu.surfaces.gateway_tls import CertificateAuthority


@pytest.fixture(scope="module")
def ca():
    return CertificateAuthority.create()


def handshake(ca, host, trusted=None):
    """Shake hands in memory with a strict client; return the certificate it saw."""
    client = ssl.create_default_context(cadata=(trusted or ca).ca_pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=host)
    far = ca.context_for(host).wrap_bio(to_server, to_client, server_side=True)
    for end in (near, far, near, far):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return near.getpeercert()


def certificates(pem):
    """Return the certificates of a PEM text, in order, as DER."""
    marker = "-----END CERTIFICATE-----"
    return [ssl.PEM_cert_to_DER_cert(block[block.index("-----BEGIN") :] + marker) for block in pem.split(marker)[:-1]]


LONG = ".".join(["a" * 60] * 4)


@pytest.mark.parametrize(
    "host", ["api.getstack.run", "xn--bcher-kva.example", LONG, "127.0.0.1", "::1", "under_score.test"]
)
def test_a_strict_client_accepts_the_certificate_of_any_host(ca, host):
    names = handshake(ca, host)["subjectAltName"]
    assert names in ((("DNS", host),), (("IP Address", host),), (("IP Address", "0:0:0:0:0:0:0:1"),))


def test_another_runs_certificate_is_not_accepted(ca):
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ca, "api.getstack.run", trusted=CertificateAuthority.create())


def test_openssl_verifies_the_chain_strictly(ca, tmp_path):
    (tmp_path / "ca.pem").write_bytes(ca.ca_pem)
    (tmp_path / "leaf.pem").write_bytes(ca._leaf_pem("api.getstack.run"))
    strictly = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    done = subprocess.run(
        [*strictly, "-CAfile", tmp_path / "ca.pem", "-verify_hostname", "api.getstack.run", tmp_path / "leaf.pem"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_leaf_cannot_sign_and_the_root_can_only_sign_leaves(ca):
    leaf = x509.load_pem_x509_certificate(ca._leaf_pem("slack.com")).extensions
    root = x509.load_pem_x509_certificate(ca.ca_pem).extensions
    assert leaf.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert leaf.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is False
    assert root.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_contexts_are_kept_and_their_number_is_bounded(ca):
    first = ca.context_for("Kept.Example.")
    assert ca.context_for("kept.example") is first
    for number in range(300):
        ca.context_for(f"h{number}.example")
    assert len(ca._contexts) == 256
    assert ca.context_for("kept.example") is not first


@pytest.mark.parametrize("host", ["", "a" * 254])
def test_a_host_that_fits_no_certificate_is_refused(ca, host):
    with pytest.raises(ValueError, match="between 1 and 253"):
        ca.context_for(host)


def test_no_key_stays_on_disk(ca, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ca.context_for("nothing-left.example")
    assert list(tmp_path.iterdir()) == []


def test_certificates_are_valid_while_a_test_has_frozen_the_clock():
    import time_machine

    authority = CertificateAuthority.create()
    with time_machine.travel("2031-01-01", tick=False):
        authority.context_for("frozen.example")
    assert handshake(authority, "frozen.example")["subjectAltName"] == (("DNS", "frozen.example"),)


def test_the_bundle_holds_our_root_first_and_every_root_of_the_machine(ca, tmp_path):
    ca.write_bundle(tmp_path / "bundle.pem")
    bundle = certificates((tmp_path / "bundle.pem").read_text())
    assert bundle[0] == certificates(ca.ca_pem.decode())[0]
    with open(certifi.where()) as file:
        assert set(certificates(file.read())) <= set(bundle)
    assert len(bundle) == len(set(bundle))


def test_the_bundle_keeps_inherited_roots_and_passes_over_unreadable_ones(ca, tmp_path):
    company = CertificateAuthority.create()
    (tmp_path / "company.pem").write_bytes(b"Company root\r\n" + company.ca_pem.replace(b"\n", b"\r\n"))
    inherited = {
        "SSL_CERT_FILE": str(tmp_path / "company.pem"),
        "REQUESTS_CA_BUNDLE": "/nonexistent",
        "CURL_CA_BUNDLE": os.fspath(tmp_path),
        "NODE_EXTRA_CA_CERTS": "",
    }
    ca.write_bundle(tmp_path / "bundle.pem", inherited)
    bundle = certificates((tmp_path / "bundle.pem").read_text())
    assert certificates(company.ca_pem.decode())[0] in bundle
