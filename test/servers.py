#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests, each in a folder of its own, on loopback, gone when the test ends.

In Python:  with servers.Postgres() as pg: pg.url(), pg.stop(), pg.start(), pg.kill()
In a shell: servers.py pg -- PROGRAM…   runs a program with OSBD_PG_URL and OSBD_PG_CONTROL in its
environment. The second is the number of a socket that takes a line and answers one:
    start [NAME=VALUE…] | stop | kill       the server: fast shutdown, kill -9
    proxy                                   -> the port of a TCP proxy before it
    flow | swallow | deafen | cut           what the proxy does: pass everything on; lose what the
                                            server says; lose what it is told; reset all
Each answer is "ok", with what was asked for, or "error: why"."""
import ctypes
import glob
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PASSWORD = "s3cret-%-pw"
ENCODED = "s3cret-%25-pw"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def die_with_parent():
    """SIGINT for the child (a fast shutdown) when this process ends, however it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


def mount_small(directory, size):
    """Makes it a file system of its own, of "200m"; needs root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "osbd-test",
                    str(directory)], check=True)


def fill(directory):
    """A file that takes all that is free."""
    path = pathlib.Path(directory) / "fill"
    said = subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=4k"], check=False,
                          stderr=subprocess.PIPE, text=True).stderr
    assert "No space left" in said, said
    return path


class Postgres:
    """A PostgreSQL with the users osbd and tls (only over TLS), both owners of their database,
    and a certificate for localhost in .ca. disk: "200m", its folder is a file system that small."""

    def __init__(self, hba=(), disk=None, **settings):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
        if not found:
            raise RuntimeError("no PostgreSQL server below /usr/lib/postgresql")
        self.bin = pathlib.Path(found[-1])
        self.process = None
        self.port = free_port()
        self.settings = settings
        self.hba = hba
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="osbd-pg-", dir="/tmp"))
        self.mounted = disk is not None
        if disk:
            mount_small(self.dir, disk)
        self.log = self.dir / "log"
        self.ca = self.dir / "ca.crt"
        # PostgreSQL refuses to run as root
        self.as_user = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.dir.chmod(0o755)
        try:
            self._make()
            self.start()
            self._users()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _run(self, *argv, stdin=None):
        done = subprocess.run([str(a) for a in argv], cwd=self.dir, input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, **self.as_user)
        if done.returncode:
            raise RuntimeError(f"{argv[0]}: {done.stdout}")
        return done.stdout

    def _make(self):
        data = self.dir / "data"
        self._run(self.bin / "initdb", "-D", data, "-U", "root", "--no-sync", "-E", "UTF8",
                  "--auth=trust")
        for name, subject in (("ca", "/CN=osbd test CA"), ("other", "/CN=another CA")):
            self._run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", subject,
                      "-keyout", f"{name}.key", "-out", f"{name}.crt")
        self._run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-nodes", "-subj", "/CN=localhost", "-keyout", "data/server.key", "-out",
                  "server.csr")
        self._run("tee", "san", stdin="subjectAltName=DNS:localhost\n")
        self._run("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey",
                  "ca.key", "-CAcreateserial", "-days", "2", "-out", "data/server.crt",
                  "-extfile", "san")
        self._run("chmod", "600", "data/server.key")
        hba = ["local all root trust", "local all all scram-sha-256",
               "hostssl all tls 127.0.0.1/32 scram-sha-256",
               "host all osbd 127.0.0.1/32 scram-sha-256", *self.hba]
        self._run("tee", data / "pg_hba.conf", stdin="\n".join(hba) + "\n")

    def _users(self):
        for name in ("osbd", "tls"):
            self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
            self.sql(f"CREATE DATABASE {name} OWNER {name}")

    def sql(self, statement, database="postgres"):
        """Runs one statement as the superuser; returns what psql prints."""
        return self._run(self.bin / "psql", "-XqAt", "-h", self.dir, "-p", self.port, "-U", "root",
                         "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement).strip()

    def url(self, user="osbd", password=ENCODED, port=None, database=None, host="127.0.0.1"):
        return (f"postgresql://{user}:{password}@{host}:{port or self.port}/"
                f"{database or user}?sslmode=disable")

    def start(self, **settings):
        """Starts it and waits until it answers."""
        wanted = {"listen_addresses": "127.0.0.1", "port": self.port,
                  "unix_socket_directories": self.dir, "ssl": "on", "fsync": "on",
                  "log_min_messages": "log", **self.settings, **settings}
        argv = [str(self.bin / "postgres"), "-D", str(self.dir / "data")]
        for name, value in wanted.items():
            argv += ["-c", f"{name}={value}"]
        end = time.monotonic() + 30
        while True:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log, cwd=self.dir, start_new_session=True,
                                                preexec_fn=die_with_parent, **self.as_user)
            while self.process.poll() is None:
                try:
                    self.sql("SELECT 1")
                    return
                except RuntimeError:
                    time.sleep(0.05)
                if time.monotonic() > end:
                    break
            # after kill -9 its children may still be about: then it refuses to start
            if time.monotonic() > end:
                raise RuntimeError("PostgreSQL does not start:\n" + self.log.read_text())
            time.sleep(0.1)

    def _signal(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)

    def stop(self):
        self._signal(signal.SIGINT)

    def kill(self):
        """kill -9 for it and each of its children: alone they could hang on each other's locks."""
        if not self.process or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGSTOP)  # starts no more
        number = self.process.pid
        children = pathlib.Path(f"/proc/{number}/task/{number}/children").read_text().split()
        self._signal(signal.SIGKILL)
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                pass  # has seen the other's end

    def close(self):
        self._signal(signal.SIGQUIT)
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.dir)], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


class Session:
    """A client program that keeps its connection: a statement a line."""

    def __init__(self, argv):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={"PATH": os.environ["PATH"]})

    def ask(self, statement):
        """The first line of what comes; "" when the session has ended without a word."""
        try:
            self.process.stdin.write(statement + ";\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.kill()
        self.process.communicate()


class Proxy:
    """Passes TCP on to a port, or loses what goes one way."""

    def __init__(self, port):
        self.to = port
        self.mode = "flow"
        self.pairs = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.wake, self.woken = socket.socketpair()
        self.lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    def set(self, mode):
        with self.lock:
            if mode == "cut":
                for a, b in self.pairs:
                    for s in (a, b):
                        # linger 0: a reset
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        s.close()
                self.pairs = []
            else:
                self.mode = mode
        self.wake.send(b"x")

    def _drop(self, pair):
        for s in pair:
            s.close()
        self.pairs.remove(pair)

    def _pass_on(self, source, to, lose):
        data = source.recv(1 << 16)
        if data and not lose:
            to.sendall(data)
        return bool(data)

    def _turn(self, ready):
        if self.woken in ready:
            self.woken.recv(100)
        if self.listener in ready:
            a, _ = self.listener.accept()
            try:
                self.pairs.append((a, socket.create_connection(("127.0.0.1", self.to))))
            except OSError:
                a.close()
        for pair in list(self.pairs):
            a, b = pair
            try:
                if (a in ready and not self._pass_on(a, b, self.mode == "deafen")) or (
                        b in ready and not self._pass_on(b, a, self.mode == "swallow")):
                    self._drop(pair)
            except OSError:
                self._drop(pair)

    def _run(self):
        while True:
            with self.lock:
                waits = [self.listener, self.woken] + [s for pair in self.pairs for s in pair]
            try:
                ready = select.select(waits, [], [], 10)[0]
            except (OSError, ValueError):
                continue  # cut in between
            with self.lock:
                self._turn([s for s in ready if s.fileno() >= 0])


def control(pg, line, state):
    words = line.split()
    if words[0] == "start":
        pg.start(**dict(word.split("=", 1) for word in words[1:]))
    elif words[0] in ("stop", "kill"):
        getattr(pg, words[0])()
    elif words[0] == "proxy":
        state.setdefault("proxy", Proxy(pg.port))
        return f"ok {state['proxy'].port}"
    elif words[0] in ("flow", "swallow", "deafen", "cut"):
        state["proxy"].set(words[0])
    else:
        raise ValueError(f"unknown: {line}")
    return "ok"


def serve(pg, ours):
    state = {}
    for line in ours.makefile("r"):
        try:
            answer = control(pg, line.strip(), state)
        except Exception as error:  # told to the test, which fails
            answer = "error: " + str(error).replace("\n", " ")
        ours.sendall(answer.encode() + b"\n")


def main(argv):
    if len(argv) < 4 or argv[1] != "pg" or argv[2] != "--":
        sys.exit(__doc__)
    with Postgres() as pg:
        ours, theirs = socket.socketpair()
        threading.Thread(target=serve, args=(pg, ours), daemon=True).start()
        env = {**os.environ, "OSBD_PG_URL": pg.url(), "OSBD_PG_CONTROL": str(theirs.fileno()),
               "OSBD_PG_CA": str(pg.ca)}
        return subprocess.run(argv[3:], env=env, pass_fds=[theirs.fileno()], check=False).returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(sys.argv))
