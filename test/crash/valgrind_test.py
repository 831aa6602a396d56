# SPDX-License-Identifier: Apache-2.0
"""A whole life under valgrind: no wrong access, no uninitialised value, no leak.

For a build without sanitizers; one with them looks for the same itself. The demo backend only:
valgrind 3.19 knows no pidfd, and without one osbd starts no program."""
import shutil

import pytest
import rig


def sanitized():
    with open(rig.BINARY, "rb") as f:
        return b"__asan_init" in f.read()


pytestmark = pytest.mark.skipif(sanitized(), reason="a sanitizer is built in; it does this itself")


def wrap(tmp_path):
    if not shutil.which("valgrind"):
        pytest.fail("valgrind is not installed")
    return ["valgrind", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=all",
            "--show-leak-kinds=all", "--track-fds=no", f"--log-file={tmp_path}/valgrind"]


def life(d):
    for incomplete in (None, "true"):
        iid, bid = rig.new_id(), rig.new_id()

        def done(r, *ids):
            assert r.status_code in (200, 201, 202), r.text
            if r.status_code == 202:
                assert d.poll(*ids, operation=r.json()["operation"],
                              seconds=60)["state"] == "succeeded"

        done(d.provision(iid, incomplete, parameters={"a": "b"}), iid)
        done(d.bind(iid, bid, incomplete), iid, bid)
        assert d.get_instance(iid).status_code == 200
        assert d.get_binding(iid, bid).status_code == 200
        done(d.update(iid, incomplete, plan=1), iid)
        assert d.provision(iid, incomplete).status_code == 409
        assert d.deprovision(iid, incomplete).status_code == 422
        done(d.unbind(iid, bid, incomplete), iid, bid)
        done(d.deprovision(iid, incomplete), iid)
        assert d.deprovision(iid, incomplete).status_code == 410
    assert d.ask("PUT", "/v2/service_instances/x", content="{").status_code == 400
    assert d.ask("GET", "/v2/catalog", auth=("platform", "wrong")).status_code == 401
    assert d.ask("GET", "/v2/catalog", version="3.0").status_code == 412
    assert d.ask("GET", "/nowhere").status_code == 404


def finish(d, tmp_path):
    d.stop(60)  # its exit code is 9 when valgrind has found something
    said = (tmp_path / "valgrind").read_text()
    assert "ERROR SUMMARY: 0 errors" in said
    assert "All heap blocks were freed" in said


def test_demo(osbd, tmp_path):
    d = osbd(rig.DEMO.format(config="{delay: 50ms, steps: 2}", mode="both"), start=False)
    d.start(wrap=wrap(tmp_path), wait=False)
    d.wait_listening(60)
    life(d)
    iid = rig.new_id()
    assert d.provision(iid, "true").status_code == 202  # ended in the middle
    finish(d, tmp_path)
    d.start(wrap=wrap(tmp_path), wait=False)
    d.wait_listening(60)
    assert d.poll(iid)["state"] == "succeeded"
    finish(d, tmp_path)
