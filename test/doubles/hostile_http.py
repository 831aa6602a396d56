#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that does what servers must not, and a proxy that goes nowhere: for tests.

Prints its port, serves 127.0.0.1 and ends when stdin does. The path says what a request gets:
bytes of ANSWERS as they stand, or what the function of that name in DEEDS does. Connections stay
open unless an answer says otherwise. CONNECT is answered and the connection then serves as if it
led to the host asked for; absolute targets are served by their path."""
import json
import socket
import struct
import sys
import threading
import time

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def head(*lines, status=b"200 OK", version=b"HTTP/1.1"):
    return version + b" " + status + b"\r\n" + b"".join(x + b"\r\n" for x in lines) + b"\r\n"


# path: (bytes, whether the connection is closed behind them)
ANSWERS = {
    "/ok": (OK, False),
    "/close": (head(b"Content-Length: 2", b"Connection: close") + b"ok", True),
    "/old": (head(b"Content-Length: 2", version=b"HTTP/1.0") + b"ok", True),
    "/empty-body": (head(b"Content-Length: 0"), False),
    "/none": (head(status=b"204 No Content"), False),
    "/unchanged": (head(b"Content-Length: 5", status=b"304 Not Modified"), False),
    "/chunked": (
        head(b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
        False,
    ),
    "/until-close": (head() + b"to the end", True),
    "/interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + OK, False),
    "/no-reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", False),
    "/busy": (head(b"Content-Length: 0", b"Retry-After: 7", status=b"503 Busy"), False),
    "/two-answers": (OK + OK, False),
    # wrong from here on
    "/nothing": (b"", True),
    "/short": (head(b"Content-Length: 10") + b"short", True),
    "/long": (head(b"Content-Length: 2") + b"ok and more", False),
    "/cut-head": (b"HTTP/1.1 200 OK\r\nContent-Le", True),
    "/cut-chunk": (head(b"Transfer-Encoding: chunked") + b"5\r\nab", True),
    "/no-last-chunk": (head(b"Transfer-Encoding: chunked") + b"2\r\nab\r\n", True),
    "/twice": (head(b"Content-Length: 2", b"Content-Length: 2") + b"ok", False),
    "/twice-other": (head(b"Content-Length: 2", b"Content-Length: 3") + b"ok", False),
    "/list-length": (head(b"Content-Length: 2, 2") + b"ok", False),
    "/minus-length": (head(b"Content-Length: -2") + b"ok", False),
    "/plus-length": (head(b"Content-Length: +2") + b"ok", False),
    "/hex-length": (head(b"Content-Length: 0x2") + b"ok", False),
    "/overflow-length": (head(b"Content-Length: 18446744073709551618") + b"ok", False),
    "/both": (head(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", False),
    "/both-other-way": (head(b"Transfer-Encoding: chunked", b"Content-Length: 2") + b"0\r\n\r\n", False),
    "/gzip": (head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", False),
    "/chunked-twice": (head(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", False),
    "/old-chunked": (
        head(b"Transfer-Encoding: chunked", version=b"HTTP/1.0") + b"0\r\n\r\n",
        False,
    ),
    "/bad-chunk": (head(b"Transfer-Encoding: chunked") + b"zz\r\nab\r\n0\r\n\r\n", False),
    "/wrong-chunk": (head(b"Transfer-Encoding: chunked") + b"2\r\nabc\r\n0\r\n\r\n", False),
    "/huge-chunk": (head(b"Transfer-Encoding: chunked") + b"fffffffffffffffff\r\nab", False),
    "/lf-chunk": (head(b"Transfer-Encoding: chunked") + b"2\nab\n0\n\n", False),
    "/huge-length": (head(b"Content-Length: 1099511627776"), False),
    "/garbage": (b"\x16\x03\x01\x00 not at all\r\n\r\n", False),
    "/html": (b"<html>hello</html>\n", False),
    "/http2": (head(b"Content-Length: 0", version=b"HTTP/2.0"), False),
    "/http11.1": (head(b"Content-Length: 0", version=b"HTTP/11.1"), False),
    "/http1": (head(b"Content-Length: 0", version=b"HTTP/1"), False),
    "/rtsp": (head(b"Content-Length: 0", version=b"RTSP/1.0"), False),
    "/ice": (head(b"Content-Length: 0", version=b"ICE/1.0"), False),
    "/status-999": (head(b"Content-Length: 0", status=b"999 Odd"), False),
    "/status-20": (head(b"Content-Length: 0", status=b"20 Short"), False),
    "/status-2000": (head(b"Content-Length: 0", status=b"2000 Long"), False),
    "/status-word": (head(b"Content-Length: 0", status=b"OK 200"), False),
    "/switch": (head(b"Upgrade: x", b"Connection: Upgrade", status=b"101 Switching Protocols"), False),
    "/bare-lf": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", False),
    "/bare-cr": (b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 2\r\n\r\nok", False),
    "/folded": (head(b"A: b\r\n c", b"Content-Length: 2") + b"ok", False),
    "/nul": (head(b"A: b\0c", b"Content-Length: 2") + b"ok", False),
    "/space-colon": (head(b"Content-Length : 2") + b"ok", False),
    "/no-colon": (head(b"Content-Length 2") + b"ok", False),
    "/no-name": (head(b": 2") + b"ok", False),
    "/empty-lines": (b"\r\n\r\n" + OK, False),
    "/interim-body": (b"HTTP/1.1 102 P\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" + OK, False),
    "/many-headers": (head(*[b"A%d: b" % i for i in range(5000)]), False),
    "/large-header": (head(b"A: " + b"b" * 200_000), False),
    "/large-reason": (head(status=b"200 " + b"b" * 200_000), False),
}


class Gone(Exception):
    pass


class Connection:
    count = 0

    def __init__(self, sock):
        Connection.count += 1
        self.number = Connection.count
        self.sock = sock
        self.file = sock.makefile("rb")
        self.stale = False

    def request(self):
        """Method, target, head, and what is left to be read: (length or None when chunked)."""
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                raise Gone
            lines.append(line)
            if line in (b"\r\n", b"\n"):
                break
        method, target, _ = lines[0].decode("latin-1").split(" ", 2)
        length = 0
        for line in lines[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "content-length":
                length = int(value)
            if name.lower() == "transfer-encoding":
                length = None
        return method, target, b"".join(lines), length

    def body(self, length):
        if length is not None:
            return self.file.read(length)
        data = b""
        while size := int(self.file.readline().split(b";")[0], 16):
            data += self.file.read(size)
            self.file.readline()
        self.file.readline()
        return data

    def serve(self):
        while True:
            method, target, top, length = self.request()
            if method == "CONNECT":
                self.connect(target)
                continue
            if self.stale:
                return
            if target.startswith("http://"):
                target = "/" + target.split("/", 3)[3]
            path, _, query = target.partition("?")
            deed = getattr(self, "do_" + path[1:].replace("-", "_"), None)
            if deed and path in ("/early", "/slow-reader"):
                deed(query)
                continue
            data = self.body(length)
            if path == "/echo":
                self.json({"head": top.decode("latin-1"), "body": data.decode("latin-1"),
                           "bytes": len(data), "connection": self.number})
            elif deed:
                deed(query)
            elif path in ANSWERS:
                answer, close = ANSWERS[path]
                self.sock.sendall(answer)
                if close:
                    return
            else:
                self.sock.sendall(head(b"Content-Length: 0", status=b"404 Not Found"))

    def json(self, value):
        data = json.dumps(value).encode()
        self.sock.sendall(head(b"Content-Length: %d" % len(data)) + data)

    def connect(self, target):
        if target.startswith("deny."):
            self.sock.sendall(head(b"Content-Length: 3", status=b"407 Proxy Authentication Required")
                              + b"no\n")
        elif target.startswith("chatty."):
            self.sock.sendall(head(status=b"200 OK") + b"hello")
        elif target.startswith("mute."):
            time.sleep(60)
        elif target.startswith("odd."):
            self.sock.sendall(b"odd\r\n\r\n")
        elif target.startswith("gone."):
            raise Gone
        else:
            self.sock.sendall(head(b"Content-Length: 5", status=b"200 OK"))

    def do_count(self, _):
        self.json(Connection.count)

    def do_stale(self, _):
        """The connection ends when the next request has been read."""
        self.sock.sendall(OK)
        self.stale = True

    def do_drop_soon(self, _):
        """The connection ends right behind the answer, which does not say so."""
        self.sock.sendall(OK)
        raise Gone

    def do_unasked(self, _):
        """Something comes while the connection is idle."""
        self.sock.sendall(OK)
        time.sleep(0.1)
        self.sock.sendall(head(b"Content-Length: 0", status=b"408 Request Timeout"))

    def do_reset(self, _):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.sock.close()
        raise Gone

    def do_silent(self, _):
        time.sleep(60)

    def do_drip_head(self, _):
        for byte in OK:
            self.sock.sendall(bytes([byte]))
            time.sleep(0.3)

    def do_drip_body(self, _):
        self.sock.sendall(head(b"Content-Length: 1000"))
        for _ in range(1000):
            self.sock.sendall(b"x")
            time.sleep(0.05)

    def do_stall_body(self, _):
        self.sock.sendall(head(b"Content-Length: 1000") + b"x")
        time.sleep(60)

    def do_late(self, _):
        time.sleep(0.3)
        self.sock.sendall(OK)

    def do_endless_headers(self, _):
        self.sock.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            self.sock.sendall(b"A: b\r\n" * 1000)

    def do_endless_name(self, _):
        self.sock.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            self.sock.sendall(b"a" * 4096)

    def do_endless_interim(self, _):
        while True:
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def do_endless_body(self, _):
        self.sock.sendall(head())
        while True:
            self.sock.sendall(b"x" * 65536)

    def do_endless_chunks(self, _):
        self.sock.sendall(head(b"Transfer-Encoding: chunked"))
        while True:
            self.sock.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")

    def do_endless_extension(self, _):
        self.sock.sendall(head(b"Transfer-Encoding: chunked") + b"1;")
        while True:
            self.sock.sendall(b"x" * 65536)

    def do_endless_trailer(self, _):
        self.sock.sendall(head(b"Transfer-Encoding: chunked") + b"0\r\n")
        while True:
            self.sock.sendall(b"A: b\r\n" * 1000)

    def do_watch(self, query):
        """A line every 20 ms for ever, or as many as the query says, then the end."""
        self.sock.sendall(head(b"Transfer-Encoding: chunked"))
        for i in range(int(query or 1 << 30)):
            line = b'{"n":%d}\n' % i
            self.sock.sendall(b"%x\r\n%s\r\n" % (len(line), line))
            time.sleep(0.02)
        self.sock.sendall(b"0\r\n\r\n")

    def do_big(self, query):
        n = int(query)
        self.sock.sendall(head(b"Content-Length: %d" % n))
        block = bytes(range(256)) * 256
        while n:
            self.sock.sendall(block[:n])
            n -= min(n, len(block))

    def do_early(self, _):
        """An answer before the body has been read, then the end."""
        self.sock.sendall(head(b"Content-Length: 5", b"Connection: close", status=b"413 Too Large")
                          + b"large")
        self.sock.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        raise Gone

    def do_slow_reader(self, _):
        time.sleep(60)

    def redirect(self, status, query, body=b""):
        location = query.encode("latin-1")
        self.sock.sendall(head(b"Location: " + location, b"Content-Length: %d" % len(body),
                               status=status) + body)

    def do_301(self, query):
        self.redirect(b"301 Moved", query)

    def do_302(self, query):
        self.redirect(b"302 Found", query, b"look over there")

    def do_303(self, query):
        self.redirect(b"303 See Other", query)

    def do_307(self, query):
        self.redirect(b"307 Temporary Redirect", query)

    def do_302_endless(self, query):
        self.sock.sendall(head(b"Location: " + query.encode(), status=b"302 Found"))
        while True:
            self.sock.sendall(b"x" * 65536)


def talk(sock):
    connection = Connection(sock)
    try:
        connection.serve()
    except (Gone, OSError, ValueError):
        pass
    try:
        connection.file.close()
        sock.close()
    except OSError:
        pass


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)

    def accept():
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=talk, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
