# SPDX-License-Identifier: Apache-2.0
"""`osbd check`, stage by stage: every error of a stage at once, with its place and its reason; exit
code 3, and nothing on the disk is other than before."""
import hashlib
import os
import sqlite3
import subprocess

import pytest
import rig

KEY = "00112233445566778899aabbccddeeff" * 2


def check(path, command="check", env=None):
    p = subprocess.run([rig.BINARY, command, "-c", str(path)], stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=30, env=env)
    return p.returncode, p.stdout, p.stderr


def on_disk(directory):
    """{path: what is there} of all below it."""
    found = {}
    for top, dirs, files in os.walk(directory):
        for name in dirs + files:
            path = os.path.join(top, name)
            st = os.stat(path)
            content = ""
            if name in files:
                with open(path, "rb") as f:
                    content = hashlib.sha256(f.read()).hexdigest()
            found[path] = (st.st_mode, st.st_mtime_ns, content)
    return found


def said(tmp_path, text):
    """What check says of osbd.yml, line by line, without the file's name; it changed nothing."""
    path = tmp_path / "osbd.yml"
    path.write_text(text)
    before = on_disk(tmp_path)
    code, out, err = check(path)
    assert code == 3 and out == "", (code, out, err)
    assert on_disk(tmp_path) == before
    lines = err.splitlines()
    assert all(line.startswith(f"{path}:") for line in lines), err
    return [line.removeprefix(f"{path}:").replace(str(tmp_path), "DIR") for line in lines]


REST = """\
users: [{name: platform, password: secret}]
services: [{name: demo, description: d, backend: demo}]
"""

# -- the text --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text,place,why", [
    ('listen: [{address: "127.0.0.1:0"}\n' + REST, "2:1", "did not find expected ',' or ']'"),
    ("users:\n\t- {name: a}\n", "2:1", "cannot start any token"),
    ("users: [{name: 'a}]\n", "2:1", "found unexpected end of stream"),
    ("limits: {max_running: 1}\nlimits: {max_waiting: 1}\n" + REST, "2:1", "limits"),
    ("users: *nobody\n", "1:8", "an alias without an anchor"),
])
def test_syntax(tmp_path, text, place, why):
    lines = said(tmp_path, text)
    assert len(lines) == 1 and lines[0].startswith(f"{place}: ") and why in lines[0], lines


# -- the file itself -------------------------------------------------------------------------------

FILE = """\
listn: []
listen:
  - {address: "127.0.0.1"}
  - {address: "127.0.0.1:70000"}
  - {address: "localhost:80"}
  - {address: "unix:relative.sock"}
  - {address: "127.0.0.1:8080", prefix: osb}
  - {address: "127.0.0.1:8080"}
users:
  - {name: one, password: {file: nowhere}}
  - {name: two, password: {env: OSBD_IS_NOT_SET}}
  - {name: two, pasword: canary-4711}
store: {sqlite: {path: osbd.db}}
seal: {keys: [{id: a, key: canary-4711}]}
limits: {max_running: [1], sync_within: soon, max_waiting: 5000000, body: 1}
log: loud
services:
  - {name: demo, description: d, backend: demo, bindable: yes, plans: [{name: small, async: never}]}
"""
ADDRESS = ("must be a numeric address and a port, such as 127.0.0.1:8080 or [::1]:8080, or "
           "unix:/PATH, or systemd:NAME")
FILE_SAYS = [
    "1:1: listn: is not known here; did you mean listen?",
    f"3:15: listen[0]: {ADDRESS}",
    f"4:15: listen[1]: {ADDRESS}",
    f"5:15: listen[2]: {ADDRESS}",
    "6:15: listen[3]: must be unix: and an absolute path",
    "7:41: listen[4].prefix: must be a path such as / or /osb, of letters, digits and - . _ ~",
    "8:5: listen: 127.0.0.1:8080 stands twice",
    "10:34: users[0].password.file: DIR/nowhere: No such file or directory",
    "11:33: users[1].password.env: OSBD_IS_NOT_SET is not set in the environment",
    "12:12: users[2]: a user of the same name stands before it",
    "12:17: users[2].pasword: is not known here; did you mean password?",
    "14:28: seal.keys[0].key: must be 32 bytes, as 64 hexadecimal digits or in base64",
    "15:23: limits.max_running: must be an integer from 1 to 10000, not a list",
    "15:41: limits.sync_within: must be a duration such as 250ms, 45s, 10m, 2h or 1d",
    "15:60: limits.max_waiting: must be an integer from 0 to 1000000",
    "15:75: limits.body: must be a size from 1k to 64M",
    "16:6: log: must be a mapping, not a string",
    "18:59: services[0].bindable: must be true or false; yes, no, on and off are texts",
    "18:93: services[0].plans[0].async: must be sync, async or both",
]


def test_the_file_itself(tmp_path):
    """Unknown keys, wrong types and bounds, secrets that are not there, listeners, users."""
    lines = said(tmp_path, FILE)
    assert lines == FILE_SAYS
    assert "canary" not in "".join(lines)


# -- what the file names ---------------------------------------------------------------------------

NAMES = """\
listen:
  - {address: "127.0.0.1:0", tls: {certificate: no.pem, key: no.key, client_ca: no-ca.pem}}
  - {address: "127.0.0.1:0", tls: {certificate: text, key: text}}
users: [{name: platform, password: secret}]
store: {sqlite: {path: text}}
children: {directory: text/runs}
services:
  - {name: demo, id: one, description: d, backend: demo,
     plans: [{name: small, id: a, description: s}, {name: small, id: a, description: s}]}
  - {name: demo, id: one, description: d, backend: demo}
  - {name: other, description: d, backend: dmo}
  - {name: bundle, backend: bundle, config: {path: nowhere}}
  - {name: odd, description: d, backend: demo, config: {delay: soon, fail: {bind: nostep}, stps: 1}}
"""
NAMES_SAYS = [
    "2:49: listen[0].tls.certificate: DIR/no.pem: No such file or directory",
    "2:62: listen[0].tls.key: DIR/no.key: No such file or directory",
    "2:81: listen[0].tls.client_ca: DIR/no-ca.pem: No such file or directory",
    "3:35: listen[1].tls: DIR/text: holds no certificate",
    "5:24: store.sqlite.path: DIR/text: file is not a database",
    "6:23: children.directory: DIR/text/runs: Not a directory",
    '9:59: services[0].plans[1].name: "small" is that of services[0].plans[0] already',
    '9:70: services[0].plans[1].id: "a" is that of services[0].plans[0] already',
    '10:12: services[1].name: "demo" is that of services[0] already',
    '10:22: services[1].id: "one" is that of services[0] already',
    '11:44: services[2].backend: there is no backend "dmo" (there is: bundle,',
    "12:52: services[3].config.path: DIR/nowhere/bundle: No such file or directory",
    "12:52: services[3].config.path: DIR/nowhere: there is neither apb.yml nor label in it",
    "13:64: services[4].config.delay: must be a duration such as 250ms, 45s, 10m, 2h or 1d",
    "13:83: services[4].config.fail: bind: there is no step of that name",
    "13:92: services[4].config.stps: is not known here; did you mean steps?",
]


def test_what_the_file_names(tmp_path):
    """Certificates, directories, the store, services and plans: all of it at once."""
    (tmp_path / "text").write_text("this is text" * 100)
    (tmp_path / "text").chmod(0o600)
    lines = said(tmp_path, NAMES)
    assert len(lines) == len(NAMES_SAYS), lines
    for line, wanted in zip(lines, NAMES_SAYS):
        assert line.startswith(wanted)


def test_a_supervisor_that_is_not_there(tmp_path):
    lines = said(tmp_path, REST + "store: {sqlite: {path: osbd.db}}\n"
                                  "children: {supervisor: nowhere, directory: osbd.yml}\n")
    assert lines == ["4:24: children.supervisor: DIR/nowhere: No such file or directory",
                     "4:44: children.directory: DIR/osbd.yml: Not a directory"]


# -- the store -------------------------------------------------------------------------------------



@pytest.fixture
def used(osbd):
    """The directory of a store that has been used, and stopped."""
    d = osbd(rig.DEMO.format(config="{}", mode="both"))
    assert d.provision("one").status_code == 201
    d.stop()
    return d


def test_a_store_that_is_fine(used, osbd, tmp_path):
    """Not yet there, used before, of a process that was killed, and of one that runs."""
    for path in ("new.db", "deep/er/new.db", "o?d%20#.db"):
        (tmp_path / "osbd.yml").write_text(REST + f"store: {{sqlite: {{path: '{path}'}}}}\n")
        before = on_disk(tmp_path)
        assert check(tmp_path / "osbd.yml")[0] == 0
        assert on_disk(tmp_path) == before, "it made something"
    for state in ("stopped", "running", "killed"):
        if state == "running":
            used.start()
            assert used.provision("two").status_code == 201
        elif state == "killed":
            used.kill()
        before = on_disk(used.dir)
        assert check(used.config)[0] == 0, state
        assert on_disk(used.dir) == before, state
    used.start()
    assert used.get_instance("two").status_code == 200


def spoil(d, how):
    db, key = os.path.join(d.dir, "osbd.db"), os.path.join(d.dir, "seal.key")
    if how == "text":
        with open(db, "w") as f:
            f.write("this is text" * 1000)
    elif how == "directory":
        os.unlink(db)
        os.mkdir(db)
    elif how == "short":
        os.truncate(db, 5000)
    elif how == "key gone":
        os.unlink(key)
    elif how == "other key":
        with open(key, "w") as f:
            f.write(KEY + "\n")
    else:
        if how == "another's":
            os.unlink(db)
        c = sqlite3.connect(db)
        c.execute("CREATE TABLE theirs (a)" if how == "another's" else
                  "UPDATE meta SET value = 99 WHERE name = 'oldest'")
        c.commit()
        c.close()


@pytest.mark.parametrize("how,why", [
    ("text", "DIR/osbd.db: file is not a database"),
    ("directory", "DIR/osbd.db: is not a plain file"),
    ("short", "database disk image is malformed"),
    ("another's", "DIR/osbd.db: this is a database of something else, not a store of osbd"),
    ("newer", "DIR/osbd.db: the store's schema needs version 99, this osbd knows "),
    ("key gone", "DIR/osbd.db: DIR/seal.key is missing and no keys are configured"),
    ("other key", "DIR/osbd.db: none of the keys opens the store: key \"key-"),
])
def test_a_store_that_cannot_be_opened(used, how, why):
    """check finds what serve would stumble over, and says the same."""
    spoil(used, how)
    before = on_disk(used.dir)
    code, out, err = check(used.config)
    assert code == 3 and out == "", err
    assert on_disk(used.dir) == before
    assert err.startswith(f"{used.config}:3:24: store.sqlite.path: "), err
    assert why in err.replace(used.dir, "DIR") and len(err.splitlines()) == 1, err
    code, out, err = check(used.config, "serve")
    assert code == 1, err
    if how != "directory":
        assert why.removeprefix("DIR/osbd.db: ") in err.replace(used.dir, "DIR"), err


@pytest.mark.parametrize("url,why", [
    ("canary//x", "url: neither postgresql://user@host:port/database?… nor key=value …"),
    ("postgresql://canary:canary@127.0.0.1:1/x?nothing=1", 'invalid URI query parameter'),
])
def test_a_store_whose_url_is_wrong(tmp_path, url, why):
    lines = said(tmp_path, REST + f"seal: {{keys: [{{id: a, key: '{KEY}'}}]}}\n"
                                  f"store: {{postgresql: {{url: '{url}'}}}}\n")
    assert len(lines) == 1 and lines[0].startswith("4:21: store.postgresql: "), lines
    assert why in lines[0] and "canary" not in lines[0]
