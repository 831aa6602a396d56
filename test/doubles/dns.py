#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A name server for tests, on UDP and TCP of one port of 127.0.0.1.

Prints its port, then each question as `udp NAME TYPE`. Ends when stdin does. What it answers:
  many.test          three IPv4 addresses, 127.0.0.1 to 127.0.0.3
  both.test          127.0.0.1 and ::1
  six.test           ::1 only
  big.test           truncated on UDP; 40 addresses on TCP
  alias.test         CNAME to many.test with its addresses
  db.inner.test      127.0.0.9, for search domains
  empty.test         the name exists and has no address
  silent.test        nothing at all
  late.test          127.0.0.1, after 300 ms
  fail.test          SERVFAIL
  deny.test          REFUSED
  garbage.test       bytes that are no answer
  anything else      NXDOMAIN"""
import socket
import struct
import sys
import threading
import time

A, CNAME, AAAA = 1, 5, 28
FOUR = {
    "many.test": ["127.0.0.1", "127.0.0.2", "127.0.0.3"],
    "both.test": ["127.0.0.1"],
    "six.test": [],
    "empty.test": [],
    "big.test": [f"127.0.1.{i}" for i in range(40)],
    "alias.test": ["127.0.0.1", "127.0.0.2", "127.0.0.3"],
    "db.inner.test": ["127.0.0.9"],
    "late.test": ["127.0.0.1"],
}
SIX = {"both.test": ["::1"], "six.test": ["::1"]}
CODES = {"fail.test": 2, "deny.test": 5}
said = threading.Lock()


def say(text):
    with said:
        print(text, flush=True)


def question(message):
    """The name, the type, and where the question ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("ascii", "replace"))
        at += 1 + message[at]
    return ".".join(labels).lower(), struct.unpack_from("!H", message, at + 1)[0], at + 5


def encode(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"


def answer(message, kind):
    """The bytes to send back; None to be silent."""
    name, wanted, end = question(message)
    say(f"{kind} {name} {wanted}")
    if name == "silent.test":
        return None
    if name == "garbage.test":
        return message[:2] + b"\xff" * 9
    if name == "late.test":
        time.sleep(0.3)
    flags, records = 0x8180, []
    if name in CODES:
        flags |= CODES[name]
    elif name not in FOUR:
        flags |= 3
    elif name == "big.test" and kind == "udp":
        flags |= 0x200
    else:
        owner = b"\xc0\x0c"
        if name == "alias.test":
            target = encode("many.test")
            records.append(owner + struct.pack("!HHIH", CNAME, 1, 60, len(target)) + target)
            owner = target
        family, found = (socket.AF_INET6, SIX) if wanted == AAAA else (socket.AF_INET, FOUR)
        for address in found.get(name, []) if wanted in (A, AAAA) else []:
            data = socket.inet_pton(family, address)
            records.append(owner + struct.pack("!HHIH", wanted, 1, 60, len(data)) + data)
    head = message[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return head + message[12:end] + b"".join(records)


def serve_udp(sock):
    while True:
        message, peer = sock.recvfrom(4096)
        threading.Thread(target=reply_udp, args=(sock, message, peer), daemon=True).start()


def reply_udp(sock, message, peer):
    reply = answer(message, "udp")
    if reply is not None:
        sock.sendto(reply, peer)


def serve_tcp(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def talk(connection):
    stream = connection.makefile("rwb")
    while len(head := stream.read(2)) == 2:
        reply = answer(stream.read(struct.unpack("!H", head)[0]), "tcp")
        if reply is not None:
            stream.write(struct.pack("!H", len(reply)) + reply)
            stream.flush()


def main():
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(listener.getsockname())
            break
        except OSError:  # the port is free for TCP only
            listener.close()
            udp.close()
    threading.Thread(target=serve_udp, args=(udp,), daemon=True).start()
    threading.Thread(target=serve_tcp, args=(listener,), daemon=True).start()
    say(listener.getsockname()[1])
    sys.stdin.read()


main()
