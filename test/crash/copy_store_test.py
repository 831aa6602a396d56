# SPDX-License-Identifier: Apache-2.0
"""osbd copy-store: from SQLite to PostgreSQL and back, and nothing is lost or another."""
import os
import subprocess

import bundles
import pytest
import rig
import servers

HEAD = """\
listen: [{{address: "127.0.0.1:0"}}]
users: [{{name: platform, password: secret}}]
store: {store}
seal: {{keys: [{{id: {id}, key: "{key}"}}]}}
children: {{directory: {dir}/run}}
limits: {{drain: 2s}}
log: {{level: info}}
"""


@pytest.fixture(scope="module")
def postgres():
    with servers.Postgres() as pg:
        yield pg


@pytest.fixture
def make(osbd, postgres):
    """make(kind): a daemon of one world, with a store and a key of its own."""
    postgres.sql("DROP SCHEMA public CASCADE", "osbd")
    postgres.sql("CREATE SCHEMA public AUTHORIZATION osbd", "osbd")
    made = []

    def one(kind):
        d = osbd("", start=False) if made else bundles.make(osbd)
        made.append(d)
        store = (f'{{postgresql: {{url: "{postgres.url()}"}}}}' if kind == "postgresql" else
                 f"{{sqlite: {{path: {d.dir}/osbd.db}}}}")
        with open(d.config, "w") as f:
            f.write(HEAD.format(store=store, id=f"k{len(made)}", key=f"{len(made):02x}" * 32,
                                dir=d.dir))
            f.write(bundles.SERVICE.format(dir=made[0].dir, deadline="60s", takes="0", slots=4))
        return d
    return one


def copy(a, b):
    return subprocess.run([rig.BINARY, "copy-store", "--from", a.config, "--to", b.config],
                          capture_output=True, text=True, timeout=120)


def test_there_and_back(make):
    first, second, third = make("sqlite"), make("postgresql"), make("sqlite")
    first.start()
    made = []
    for _ in range(3):
        iid = rig.new_id()
        assert first.provision(iid, parameters={"a": "b"}).status_code == 201
        assert first.bind(iid, "b1").status_code == 201
        made.append(iid)
    gone = rig.new_id()
    assert first.provision(gone).status_code == 201
    operation = first.deprovision(gone, "true").json()["operation"]
    first.poll(gone, operation=operation)
    bundles.put(first, "hold")
    half = rig.new_id()
    waits = first.provision(half, "true").json()["operation"]
    assert rig.wait_until(lambda: bundles.count(first, "provision", "start") == 5, 10)
    first.kill()
    said = copy(first, second)
    assert said.returncode == 0, said.stderr
    assert "copied and compared 5 instances, 3 bindings, 9 operations" in said.stdout
    again = copy(first, second)
    assert again.returncode == 1 and "is not empty" in again.stderr, again.stderr

    second.start()
    busy = copy(second, third)
    assert busy.returncode == 1 and "stop them first" in busy.stderr, busy.stderr
    for iid in made:
        r = second.provision(iid, parameters={"a": "b"})  # the same
        assert r.status_code == 200, r.text + second.log()
        assert second.provision(iid, parameters={"a": "c"}).status_code == 409
        assert second.get_binding(iid, "b1").json()["credentials"] == {"user": "tiny"}
    assert second.last(gone, operation=operation).json()["state"] == "succeeded"
    assert second.last(half, operation=waits).json()["state"] == "in progress"
    assert rig.wait_until(lambda: bundles.count(first, "provision", "start") == 6, 30)
    bundles.remove(first, "hold")
    assert second.poll(half, operation=waits)["state"] == "succeeded"
    assert second.unbind(made[0], "b1").status_code == 200
    assert second.deprovision(made[0]).status_code == 200
    new = rig.new_id()
    assert second.provision(new).status_code == 201  # under a number that is not taken
    second.stop()

    said = copy(second, third)
    assert said.returncode == 0, said.stderr
    third.start()
    assert third.get_binding(made[1], "b1").json()["credentials"] == {"user": "tiny"}
    assert third.get_instance(made[0]).status_code == 404
    assert third.last(half, operation=waits).json()["state"] == "succeeded"
    assert third.provision(new).status_code == 200
    assert third.provision(rig.new_id()).status_code == 201
    assert not [line for line in bundles.lines(first) if line.endswith("overlap")]


def test_no_number_is_used_twice(make):
    """An operation's id is never another's, though nothing of it is left."""
    first, others = make("sqlite"), [make("postgresql"), make("sqlite")]
    with open(first.config) as f:
        text = f.read()
    with open(first.config, "w") as f:
        f.write(text.replace("drain: 2s", "drain: 2s, keep_ended: 100ms, keep_gone: 100ms"))
    first.start()
    gone, told = rig.new_id(), []
    for ask in (first.provision, first.deprovision):
        told.append(ask(gone, "true").json()["operation"])
        first.poll(gone, operation=told[-1])

    def is_forgotten():
        first.stop()
        first.start()
        return rig.wait_until(lambda: first.last(gone).status_code == 404, 1)
    assert rig.wait_until(is_forgotten, 20), first.log()
    first.stop()
    for other in others:
        said = copy(first, other)
        assert said.returncode == 0 and "0 operations" in said.stdout, said
        other.start()
        operation = other.provision(gone, "true").json()["operation"]
        assert operation not in told
        other.poll(gone, operation=operation)
        other.stop()


def test_what_no_key_opens_stops_it(make):
    first, second = make("sqlite"), make("postgresql")
    first.start()
    assert first.provision(rig.new_id()).status_code == 201
    first.stop()
    with open(first.config) as f:
        text = f.read()
    with open(first.config, "w") as f:
        f.write(text.replace("01" * 32, "77" * 32))
    said = copy(first, second)
    assert said.returncode == 1 and "none of the keys opens the store" in said.stderr, said.stderr


def test_usage(make):
    d = make("sqlite")
    said = subprocess.run([rig.BINARY, "copy-store", "--from", d.config], capture_output=True,
                          text=True, timeout=20)
    assert said.returncode == 2 and "needs --from FILE and --to FILE" in said.stderr
    assert not os.path.exists(os.path.join(d.dir, "osbd.db"))
