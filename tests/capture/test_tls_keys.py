"""TLS secrets of what runs on nodes are in captures, before the packets that need them."""

import os
import socket
import ssl
import sys
import time

import pytest

from patchbay import Lab
from tests.capture.reading import read

KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgf+HNrAG1SInX/kwU
U41G+331FAagUAhPC1uDkpRkm4ShRANCAAT47rpZWXJ6Jeuj1uqFyCdjBH8/mY47
3LZrwFEIzifpwN8RSmBKFgKMcXySQyVAhQCTkQr1o0cfCXi2QUwbC6e/
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUO+ktzEOSSeCqReS5cYfhWF4BZsgwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOc2VydmVyLmV4YW1wbGUwIBcNMjYxMTIyMDUzNTExWhgPMjEy
NjEwMjkwNTM1MTFaMBkxFzAVBgNVBAMMDnNlcnZlci5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAE+O66WVlyeiXro9bqhcgnYwR/P5mOO9y2a8BRCM4n
6cDfEUpgShYCjHF8kkMlQIUAk5EK9aNHHwl4tkFMGwunv6NTMFEwHQYDVR0OBBYE
FPaCziVta2p6A87HEAJQTc0ba3I6MB8GA1UdIwQYMBaAFPaCziVta2p6A87HEAJQ
Tc0ba3I6MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAM2FkoV5
GCumRyvsq5uMKJwymbHbVD0FNw7PAkc9A02MAiA5qXXR0gBF5ypLQP6paaGzjrso
6/NMX0enHjOEGbBAyQ==
-----END CERTIFICATE-----
"""
"""A self-signed one that protects nothing."""


def context(purpose):
    made = ssl.create_default_context(purpose)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def serve(file):
    """Serve one client."""
    server = context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    with (
        socket.create_server(("", 4433)) as listener,
        listener.accept()[0] as peer,
        server.wrap_socket(peer, server_side=True) as stream,
    ):
        stream.sendall(stream.recv(100).upper())


def connect(host, port):
    """Connect as soon as somebody listens."""
    while True:
        try:
            return socket.create_connection((host, port))
        except ConnectionRefusedError:
            time.sleep(0.01)


def ask(host, port):
    client = context(ssl.Purpose.SERVER_AUTH)
    with connect(host, port) as peer, client.wrap_socket(peer) as stream:
        stream.sendall(b"secret")
        return stream.recv(100)


@pytest.fixture
def certificate(tmp_path):
    file = tmp_path / "certificate.pem"
    file.write_text(KEY_AND_CERTIFICATE)
    return str(file)


@pytest.fixture(params=[False, True], ids=["in memory", "outdir"])
def lab(nothing_left_behind, request, tmp_path):
    with Lab("tls", outdir=tmp_path / "run" if request.param else None, tls_keys=True) as lab:
        yield lab


def test_secrets_of_both_ends_are_in_a_capture(lab, certificate, tmp_path):
    router = lab.add_router("r")
    client, server = lab.add_device("client", router), lab.add_device("server", router)
    with client.capture(tmp_path / "a.pcapng"):
        serving = server.submit(serve, certificate)
        assert client.call(ask, str(server.ip), 4433) == b"SECRET"
        serving.result()
    secrets = read(tmp_path / "a.pcapng").secrets.decode().splitlines()

    labels = [line.split()[0] for line in secrets]
    assert labels.count("CLIENT_TRAFFIC_SECRET_0") == 2  # one from the client, one from the server
    if lab.outdir is not None:
        assert (lab.outdir / "tls-keys.log").read_text().splitlines() == secrets
    with client.capture(tmp_path / "b.pcapng"):
        client.ping(server)
    assert read(tmp_path / "b.pcapng").secrets.decode().splitlines() == secrets


def test_programs_are_told_too_unless_they_are_given_their_own(lab):
    device = lab.add_device("a", lab.add_router("r"))
    show = [sys.executable, "-c", "import os; print(os.environ['SSLKEYLOGFILE'])"]

    path = device.run(show).stdout.strip()
    assert path == device.call(os.getenv, "SSLKEYLOGFILE")
    own = device.run(show, env={**os.environ, "SSLKEYLOGFILE": "/own"})
    assert own.stdout.strip() == "/own"


def test_without_being_asked_for_nobody_is_told(nothing_left_behind):
    with Lab("plain") as lab:
        device = lab.add_device("a", lab.add_router("r"))
        assert device.call(os.getenv, "SSLKEYLOGFILE") == os.environ.get("SSLKEYLOGFILE")
