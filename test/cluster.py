# SPDX-License-Identifier: Apache-2.0
"""Several nodes of osbd on one PostgreSQL, behind HAProxy, on loopback.

Each node keeps its port over its lives, so that the balancer finds it again. What was started is
stopped, by process id.
"""
import os
import shutil
import signal
import socket
import subprocess

import rig
import servers

KEY = "00112233445566778899aabbccddeeff" * 2

HEAD = """\
listen: [{{address: "127.0.0.1:{port}"{listen}}}]
admin: {{address: "127.0.0.1:{admin}"}}
users: [{{name: platform, password: secret}}]
store: {{postgresql: {{url: "{url}"}}}}
seal: {{keys: [{{id: one, key: "{key}"}}]}}
children: {{directory: {dir}/run}}
log: {{level: info}}
"""

BALANCER = """\
global
    maxconn 2000
defaults
    mode {mode}
    timeout connect 2s
    timeout client 75s
    timeout server 75s
    timeout check 2s
    option redispatch
    retries 2
    retry-on conn-failure
frontend broker
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter 300ms fall 2 rise 1
"""


class Node(rig.Osbd):
    def __init__(self, directory, yaml, port, admin, url, listen=""):
        head = HEAD.format(port=port, admin=admin, url=url, listen=listen, key=KEY, dir="{dir}")
        self.fixed, self.admin = port, admin
        # the rig formats the head once more, with the directory
        head = head.replace("{", "{{").replace("}", "}}").replace("{{dir}}", "{dir}")
        super().__init__(directory, yaml, head=head)


class Cluster:
    def __init__(self, directory, yaml, nodes=3, pg=None, tls=None):
        """tls: what each listener has, as YAML; the balancer passes it through."""
        self.dir = directory
        self.tls = tls
        self.pg = pg or servers.Postgres()
        self.own_pg = pg is None
        self.nodes = []
        self.balancer = None
        self.port = servers.free_port()
        for n in range(nodes):
            d = os.path.join(directory, f"node{n + 1}")
            os.mkdir(d)
            self.nodes.append(Node(d, yaml, servers.free_port(), servers.free_port(),
                                   self.pg.url(), f", tls: {tls}" if tls else ""))

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
            self.start_balancer()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def start_balancer(self):
        path = os.path.join(self.dir, "haproxy.cfg")
        with open(path, "w") as f:
            f.write(BALANCER.format(port=self.port, mode="tcp" if self.tls else "http"))
            for n, node in enumerate(self.nodes):
                f.write(f"    server node{n + 1} 127.0.0.1:{node.fixed} port {node.admin}\n")
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        assert program, "haproxy is not installed"
        self.balancer = subprocess.Popen([program, "-db", "-q", "-f", path],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        assert rig.wait_until(lambda: self.answers(), 20), "the balancer has no node"

    def answers(self):
        try:
            if self.tls:
                return self.connect() is not None
            return self.client().catalog() is not None
        except Exception:  # not there yet
            return False

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def client(self):
        """A platform that talks to the balancer, each with connections of its own."""
        c = rig.Osbd.__new__(rig.Osbd)
        c.http = rig.httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=70,
                                  trust_env=False)
        return c

    def logs(self):
        text = ""
        for node in self.nodes:
            with open(node.log_path, "rb") as f:
                text += f.read().decode("utf-8", "replace")
        return text

    def close(self):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
            node.close()
        if self.balancer:
            self.balancer.terminate()
            self.balancer.wait(10)
        if self.own_pg:
            self.pg.close()
