#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real MariaDB for tests, in a folder of its own, on loopback, gone when the test ends.

In Python:  with mariadb.MariaDB() as my: my.sql("…"), my.port, my.ca, my.stop(), my.start()
In a shell: mariadb.py -- PROGRAM…   runs a program with OSBD_MY_PORT, OSBD_MY_SOCKET, OSBD_MY_CA and
OSBD_MY_CONTROL in its environment; the last is a socket as of servers.py, which says what its lines
are."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import servers

PASSWORD = "s3cret-'\"\\-pw"


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class MariaDB:
    """Its user osbd, with every right, comes over TCP with PASSWORD; root over the socket. The
    certificate is for localhost. disk: "200m", its folder is a file system that small."""

    def __init__(self, disk=None, **settings):
        self.server = shutil.which("mariadbd", path="/usr/sbin:/usr/libexec:/usr/bin")
        self.install = shutil.which("mariadb-install-db", path="/usr/bin")
        if not self.server or not self.install:
            raise RuntimeError("no MariaDB server: package mariadb-server")
        self.process = None
        self.port = servers.free_port()
        self.settings = settings
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="osbd-my-", dir="/tmp"))
        self.mounted = disk is not None
        if disk:
            servers.mount_small(self.dir, disk)
        self.log = self.dir / "log"
        self.socket = self.dir / "socket"
        self.ca = self.dir / "ca.crt"
        # MariaDB refuses to run as root
        self.as_user = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("mysql")
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.dir.chmod(0o755)
        try:
            self._make()
            self.start()
            self.sql(f"CREATE USER osbd@'%' IDENTIFIED BY {quoted(PASSWORD)}")
            self.sql("GRANT ALL ON *.* TO osbd@'%' WITH GRANT OPTION")
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
        # a server that starts takes away temporary tables that others have in the same folder
        self._run("mkdir", "tmp")
        # without the forced writes of a start that nobody will miss
        self._run(self.install, "--no-defaults", f"--datadir={self.dir}/data",
                  f"--tmpdir={self.dir}/tmp", "--skip-test-db", "--skip-name-resolve",
                  "--auth-root-authentication-method=normal",
                  "--innodb-flush-log-at-trx-commit=0", "--sync-frm=0",
                  "--innodb-log-file-size=4M", "--aria-log-purge-type=at_flush")
        self._run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                  "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=osbd test CA",
                  "-keyout", "ca.key", "-out", "ca.crt")
        self._run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-nodes", "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr")
        self._run("tee", "san", stdin="subjectAltName=DNS:localhost\n")
        self._run("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey",
                  "ca.key", "-CAcreateserial", "-days", "2", "-out", "server.crt", "-extfile", "san")

    def sql(self, statement):
        """Runs statements as root; returns what the client prints, without names of columns."""
        return self._run("mariadb", "--no-defaults", "-uroot", "-S", self.socket, "--skip-ssl",
                         "-NB", "-e", statement).strip()

    def residue(self):
        """Databases, users, grants and marks that are not the server's own."""
        marks = "SELECT name FROM osbd.marks" if self.sql("SHOW DATABASES LIKE 'osbd'") else ""
        return sorted(filter(None, self.sql(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA "
            "WHERE SCHEMA_NAME REGEXP '^d[0-9a-f]{31}$';"
            "SELECT User FROM mysql.user WHERE User REGEXP '^b[0-9a-f]{31}$';"
            "SELECT Db FROM mysql.db WHERE Db REGEXP '^d[0-9a-f]{31}$';" + marks).split("\n")))

    def start(self, **settings):
        """Starts it and waits until it answers."""
        wanted = {"datadir": self.dir / "data", "tmpdir": self.dir / "tmp", "port": self.port,
                  "socket": self.socket, "bind-address": "127.0.0.1", "pid-file": self.dir / "pid",
                  "ssl-ca": self.ca, "ssl-cert": self.dir / "server.crt",
                  "ssl-key": self.dir / "server.key", "skip-name-resolve": "ON",
                  "innodb-buffer-pool-size": "16M", "innodb-log-file-size": "4M",
                  "max-connections": 50, "innodb-flush-log-at-trx-commit": 2,
                  "performance-schema": "OFF", **self.settings, **settings}
        argv = [self.server, "--no-defaults"] + [f"--{k}={v}" for k, v in wanted.items()]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.dir, start_new_session=True,
                                            preexec_fn=servers.die_with_parent, **self.as_user)
        end = time.monotonic() + 60
        while True:
            try:
                self.sql("SELECT 1")
                return
            except RuntimeError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("MariaDB does not start:\n" + self.log.read_text()) from None
            time.sleep(0.05)

    def _signal(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)

    def stop(self):
        self._signal(signal.SIGTERM)

    def kill(self):
        self._signal(signal.SIGKILL)

    def close(self):
        self._signal(signal.SIGKILL)
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.dir)], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


class Session(servers.Session):
    """An application that keeps its connection."""

    def __init__(self, uri, password=None):
        u = urllib.parse.urlsplit(uri)
        assert u.scheme == "mysql"
        super().__init__(
            ["mariadb", "--no-defaults", "-h", u.hostname, "-P", str(u.port), "-u", u.username,
             "--password=" + (password or u.password), "--skip-ssl", "-NB", "--skip-reconnect",
             "--unbuffered", u.path[1:]])


def sql(credentials, statement, ca=None):
    """(what it printed, whether it went well), on a connection of its own; ca: over TLS."""
    u = urllib.parse.urlsplit(credentials["uri"])
    tls = ["--ssl-verify-server-cert", f"--ssl-ca={ca}"] if ca else ["--skip-ssl"]
    done = subprocess.run(
        ["mariadb", "--no-defaults", "-h", u.hostname, "-P", str(u.port), "-u", u.username,
         "--password=" + u.password, *tls, "--protocol=tcp", "-NB", "-e", statement, u.path[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    return done.stdout.strip(), done.returncode == 0


def main(argv):
    if len(argv) < 3 or argv[1] != "--":
        sys.exit(__doc__)
    with MariaDB() as my:
        ours, theirs = socket.socketpair()
        threading.Thread(target=servers.serve, args=(my, ours), daemon=True).start()
        env = {**os.environ, "OSBD_MY_PORT": str(my.port), "OSBD_MY_SOCKET": str(my.socket),
               "OSBD_MY_CA": str(my.ca), "OSBD_MY_PASSWORD": PASSWORD,
               "OSBD_MY_CONTROL": str(theirs.fileno())}
        return subprocess.run(argv[2:], env=env, pass_fds=[theirs.fileno()], check=False).returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(sys.argv))
