# SPDX-License-Identifier: Apache-2.0
"""Who asks: PROXY headers and X-Forwarded-For of trusted proxies. And where: ports that several
processes share, sockets that somebody else has opened."""
import base64
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

import rig
import servers

REST = """\
users: [{{name: platform, password: secret}}]
store: {{sqlite: {{path: {dir}/osbd.db}}}}
children: {{directory: {dir}/run}}
log: {{level: info}}
limits: {{header_timeout: 1s}}
"""
SERVICES = rig.DEMO.format(config="{}", mode="both")
AUTH = base64.b64encode(b"platform:secret").decode()
SERVED = 404  # there is no such instance; what the broker answers stands in the log
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def head(*listeners):
    return "listen:\n" + "".join(f"  - {x}\n" for x in listeners).replace(
        "{", "{{").replace("}", "}}").replace("<dir>", "{dir}") + REST


def proxied(trusted="127.0.0.1", address="127.0.0.1:0", more=""):
    return head(f'{{address: "{address}", proxy_protocol: required, trusted: [{trusted}]{more}}}')


def request(headers="", password=AUTH, close=True):
    return ("GET /v2/service_instances/i HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\n"
            f"Authorization: Basic {password}\r\n{headers}"
            + ("Connection: close\r\n" if close else "") + "\r\n").encode()


def v2(source="198.51.100.7", command=1, extra=b""):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    target = "2001:db8::99" if ":" in source else "203.0.113.1"
    body = (socket.inet_pton(family, source) + socket.inet_pton(family, target) +
            struct.pack("!HH", 4711, 443) + extra)
    kind = 0x21 if ":" in source else 0x11
    return V2 + bytes([0x20 | command, kind]) + struct.pack("!H", len(body)) + body


LOCAL = V2 + b"\x20\x00\x00\x00"
V1 = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n"


def everything(s):
    """What comes until the end; a reset is an end too."""
    got = b""
    try:
        while piece := s.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def say(where, *pieces, pause=0.0):
    """Connects, sends the pieces, and returns all that is answered."""
    with connect(where) as s:
        for piece in pieces:
            s.sendall(piece)
            if pause:
                time.sleep(pause)
        return everything(s)


def connect(where):
    s = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
    s.settimeout(20)
    s.connect(where if isinstance(where, str) else ("127.0.0.1", where))
    return s


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def start(osbd, the_head, **more):
    d = osbd(SERVICES, start=False, head=the_head)
    return d.start(**more)


def peers(d, path="/v2/service_instances/i"):
    """peer, via and proto of the requests in the log."""
    found = []
    for line in d.log().splitlines():
        if path in line:
            found.append(tuple((re.findall(rf"\b{k}=(\S+)", line) or [None])[0]
                               for k in ("peer", "via", "proto")))
    return found


def logged(d, *want):
    """The log is written behind the answers."""
    rig.wait_until(lambda: len(peers(d)) >= len(want), 5)
    assert peers(d) == list(want)


# -- PROXY protocol ---------------------------------------------------------------------------


@pytest.mark.parametrize("header, peer, via", [
    (V1, "198.51.100.7", "127.0.0.1"),
    (b"PROXY TCP6 2001:DB8::7 2001:db8::1 4711 443\r\n", "2001:db8::7", "127.0.0.1"),
    (v2(), "198.51.100.7", "127.0.0.1"),
    (v2("2001:db8::7"), "2001:db8::7", "127.0.0.1"),
    (v2(extra=b"\x04\x00\x02hi"), "198.51.100.7", "127.0.0.1"),
    (v2("::ffff:198.51.100.7"), "198.51.100.7", "127.0.0.1"),
    # the balancer itself: a health check
    (LOCAL, "127.0.0.1", None),
    (v2(command=0), "127.0.0.1", None),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1", None),
])
def test_header(osbd, header, peer, via):
    d = start(osbd, proxied())
    assert status(say(d.port, header + request())) == SERVED
    # in pieces, down to single bytes
    assert status(say(d.port, header, request(), pause=0.02)) == SERVED
    whole = header + request()
    assert status(say(d.port, *(whole[i:i + 1] for i in range(len(header) + 5)),
                      whole[len(header) + 5:], pause=0.0005)) == SERVED
    logged(d, *[(peer, via, None)] * 3)


def test_one_header_for_all_requests(osbd):
    d = start(osbd, proxied())
    answer = say(d.port, V1 + request(close=False) + request(close=False) + request())
    assert answer.count(b"HTTP/1.1 404 ") == 3
    logged(d, *[("198.51.100.7", "127.0.0.1", None)] * 3)
    # a second header is a bad request
    answer = say(d.port, V1 + V1 + request())
    assert status(answer) == 501  # PROXY is no method
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("bytes_", [
    request(),
    b"PROXY TCP4 198.51.100.7 203.0.113.1 4711\r\n" + request(),
    b"PROXY TCP4 " + b"1" * 200 + request(),
    b"\x16\x03\x01\x02\x00\x01\x00",
    V2 + b"\x31\x11\x00\x0c" + b"x" * 12 + request(),
    V2 + b"\x21\x11\xff\xff" + request(),
    V2 + b"\x21\x11\x00\x04" + b"x" * 4 + request(),
    b"\0" * 64,
])
def test_garbage(osbd, bytes_):
    d = start(osbd, proxied())
    assert say(d.port, bytes_) == b""
    assert rig.wait_until(lambda: "127.0.0.1 sends no PROXY header" in d.log())
    assert peers(d) == []
    assert status(say(d.port, V1 + request())) == SERVED


def test_header_that_does_not_come(osbd):
    d = start(osbd, proxied())
    began = time.monotonic()
    for part in (b"", V1[:20], v2()[:20]):
        with connect(d.port) as s:
            s.sendall(part)
            assert everything(s) == b""  # closed after header_timeout
    assert 2.5 < time.monotonic() - began < 10
    # one byte each quarter of a second does not get more time
    began = time.monotonic()
    with connect(d.port) as s:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for i in range(len(V1)):
                s.sendall(V1[i:i + 1])
                time.sleep(0.25)
    assert time.monotonic() - began < 5
    # who leaves before is no news
    with connect(d.port):
        pass
    assert "sends no PROXY header" not in d.log()
    assert peers(d) == []


def test_others_send_none(osbd):
    """From an address that is not trusted there is no header, and none is believed."""
    d = start(osbd, proxied(trusted="10.0.0.0/8, unix"))
    assert status(say(d.port, request())) == SERVED
    for header, code in ((V1, 501), (v2(), 400), (V2, 400)):
        answer = say(d.port, header + request())
        assert status(answer) == code
        assert answer.count(b"HTTP/1.1 ") == 1  # and it is closed
    logged(d, ("127.0.0.1", None, None))


def test_off_is_the_default(osbd):
    d = start(osbd, head('{address: "127.0.0.1:0"}'))
    for header, code in ((V1, 501), (v2(), 400), (V2, 400)):
        answer = say(d.port, header + request())
        assert status(answer) == code
        assert answer.count(b"HTTP/1.1 ") == 1  # and it is closed
    assert status(say(d.port, request("X-Forwarded-For: 198.51.100.7\r\n"
                                      "X-Forwarded-Proto: https\r\n"))) == SERVED
    logged(d, ("127.0.0.1", None, None))


def test_unix(osbd, tmp_path):
    path = str(tmp_path / "in.sock")
    d = start(osbd, head(
        f'{{address: "unix:{path}", proxy_protocol: required, trusted: [unix]}}',
        '{address: "127.0.0.1:0"}'))
    assert status(say(path, V1 + request())) == SERVED
    assert say(path, request()) == b""
    assert status(say(path, LOCAL + request())) == SERVED
    logged(d, ("198.51.100.7", "unix", None), ("unix", None, None))


def test_failures_count_for_the_client(osbd):
    """Who guesses passwords locks himself out, and not all who come by the same proxy."""
    d = start(osbd, proxied())
    wrong = base64.b64encode(b"nobody:wrong").decode()
    codes = [status(say(d.port, v2("198.51.100.66") + request(password=wrong)))
             for _ in range(14)]
    assert codes[0] == 401 and codes[-1] == 429, codes
    assert status(say(d.port, v2("198.51.100.67") + request(
        password=base64.b64encode(b"other:wrong").decode()))) == 401
    assert status(say(d.port, v2("198.51.100.7") + request())) == SERVED
    assert rig.wait_until(lambda: "wrong password from 198.51.100.66" in d.log())


def test_drain_does_not_wait_for_headers(osbd):
    d = start(osbd, proxied().replace("header_timeout: 1s", "header_timeout: 60s"))
    with connect(d.port) as silent, connect(d.port) as half:
        half.sendall(V1[:10])
        time.sleep(0.1)
        began = time.monotonic()
        d.stop(10)
        assert time.monotonic() - began < 5
        assert everything(silent) == b"" and everything(half) == b""


# -- before TLS ---------------------------------------------------------------------------------

TLS = ", tls: {certificate: CERTS/one.pem, key: CERTS/one.key}"


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certs")
    subprocess.run(["sh", f"{rig.TREE}/test/certs.sh", str(directory)], check=True)
    return str(directory)


def say_tls(port, certs, header, together):
    """The header, and TLS behind it: in the same segment as its first bytes, or later."""
    context = ssl.create_default_context(cafile=f"{certs}/ca.pem")
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(come, go, server_hostname="one.test")
    got = b""
    with connect(port) as s:
        if not together:
            s.sendall(header)
            time.sleep(0.05)
            header = b""

        def do(what, *args):
            nonlocal header
            while True:
                try:
                    return what(*args)
                except ssl.SSLWantReadError:
                    s.sendall(header + go.read())
                    header = b""
                    more = s.recv(65536)
                    come.write(more) if more else come.write_eof()

        do(tls.do_handshake)
        tls.write(request())
        try:
            while piece := do(tls.read, 65536):
                got += piece
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass
    return got


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("header", [V1, v2(), LOCAL])
def test_header_before_tls(osbd, certs, header, together):
    d = start(osbd, proxied(more=TLS.replace("CERTS", certs)))
    assert status(say_tls(d.port, certs, header, together)) == SERVED
    logged(d, ("127.0.0.1", None, None) if header == LOCAL
           else ("198.51.100.7", "127.0.0.1", None))
    # TLS without a header, a header inside of TLS, plain HTTP behind the header
    with pytest.raises((ssl.SSLError, OSError)):
        say_tls(d.port, certs, b"", together)
    assert rig.wait_until(lambda: "127.0.0.1 sends no PROXY header" in d.log())
    assert status(say(d.port, header + request())) is None
    assert len(peers(d)) == 1


def test_handshake_of_the_client(osbd, certs):
    """What goes wrong in TLS is said of the client, not of the balancer."""
    d = start(osbd, proxied(more=TLS.replace("CERTS", certs)).replace("level: info",
                                                                      "level: debug"))
    say(d.port, v2("198.51.100.66") + b"garbage that is no TLS at all\r\n")
    assert rig.wait_until(lambda: "TLS handshake with 198.51.100.66" in d.log())


def test_haproxy_passes_tls_on(osbd, certs, tmp_path):
    d = start(osbd, proxied(more=TLS.replace("CERTS", certs)))
    with Haproxy(tmp_path, d.port, "send-proxy-v2 check-send-proxy", wait=False) as h:
        def answers():
            try:
                return status(say_tls(h.port, certs, b"", False)) == SERVED
            except OSError:  # not there yet
                return False
        assert rig.wait_until(answers, 20)
    assert rig.wait_until(lambda: ("127.0.0.1", "127.0.0.1", None) in peers(d))
    assert "sends no PROXY header" not in d.log()


# -- X-Forwarded-For and -Proto ---------------------------------------------------------------


def test_forwarded(osbd):
    d = start(osbd, head('{address: "127.0.0.1:0", forwarded: true, '
                         'trusted: [127.0.0.1, "10.0.0.0/8"]}'))
    rows = [
        ("X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n",
         ("198.51.100.7", "127.0.0.1", "https")),
        ("X-Forwarded-For: 127.0.0.1, 198.51.100.7, 10.1.1.1\r\n",
         ("198.51.100.7", "127.0.0.1", None)),
        ("X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 2001:db8::7\r\n",
         ("2001:db8::7", "127.0.0.1", None)),
        ("X-Forwarded-For: <script>\r\nX-Forwarded-Proto: gopher\r\n", ("127.0.0.1", None, None)),
        ("", ("127.0.0.1", None, None)),
    ]
    for headers, _ in rows:
        assert status(say(d.port, request(headers))) == SERVED
    logged(d, *[want for _, want in rows])


def test_forwarded_by_others(osbd):
    d = start(osbd, head('{address: "127.0.0.1:0", forwarded: true, trusted: ["10.0.0.0/8"]}'))
    assert status(say(d.port, request("X-Forwarded-For: 198.51.100.7\r\n"
                                      "X-Forwarded-Proto: https\r\n"))) == SERVED
    logged(d, ("127.0.0.1", None, None))


def test_forwarded_behind_proxy_header(osbd):
    """The PROXY header says who connects: what he forwards counts when he is trusted too."""
    d = start(osbd, proxied(trusted='127.0.0.1, "10.0.0.0/8"', more=", forwarded: true"))
    x = request("X-Forwarded-For: 192.0.2.1\r\n")
    assert status(say(d.port, v2("198.51.100.7") + x)) == SERVED
    assert status(say(d.port, v2("10.0.0.9") + x)) == SERVED
    logged(d, ("198.51.100.7", "127.0.0.1", None), ("192.0.2.1", "10.0.0.9", None))


# -- a balancer ---------------------------------------------------------------------------------

HAPROXY = """\
global
    maxconn 100
defaults
    mode {mode}
    timeout connect 2s
    timeout client 10s
    timeout server 10s
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    {check}
    server osbd 127.0.0.1:{osbd} {options} check inter 100ms fall 1 rise 1
"""


class Haproxy:
    def __init__(self, directory, osbd, options, mode="tcp", check="", wait=True):
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        assert program, "haproxy is not installed"
        self.port, self.wait = servers.free_port(), wait
        path = os.path.join(str(directory), "haproxy.cfg")
        with open(path, "w") as f:
            f.write(HAPROXY.format(mode=mode, port=self.port, osbd=osbd, options=options,
                                   check=check))
        self.process = subprocess.Popen([program, "-db", "-q", "-f", path],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def __enter__(self):
        assert not self.wait or rig.wait_until(self.answers, 20), "the balancer has no server"
        return self

    def answers(self):
        try:
            return status(say(self.port, request())) == SERVED
        except OSError:  # not there yet
            return False

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_haproxy(osbd, tmp_path, version, mode):
    d = start(osbd, proxied(more=", forwarded: true"))
    with Haproxy(tmp_path, d.port, version + " check-send-proxy", mode) as h:
        # 127.0.0.2 connects to the balancer: it is seen behind it
        with socket.create_connection(("127.0.0.1", h.port), 10,
                                      source_address=("127.0.0.2", 0)) as s:
            s.sendall(request())
            assert status(everything(s)) == SERVED
        assert rig.wait_until(lambda: ("127.0.0.2", "127.0.0.1", None) in peers(d))
        # its health checks have gone on meanwhile, and none was refused
        time.sleep(0.5)
        assert status(say(h.port, request())) == SERVED
    assert "sends no PROXY header" not in d.log()


def test_haproxy_health_check_over_http(osbd, tmp_path):
    d = start(osbd, proxied())
    with Haproxy(tmp_path, d.port, "send-proxy-v2 check-send-proxy", "http",
                 "option httpchk GET /nothing\n    http-check expect status 401,404,400,412") as h:
        time.sleep(0.3)
        assert status(say(h.port, request())) == SERVED
    assert "sends no PROXY header" not in d.log()


def test_haproxy_forwards(osbd, tmp_path):
    d = start(osbd, head('{address: "127.0.0.1:0", forwarded: true, trusted: [127.0.0.1]}'))
    with Haproxy(tmp_path, d.port, "", "http",
                 "option forwardfor\n    http-request set-header X-Forwarded-Proto https") as h:
        with socket.create_connection(("127.0.0.1", h.port), 10,
                                      source_address=("127.0.0.2", 0)) as s:
            s.sendall(request("X-Forwarded-For: 192.0.2.66\r\n"))
            assert status(everything(s)) == SERVED
    assert rig.wait_until(lambda: ("127.0.0.2", "127.0.0.1", "https") in peers(d))


# -- sockets of others --------------------------------------------------------------------------


def activate(d, sockets, names, pid="own", wait=True):
    """Starts osbd as systemd does: descriptors from 3 on, and who they are for."""
    fds = [s.fileno() for s in sockets]

    def adopt():
        kept = [os.dup(fd) for fd in fds]
        while min(kept) < 3 + len(kept):  # none of them is where another has to go
            kept = [os.dup(fd) for fd in kept]
        for i, fd in enumerate(kept):
            os.dup2(fd, 3 + i, inheritable=True)

    # the shell knows its number, and osbd takes its place
    script = f'export LISTEN_PID={"$$" if pid == "own" else pid}; exec "$@"'
    env = {"LISTEN_FDS": str(len(fds))}
    if names is not None:
        env["LISTEN_FDNAMES"] = names
    d.start(env=env, wait=wait, wrap=("/bin/sh", "-c", script, "sh"), preexec_fn=adopt,
            close_fds=False)


def activated(osbd, the_head, sockets, names, **more):
    d = osbd(SERVICES, start=False, head=the_head)
    activate(d, sockets, names, **more)
    return d


def listening(address=("127.0.0.1", 0), family=socket.AF_INET):
    s = socket.socket(family)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(address)
    s.listen(16)
    return s


def test_activation(osbd, tmp_path):
    path = str(tmp_path / "s.sock")
    with listening() as a, listening() as b, listening(path, socket.AF_UNIX) as u, \
            listening(("::", 0), socket.AF_INET6) as dual:
        ports = [s.getsockname()[1] for s in (a, b, dual)]
        # who connects before osbd is there is served by it
        early = connect(ports[0])
        early.sendall(request())
        d = activated(osbd, head('{address: "systemd:web"}', '{address: "systemd:local"}'),
                      [a, u, b, dual], "web:local:web:web")
        assert status(everything(early)) == SERVED
        early.close()
        for where in (*ports, path):
            assert status(say(where, request())) == SERVED
        logged(d, *[("127.0.0.1", None, None)] * 4, ("unix", None, None))
        assert f"listening on unix:{path}, path /" in d.log()
        assert f"listening on [::]:{ports[2]}, path /" in d.log()
        d.stop()
        assert os.path.exists(path), "the socket is not ours to remove"
        # they still listen: the next one serves who connects meanwhile
        waiting = connect(path)
        waiting.sendall(request())
        activate(d, [a, u, b, dual], "web:local:web:web")
        assert status(everything(waiting)) == SERVED
        waiting.close()


def test_activation_without_names(osbd):
    with listening() as a:
        d = activated(osbd, head('{address: "systemd:unknown"}'), [a], None)
        assert status(say(d.port, request())) == SERVED
        assert d.port == a.getsockname()[1]


def test_activation_with_proxy_header(osbd):
    with listening() as a:
        d = activated(osbd, proxied(address="systemd:web"), [a], "web")
        assert status(say(d.port, V1 + request())) == SERVED
        logged(d, ("198.51.100.7", "127.0.0.1", None))


def fails(d, message):
    assert d.process.wait(20) == 1, d.log()
    assert message in d.log()


def test_activation_of_another_process(osbd):
    with listening() as a:
        d = activated(osbd, head('{address: "systemd:web"}'), [a], "web", pid="1", wait=False)
        fails(d, "osbd: listen: systemd:web: no socket of that name was passed to osbd")
        # whoever does not ask for them is not disturbed
        d = activated(osbd, head('{address: "127.0.0.1:0"}'), [a], "web", pid="1")
        assert status(say(d.port, request())) == SERVED
        assert "web" not in d.log()


def test_activation_that_does_not_fit(osbd):
    with listening() as a:
        d = activated(osbd, head('{address: "systemd:web"}'), [a], "other", wait=False)
        fails(d, "systemd:web: no socket of that name")
        d = activated(osbd, head('{address: "127.0.0.1:0"}'), [a], "other")
        assert status(say(d.port, request())) == SERVED
        assert "a socket named other was passed, but no listener" in d.log()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        d = activated(osbd, head('{address: "systemd:web"}'), [udp], "web", wait=False)
        fails(d, "systemd:web: fd:3: the descriptor is no stream socket that listens")
    with socket.socket() as idle:  # a socket that nobody listens on
        d = activated(osbd, head('{address: "systemd:web"}'), [idle], "web", wait=False)
        fails(d, "systemd:web: fd:3: the descriptor is no stream socket that listens")


# -- one port for several processes ---------------------------------------------------------


def status_or_cut(port):
    try:
        return status(say(port, request()))
    except ConnectionResetError:
        return "cut off"


def test_reuse_port(osbd):
    port = servers.free_port()
    one = head(f'{{address: "127.0.0.1:{port}", reuse_port: true}}')
    first, second = start(osbd, one), start(osbd, one)
    for _ in range(60):
        assert status(say(port, request())) == SERVED
    assert rig.wait_until(lambda: len(peers(first)) + len(peers(second)) == 60)
    assert len(peers(first)) > 5 and len(peers(second)) > 5
    # one goes, the other serves all; who has connected in the very moment between the last look
    # and the end of the socket is cut off by the kernel
    first.http.close()
    first.process.send_signal(signal.SIGTERM)
    answers = [status_or_cut(port) for _ in range(60)]
    assert answers.count(SERVED) >= 59, answers
    assert first.process.wait(20) == 0
    rig.wait_until(lambda: len(peers(first)) + len(peers(second)) >= 60 + answers.count(SERVED))
    before = len(peers(second))
    for _ in range(10):
        assert status(say(port, request())) == SERVED
    assert rig.wait_until(lambda: len(peers(second)) == before + 10)


def test_port_is_not_shared_unasked(osbd):
    port = servers.free_port()
    start(osbd, head(f'{{address: "127.0.0.1:{port}"}}'))
    d = start(osbd, head(f'{{address: "127.0.0.1:{port}", reuse_port: true}}'), wait=False)
    fails(d, f"127.0.0.1:{port}: the address is in use")
