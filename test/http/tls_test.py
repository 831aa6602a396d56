# SPDX-License-Identifier: Apache-2.0
"""TLS of the real daemon, against OpenSSL: versions, names, tickets, client certificates, reload."""
import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import rig

AUTH = "Basic " + base64.b64encode(b"platform:secret").decode()


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certs")
    subprocess.run(["sh", f"{rig.TREE}/test/certs.sh", str(directory)], check=True)
    return str(directory)


HEAD = """\
listen:
  - address: 127.0.0.1:0
    tls:
      certificate: {dir}/tls.pem
      key: {dir}/tls.key
      more:
        - {{certificate: {certs}/two.pem, key: {{file: {certs}/two.key}}}}
        - {{certificate: {certs}/rsa.pem, key: {certs}/rsa.key}}
{tls}
admin: {{socket: {dir}/admin.sock}}
users:
  - {{name: platform, password: secret}}
{users}
store: {{sqlite: {{path: {dir}/osbd.db}}}}
children: {{directory: {dir}/run}}
log: {{level: debug}}
"""
SERVICES = rig.DEMO.format(config="{}", mode="both")
MUTUAL = "      client_ca: {dir}/clients.pem\n      client: %s"
USERS = """\
  - {{name: alice, certificate: alice@osbd.test}}
  - {{name: watch, certificate: bob, role: monitor}}
"""


class Tls:
    """A daemon that speaks TLS, with files of its own."""

    def __init__(self, osbd, certs, tls="", users="", start=True):
        head = HEAD.replace("{tls}", tls).replace("{users}", users).replace("{certs}", certs)
        self.certs = certs
        self.d = osbd(SERVICES, start=False, head=head)
        self.use("one")
        self.put("ca.pem", "clients.pem")
        if start:
            self.d.start()

    def put(self, name, to):
        path = os.path.join(self.d.dir, to)
        shutil.copy(os.path.join(self.certs, name), path + ".new")
        os.rename(path + ".new", path)

    def use(self, name):
        self.put(f"{name}.pem", "tls.pem")
        self.put(f"{name}.key", "tls.key")

    def context(self, client=None, version=None):
        c = ssl.create_default_context(cafile=f"{self.certs}/ca.pem")
        c.set_alpn_protocols(["h2", "http/1.1"])
        if client:
            c.load_cert_chain(f"{self.certs}/{client}.pem", f"{self.certs}/{client}.key")
        if version:
            c.minimum_version = c.maximum_version = version
        return c

    def connect(self, context=None, host="one.test", session=None, timeout=20):
        s = socket.create_connection(("127.0.0.1", self.d.port), timeout=timeout)
        try:
            return (context or self.context()).wrap_socket(s, server_hostname=host,
                                                           session=session)
        except BaseException:
            s.close()
            raise

    def s_client(self, *args, send=b""):
        r = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.d.port}",
                            "-CAfile", f"{self.certs}/ca.pem", *args],
                           input=send, capture_output=True, timeout=30)
        return (r.stdout + r.stderr).decode("utf-8", "replace")

    def metrics(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"{self.d.dir}/admin.sock")
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return read_all(s).decode()


def read_all(s):
    out = b""
    while True:
        more = s.recv(65536)
        if not more:
            return out
        out += more


def get(s, path="/v2/catalog", auth=AUTH, close=False):
    """A request on a connection; status and body."""
    lines = [f"GET {path} HTTP/1.1", "Host: one.test", "X-Broker-API-Version: 2.17"]
    if auth:
        lines.append(f"Authorization: {auth}")
    if close:
        lines.append("Connection: close")
    s.sendall("\r\n".join([*lines, "", ""]).encode())
    got = b""
    while b"\r\n\r\n" not in got:
        more = s.recv(65536)
        assert more, "closed without an answer"
        got += more
    head, body = got.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < length:
        body += s.recv(65536)
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_serves(osbd, certs, version):
    t = Tls(osbd, certs)
    with t.connect(t.context(version=version)) as s:
        assert s.selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            assert get(s)[0] == 200
        assert get(s, auth=None)[0] == 401
        assert get(s, close=True)[0] == 200
        assert s.recv(1) == b""  # a close_notify, else this raises
    assert t.d.tasks() == 1
    assert re.search(r'osbd_tls_handshakes_total\{result="full"\} 1\n', t.metrics())


def test_names(osbd, certs):
    t = Tls(osbd, certs)
    for host, subject in [("one.test", "one"), ("two.test", "two"), ("x.wild.test", "two"),
                          ("rsa.test", "rsa")]:
        with t.connect(host=host) as s:
            names = dict(x[0] for x in s.getpeercert()["subject"])
            assert names["commonName"] == subject
    with pytest.raises(ssl.SSLCertVerificationError, match="unknown.test"):
        t.connect(host="unknown.test")


def test_group_and_suites(osbd, certs):
    t = Tls(osbd, certs)
    key = "(Server|Peer) Temp Key: "  # OpenSSL 3.5 says peer
    for version in ("-tls1_3", "-tls1_2"):
        assert re.search(key + "X25519", t.s_client(version))
    for v in ["-tls1_2", "-tls1_3"]:  # the client would rather have the largest
        out = t.s_client(v, "-groups", "P-521:P-384:P-256")
        assert re.search(key + "ECDH, (prime256v1|P-256|secp384r1)", out), out
        assert "Cipher is (NONE)" in t.s_client(v, "-groups", "P-521")
    for suite in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256",
                  "ECDHE-ECDSA-AES128-SHA"]:
        assert "Cipher is (NONE)" in t.s_client("-tls1_2", "-cipher", suite + ":@SECLEVEL=0")
    for v in ["-tls1", "-tls1_1"]:
        assert "Cipher is (NONE)" in t.s_client(v, "-cipher", "ALL:@SECLEVEL=0")
    assert "New, TLSv1.2, Cipher is ECDHE-RSA-" in t.s_client("-tls1_2", "-servername", "rsa.test")


def test_no_renegotiation(osbd, certs):
    t = Tls(osbd, certs)
    p = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{t.d.port}", "-tls1_2"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(0.5)
    p.stdin.write(b"R\n")
    p.stdin.flush()
    time.sleep(0.5)
    out = p.communicate(b"Q\n", timeout=10)[0].decode("utf-8", "replace")
    assert "RENEGOTIATING" in out and "no renegotiation" in out
    assert "Secure Renegotiation IS supported" in out
    with t.connect() as s:
        assert get(s)[0] == 200


def test_version_and_suites_of_the_configuration(osbd, certs):
    t = Tls(osbd, certs, tls='      min_version: "1.3"\n      suites: [TLS_AES_256_GCM_SHA384]')
    with t.connect() as s:
        assert s.version() == "TLSv1.3" and s.cipher()[0] == "TLS_AES_256_GCM_SHA384"
    assert "Cipher is (NONE)" in t.s_client("-tls1_2")


def resume(t, version, client=None, auth=AUTH):
    """Two connections, the second with the first one's ticket."""
    c = t.context(client=client, version=version)
    with t.connect(c) as s:
        assert get(s, auth=auth)[0] == 200
        session = s.session
    s = t.connect(c, session=session)
    return s


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumes(osbd, certs, version):
    t = Tls(osbd, certs)
    with resume(t, version) as s:
        assert s.session_reused
        assert get(s)[0] == 200
    assert 'handshakes_total{result="resumed"} 1\n' in t.metrics()


@pytest.mark.parametrize("client", ["optional", "required"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_mutual(osbd, certs, version, client):
    t = Tls(osbd, certs, tls=MUTUAL % client, users=USERS)

    def ask(who, auth=None):
        with t.connect(t.context(client=who, version=version)) as s:
            return get(s, auth=auth)[0]

    assert ask("alice") == 200
    assert ask("alice", auth=AUTH) == 200
    wrong = "Basic " + base64.b64encode(b"platform:wrong").decode()
    assert ask("alice", auth=wrong) == 401  # what is said counts
    assert ask("bob") == 401  # a user, but not of the API
    assert ask("one", auth=AUTH) == 200  # of nobody
    assert ask("one") == 401
    # the ticket carries who it is
    with resume(t, version, "alice", auth=None) as s:
        assert s.session_reused
        assert get(s, auth=None)[0] == 200
    for who in ["mallory", "past"]:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            ask(who, auth=AUTH)
    assert 'certificate \\"mallory\\"; it is signed by \\"other\\", which is not trusted here' \
        in t.d.log()
    if client == "optional":
        assert ask(None, auth=AUTH) == 200
        assert ask(None) == 401
    else:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            ask(None, auth=AUTH)
    assert t.d.tasks() == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_new_client_ca(osbd, certs, version):
    """A ticket does not outlive the authority that it was given under."""
    t = Tls(osbd, certs, tls=MUTUAL % "required", users=USERS)
    c = t.context(client="alice", version=version)
    with t.connect(c) as s:
        assert get(s, auth=None)[0] == 200
        session = s.session
        t.put("other.pem", "clients.pem")
        t.d.process.send_signal(signal.SIGHUP)
        assert rig.wait_until(lambda: "certificates read anew" in t.d.log())
        assert get(s, auth=None)[0] == 200  # who is in stays in
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        with t.connect(c, session=session) as s:
            assert not s.session_reused
            get(s, auth=None)


def test_reload_under_load(osbd, certs):
    t = Tls(osbd, certs)
    stop, errors, seen = threading.Event(), [], set()

    def work(keep):
        try:
            s = None
            while not stop.is_set():
                if not s:
                    c = t.context()
                    c.check_hostname = False
                    s = t.connect(c)
                seen.add(dict(x[0] for x in s.getpeercert()["subject"])["commonName"])
                assert get(s)[0] == 200
                if not keep:
                    s.close()
                    s = None
        except Exception as e:  # noqa: BLE001
            errors.append(e)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for name in ["two", "rsa", "one", "two"]:
        time.sleep(0.3)
        before = t.d.log().count("certificates read anew")
        t.use(name)
        t.d.process.send_signal(signal.SIGHUP)
        assert rig.wait_until(lambda: t.d.log().count("certificates read anew") > before)
    # halves of two pairs are refused, and all goes on with what there was
    t.put("one.pem", "tls.pem")
    t.d.process.send_signal(signal.SIGHUP)
    assert rig.wait_until(lambda: "this key does not belong to" in t.d.log())
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert {"one", "two", "rsa"} <= seen
    with t.connect(host="two.test") as s:
        assert get(s)[0] == 200
    text = t.metrics()
    assert re.search(r'osbd_tls_reloads_total\{[^}]*result="refused"\} 1\n', text)
    left = re.findall(r'osbd_tls_certificate_expiry_seconds\{listener="[^"]*",certificate="[^"]*'
                      r'tls.pem"\} ([0-9.e+]+)\n', text)
    assert 19 * 86400 < float(left[0]) < 20 * 86400
    assert "expires in 19 days" in t.d.log()
    assert t.d.tasks() == 1


def test_bad_files_are_refused_at_the_start(osbd, certs):
    t = Tls(osbd, certs, start=False)
    t.put("two.key", "tls.key")
    r = subprocess.run([rig.BINARY, "check", "-c", t.d.config], capture_output=True, text=True,
                       timeout=30)
    assert r.returncode == 3
    assert re.search(r"osbd\.yml:\d+:\d+: listen\[0\]\.tls: .*tls\.key: this key does not belong "
                     r"to .*tls\.pem", r.stderr), r.stderr
    r = subprocess.run([rig.BINARY, "serve", "-c", t.d.config], capture_output=True, text=True,
                       timeout=30)
    assert r.returncode == 3 and "does not belong" in r.stderr
    t.use("past")
    t.d.start()
    assert "has expired" in t.d.log()


def test_hostile_handshakes(osbd, certs):
    """Garbage, half a hello, a byte now and then: over by the deadline, in bounded memory, and
    nobody else notices."""
    t = Tls(osbd, certs)
    hello = ssl.MemoryBIO()
    obj = t.context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="one.test")
    with pytest.raises(ssl.SSLWantReadError):
        obj.do_handshake()
    hello = hello.read()
    before = t.d.resident()
    socks, began = [], time.monotonic()
    for i in range(300):
        s = socket.create_connection(("127.0.0.1", t.d.port))
        s.settimeout(0.1)
        s.sendall([hello[:100], hello[:1], b"", b"\x16\x03\x01\x40\x00" + b"x" * 2000,
                   hello, hello[:-1]][i % 6])
        socks.append(s)
    for data in [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\x80\x2e\x01\x00\x02" * 10]:
        with socket.create_connection(("127.0.0.1", t.d.port), timeout=5) as s:
            s.sendall(data)
            assert read_all(s)[:1] == b"\x15"  # an alert, then the end, at once
    slow = socket.create_connection(("127.0.0.1", t.d.port))
    for i in range(8):
        slow.sendall(hello[i:i + 1])
        with t.connect(timeout=5) as s:
            assert get(s)[0] == 200
        time.sleep(1)
    # 50 of 300 have come as far as a context of some 60 kB
    allowed = 300 * 16 + 60 * 80
    if "asan" not in rig.BINARY and "dbg" not in rig.BINARY:
        assert t.d.resident() - before < allowed
    for s in [*socks, slow]:
        s.settimeout(max(0.1, began + 20 - time.monotonic()))
        try:
            read_all(s)  # ends: the deadline is 10 s
        except ConnectionError:
            pass
        s.close()
    assert time.monotonic() - began < 20
    assert rig.wait_until(lambda: "osbd_tls_handshakes_open 0\n" in t.metrics())
    assert t.d.tasks() == 1


def test_many_at_once(osbd, certs):
    """More handshakes at once than are computed in a turn: all are served."""
    t = Tls(osbd, certs)
    results = []

    def one():
        with t.connect() as s:
            results.append(get(s)[0])

    threads = [threading.Thread(target=one) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 40
    assert t.d.tasks() == 1


@pytest.mark.skipif("/asan/" in rig.BINARY, reason="once is enough: with the build by clang")
def test_testssl(osbd, certs):
    """testssl.sh knows nothing above LOW, but for the test's own certificate."""
    t = Tls(osbd, certs)
    out = os.path.join(t.d.dir, "testssl.json")
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    assert program, "the package testssl.sh is missing"
    r = subprocess.run(
        ["timeout", "-k", "5", "300", program, "--quiet", "--color", "0", "--warnings", "off",
         "--nodns", "none", "--ip", "127.0.0.1", "--protocols", "--std", "--fs",
         "--server-defaults", "--vulnerable", "--jsonfile", out, f"one.test:{t.d.port}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    with open(out) as f:
        found = {x["id"]: x for x in json.load(f)}
    bad = [x for x in found.values()
           if x["severity"] not in ("OK", "INFO", "LOW", "DEBUG") and x["id"] != "engine_problem"
           and not x["id"].startswith(("cert", "OCSP"))
           # its client hangs up as soon as it has greeted: if that is before the ticket comes, it
           # has none to come back with. Who waits for it is resumed: test_resumes, tickets_test
           and (x["id"], x["finding"]) != ("sessionresumption_ticket",
                                           "check failed because of connect problem")]
    assert not bad, bad
    # it has looked at what it should, and seen us; 3.2 has other names for two
    fs = "FS" if "FS" in found else "PFS"
    strong = "cipherlist_STRONG" + ("_FS" if fs == "FS" else "")
    assert {"SSLv3", "TLS1_2", "TLS1_3", strong, fs, "heartbleed", "ROBOT",
            "secure_client_renego", "LUCKY13", "RC4", "ticketbleed",
            "TLS_session_ticket"} <= set(found), r.stdout[-2000:]
    for one in ["TLS1_2", "TLS1_3", strong, fs]:
        assert found[one]["severity"] == "OK", found[one]
