# SPDX-License-Identifier: Apache-2.0
"""Several platforms, prefixes, and sockets; none sees what another has."""
import os

import broker
import httpx
import pytest
import rig
from broker import refused

SERVICES = [broker.service("plain", [broker.plan("small", **{"async": "both"})]),
            broker.service("slow", config={"delay": "300ms"})]
PLATFORMS = [{"name": "default"}, {"name": "one", "prefix": "/one"},
             {"name": "two", "prefix": "/two"}, {"name": "deep", "prefix": "/one/deep/"}]
USERS = [{"name": "platform", "password": "secret"},
         {"name": "user-one", "password": "1", "platform": "one"},
         {"name": "user-two", "password": "2", "platform": "two"},
         {"name": "user-default", "password": "0", "platform": "default"}]


@pytest.fixture(scope="module")
def b(osbd_module):
    return broker.start(osbd_module, SERVICES, platforms=PLATFORMS, users=USERS)


def test_each_platform_has_its_own(b):
    prefixes = ["", "/one", "/two", "/one/deep"]
    views = [b.as_user("platform", "secret", prefix) for prefix in prefixes]
    iid, bid = rig.new_id(), rig.new_id()
    for n, view in enumerate(views):
        refused(view.instance(iid), 404, "NotFound")
        refused(view.instance_last(iid), 404, "NotFound")
        refused(view.deprovision(iid, "plain"), 410, "Gone")
        refused(view.update(iid, "plain", parameters={"a": 1}), 404, "NotFound")
        refused(view.bind(iid, bid, "plain"), 404, "NotFound")
        r = view.provision(iid, "plain", parameters={"n": n})
        assert r.status_code == 201, r.text
        assert view.bind(iid, bid, "plain").status_code == 201
    passwords = set()
    for n, view in enumerate(views):
        assert view.instance(iid).json()["parameters"] == {"n": n}
        passwords.add(view.binding(iid, bid).json()["credentials"]["password"])
    assert len(passwords) == 4
    assert views[1].unbind(iid, bid, "plain").status_code == 200
    assert views[1].deprovision(iid, "plain").status_code == 200
    refused(views[1].instance(iid), 404, "NotFound")
    for view in (views[0], views[2], views[3]):
        assert view.instance(iid).status_code == 200
        assert view.binding(iid, bid).status_code == 200


def test_operations_are_not_visible_elsewhere(b):
    one, two = b.as_user("platform", "secret", "/one"), b.as_user("platform", "secret", "/two")
    iid = rig.new_id()
    op = one.provision(iid, "slow", wait="true").json()["operation"]
    refused(two.instance_last(iid, op), 404, "NotFound")
    own = two.provision(iid, "slow", wait="true").json()["operation"]
    assert own != op
    assert two.instance_last(iid, op).status_code == 200  # unknown: its own latest
    assert one.ended(iid)["state"] == two.ended(iid)["state"] == "succeeded"


@pytest.mark.parametrize("user,password,allowed", [
    ("platform", "secret", {"", "/one", "/two", "/one/deep"}), ("user-one", "1", {"/one"}),
    ("user-two", "2", {"/two"}), ("user-default", "0", {""})])
def test_users_of_one_platform(b, user, password, allowed):
    for prefix in ("", "/one", "/two", "/one/deep"):
        r = b.as_user(user, password, prefix).ask("GET", "/v2/catalog")
        assert r.status_code == (200 if prefix in allowed else 401), prefix
        if prefix not in allowed:
            assert "www-authenticate" in r.headers


def test_prefixes_match_whole_segments(b):
    for path in ("/onev2/catalog", "/on/v2/catalog", "/one/two/v2/catalog", "/one/deeper/v2/catalog",
                 "/three/v2/catalog", "/one", "/ONE/v2/catalog"):
        refused(b.ask("GET", path), 404, "NotFound")


@pytest.mark.parametrize("path", ["//v2/catalog", "/v2//catalog", "///v2///catalog",
                                  "//one//v2/catalog", "/one/deep//v2//catalog", "/one//deep/v2/catalog"])
def test_double_slashes(b, path):
    url = f"http://127.0.0.1:{b.d.port}{path}"
    r = httpx.get(url, auth=b.auth, headers={"X-Broker-API-Version": "2.17"}, trust_env=False)
    assert r.status_code == 200 and "services" in r.json()


def test_listeners(osbd, tmp_path):
    """A prefix per listener, and a socket for a server beside."""
    path = str(tmp_path / "osbd.sock")
    b = broker.start(osbd, SERVICES, platforms=PLATFORMS[:2],
                     listen=[{"address": "127.0.0.1:0"},
                             {"address": f"unix:{path}", "prefix": "/broker/"}])
    assert (os.stat(path).st_mode & 0o170000) == 0o140000
    assert os.stat(path).st_mode & 0o022 == 0  # connecting is writing
    unix = httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://localhost",
                        auth=b.auth, headers={"X-Broker-API-Version": "2.17"})
    assert unix.get("/broker/v2/catalog").json() == b.ask("GET", "/v2/catalog").json()
    assert unix.get("/broker/one/v2/catalog").status_code == 200
    for outside in ("/v2/catalog", "/brokerv2/catalog", "/one/broker/v2/catalog", "/broker"):
        r = unix.get(outside)
        assert r.status_code == 404 and r.json()["error"] == "NotFound", outside
    assert unix.get("/v2/catalog", auth=("x", "y")).status_code in (401, 404)
    refused(b.ask("GET", "/broker/v2/catalog"), 404, "NotFound")
    iid = b.made("plain")
    assert unix.get(f"/broker/v2/service_instances/{iid}").status_code == 200
    assert unix.get(f"/broker/one/v2/service_instances/{iid}").status_code == 404
    unix.close()
    b.d.stop()
    assert not os.path.exists(path)
    # one left over by a process that was killed does not stop the next
    b.d.start()
    b.d.kill()
    assert os.path.exists(path)
    b.d.start()
    assert b.instance(iid).status_code == 200


def test_without_authentication(osbd):
    b = broker.start(osbd, SERVICES, authentication="none", users=[])
    r = b.d.http.get("/v2/catalog", headers={"X-Broker-API-Version": "2.17"})
    assert r.status_code == 200
    assert b.provision(rig.new_id(), "plain").status_code == 201
