# SPDX-License-Identifier: Apache-2.0
"""Many connections to one daemon, from one thread: plain HTTP/1.1 on asyncio."""
import asyncio
import base64
import json

AUTH = "Basic " + base64.b64encode(b"platform:secret").decode()


def head(method, path, body=None, more=""):
    content = b"" if body is None else json.dumps(body).encode()
    lines = (f"{method} {path} HTTP/1.1\r\nHost: test\r\nAuthorization: {AUTH}\r\n"
             f"X-Broker-API-Version: 2.17\r\n{more}")
    if body is not None:
        lines += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return lines.encode() + b"\r\n" + content


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


async def read_answer(reader):
    top = await reader.readuntil(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(lines[0].split()[1]), headers, body)


async def ask(reader, writer, method, path, body=None):
    writer.write(head(method, path, body))
    return await read_answer(reader)


async def connect(port):
    for _ in range(50):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionResetError:
            await asyncio.sleep(0.05)
    raise ConnectionResetError


async def all_of(port, requests, connections):
    """Sends (method, path, body) in their order over so many connections; the answers in the order
    of the requests."""
    answers = [None] * len(requests)
    waiting = iter(enumerate(requests))

    async def work():
        reader, writer = await connect(port)
        for n, (method, path, body) in waiting:
            answers[n] = await ask(reader, writer, method, path, body)
            if answers[n].headers.get("connection") == "close":
                writer.close()
                reader, writer = await connect(port)
        writer.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return answers
