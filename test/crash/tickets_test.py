# SPDX-License-Identifier: Apache-2.0
"""Session tickets of three nodes behind a balancer that sends each connection to the next node."""
import base64
import re
import ssl
import subprocess
import time

import cluster
import httpx
import pytest
import rig

YAML = """\
limits: {{ticket_rotation: {rotation}}}
services: [{{name: idle, description: does nothing, backend: demo}}]
"""
BASIC = "Authorization: Basic " + base64.b64encode(b"platform:secret").decode()
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certs")
    subprocess.run(["sh", f"{rig.TREE}/test/certs.sh", str(directory)], check=True)
    return str(directory)


@pytest.fixture
def three(tmp_path, certs):
    made = []

    def make(rotation, more=""):
        tls = f"{{certificate: {certs}/one.pem, key: {certs}/one.key{more}}}"
        c = cluster.Cluster(str(tmp_path), YAML.format(rotation=rotation), tls=tls)
        made.append(c)
        return c.__enter__()
    yield make
    for c in made:
        c.close()


def context(certs, version, client=None):
    c = ssl.create_default_context(cafile=f"{certs}/ca.pem")
    c.minimum_version = c.maximum_version = version
    if client:
        c.load_cert_chain(f"{certs}/{client}.pem", f"{certs}/{client}.key")
    return c


def ask(c, context, session, auth=BASIC):
    """One request on a connection of its own: the status, was it resumed, the session for the next."""
    with context.wrap_socket(c.connect(), server_hostname="one.test", session=session) as s:
        lines = ["GET /v2/catalog HTTP/1.1", "Host: one.test", "X-Broker-API-Version: 2.17",
                 "Connection: close"] + [auth] * bool(auth)
        s.sendall("\r\n".join(lines + ["", ""]).encode())
        got = b""
        while more := s.recv(65536):
            got += more
        return int(got.split()[1]), s.session_reused, s.session


def handshakes(node, result):
    text = httpx.get(f"http://127.0.0.1:{node.admin}/metrics", trust_env=False).text
    return int(re.search(rf'handshakes_total{{result="{result}"}} (\d+)', text).group(1))


def test_resumes_on_every_node(three, certs):
    c = three("12h", f", client_ca: {certs}/ca.pem, client: optional")
    for version in VERSIONS:
        before = [handshakes(node, "resumed") for node in c.nodes]
        tls = context(certs, version)
        status, reused, session = ask(c, tls, None)
        assert (status, reused) == (200, False)
        for _ in range(6):
            status, reused, session = ask(c, tls, session)
            assert (status, reused) == (200, True)
        resumed = [handshakes(node, "resumed") - n for node, n in zip(c.nodes, before)]
        assert sum(resumed) == 6 and min(resumed) > 0, resumed
    kept = c.pg.sql("SELECT get_byte(value, 0), length(value) FROM meta WHERE name = 'tickets'",
                    "osbd").strip().split("|")
    assert int(kept[0]) == 1 and int(kept[1]) > 16 + 32 + 8  # sealed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_key_is_known_before_it_seals(three, certs, version):
    """Keys change every two seconds; no connection meets a node that does not know its ticket."""
    c = three("2s")
    tls = context(certs, version)
    session = ask(c, tls, None)[2]
    end, n = time.monotonic() + 5, 0
    while time.monotonic() < end or n <= 10:
        status, reused, session = ask(c, tls, session)
        assert (status, reused) == (200, True), f"connection {n}"
        n += 1
        time.sleep(0.1)
    assert sum(handshakes(node, "resumed") for node in c.nodes) == n


def test_a_node_that_starts_later_knows_them(three, certs):
    c = three("12h")
    tls = context(certs, ssl.TLSVersion.TLSv1_3)
    session = ask(c, tls, None)[2]
    for node in c.nodes:
        node.kill()
        node.start()
    for _ in range(3):
        assert rig.wait_until(c.answers, 20)
        status, reused, session = ask(c, tls, session)
        assert (status, reused) == (200, True)
