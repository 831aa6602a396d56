# SPDX-License-Identifier: Apache-2.0
"""Parameters against a plan's schemas: 400 with the path, and nothing has happened."""
import broker
import pytest
import rig
from broker import bad, refused

DRAFTS = {n: f"http://json-schema.org/draft-0{n}/schema#" for n in (4, 6, 7)}


def schema(draft=4, **more):
    return {"$schema": DRAFTS[draft], "type": "object", **more}


CREATE = schema(properties={
    "size": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
    "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
    "kind": {"enum": ["a", "b", None]},
    "list": {"type": "array", "items": {"$ref": "#/definitions/item"}, "maxItems": 2,
             "uniqueItems": True},
    "deep": {"type": "object", "required": ["x"], "additionalProperties": False,
             "properties": {"x": {"type": "boolean"}, "a/b": {"type": "null"}}},
    "mail": {"type": "string", "format": "email"}, "address": {"type": "string", "format": "ipv4"},
}, required=["name"], additionalProperties=False,
    definitions={"item": {"type": "number", "multipleOf": 0.5}})
UPDATE = schema(properties={"size": {"type": "integer"}}, additionalProperties=False)
BIND = schema(properties={"role": {"enum": ["reader", "writer"], "default": "reader"}},
              required=["role"], additionalProperties=False)


def plan(name, create, update, bind):
    return broker.plan(name, schemas={
        "service_instance": {"create": {"parameters": create}, "update": {"parameters": update}},
        "service_binding": {"create": {"parameters": bind}}}, **{"async": "both"})


SERVICES = [
    broker.service("strict", [plan("small", CREATE, UPDATE, BIND),
                              plan("other", CREATE, schema(required=["size"]), BIND)],
                   plan_updateable=True),
    broker.service("slow", [plan("small", CREATE, UPDATE, BIND)], {"delay": "100ms"}),
    broker.service("drafts", [
        plan("four", schema(4, properties={"n": {"type": "integer", "minimum": 0,
                                                 "exclusiveMinimum": True}}),
             schema(4), schema(4)),
        plan("six", schema(6, properties={"n": {"exclusiveMinimum": 0, "const": 1}}),
             schema(6), schema(6)),
        plan("seven", schema(7, **{"if": {"required": ["a"]}, "then": {"required": ["b"]}}),
             schema(7), schema(7))]),
    broker.service("without"),
]


@pytest.fixture(scope="module")
def b(osbd_module):
    return broker.start(osbd_module, SERVICES, store={"memory": {}})


# (parameters, what the description names)
BAD = [
    ({}, ["parameters", "name"]),
    ({"name": 1}, ["parameters.name"]), ({"name": "A"}, ["parameters.name"]),
    ({"name": "a"}, ["parameters.name"]), ({"name": "abcdef"}, ["parameters.name"]),
    ({"name": None}, ["parameters.name"]),
    ({"name": "ab", "size": 0}, ["parameters.size", "1"]),
    ({"name": "ab", "size": 11}, ["parameters.size", "10"]),
    ({"name": "ab", "size": 1.5}, ["parameters.size", "integer"]),
    ({"name": "ab", "size": "1"}, ["parameters.size", "integer"]),
    ({"name": "ab", "size": True}, ["parameters.size", "integer"]),
    ({"name": "ab", "kind": "c"}, ["parameters.kind"]),
    ({"name": "ab", "list": {}}, ["parameters.list", "array"]),
    ({"name": "ab", "list": [1, 0.3]}, ["parameters.list[1]"]),
    ({"name": "ab", "list": [1, 2, 3]}, ["parameters.list"]),
    ({"name": "ab", "list": [1, 1.0]}, ["parameters.list"]),
    ({"name": "ab", "deep": {}}, ["parameters.deep", "x"]),
    ({"name": "ab", "deep": {"x": 1}}, ["parameters.deep.x", "true or false"]),
    ({"name": "ab", "deep": {"x": True, "y": 1}}, ["parameters.deep", "y"]),
    ({"name": "ab", "deep": {"x": True, "a/b": 1}}, ["parameters.deep", "a/b"]),
    ({"name": "ab", "mail": "none"}, ["parameters.mail"]),
    ({"name": "ab", "address": "1.2.3"}, ["parameters.address"]),
    ({"name": "ab", "more": 1}, ["parameters", "more"]),
    ({"name": "ab", "": 1}, ["parameters"]),
]
GOOD = [{"name": "ab"}, {"name": "abcde", "size": 10, "kind": None, "list": [1, 2.5],
                         "deep": {"x": False, "a/b": None}, "mail": "a@example.org",
                         "address": "127.0.0.1"}]


@pytest.mark.parametrize("name", ["strict", "slow"])
def test_create(b, name):
    for parameters, words in BAD:
        iid = rig.new_id()
        for wait in (None, "true"):
            bad(b.provision(iid, name, parameters=parameters, wait=wait), *words)
        refused(b.instance_last(iid), 404, "NotFound")
    bad(b.provision(rig.new_id(), name), "parameters", "name")  # absent is like {}
    for parameters in GOOD:
        assert b.provision(rig.new_id(), name, parameters=parameters).status_code == 201


def test_defaults_satisfy_what_is_required(b):
    """Parameters are kept as they were sent: the backend knows its defaults."""
    iid = b.made("strict", parameters={"name": "ab"})
    assert b.instance(iid).json()["parameters"] == {"name": "ab"}
    bid = b.bound(iid, "strict")  # role is required, and has a default
    assert "parameters" not in b.binding(iid, bid).json()
    assert b.bind(iid, bid, "strict").status_code == 200
    refused(b.bind(iid, bid, "strict", parameters={"role": "writer"}), 409, "Conflict")


def test_update(b):
    iid = b.made("strict", parameters={"name": "ab"})
    before = b.instance(iid).json()
    bad(b.update(iid, "strict", parameters={"size": "x"}), "parameters.size", "integer")
    bad(b.update(iid, "strict", parameters={"name": "cd"}), "parameters", "name")
    # the schema of the plan that the instance shall have
    bad(b.update(iid, "strict", "other"), "parameters", "size")
    bad(b.update(iid, "strict", "other", parameters={}), "parameters", "size")
    assert b.instance(iid).json() == before
    assert b.update(iid, "strict", parameters={"size": 99}).status_code == 200
    assert b.instance(iid).json()["parameters"] == {"name": "ab", "size": 99}
    assert b.update(iid, "strict", "other", parameters={"size": 5}).status_code == 200


def test_bind(b):
    iid = b.made("strict", parameters={"name": "ab"})
    for parameters, words in (({"role": "owner"}, ["parameters.role"]),
                              ({"more": 1}, ["parameters", "more"])):
        bad(b.bind(iid, "b", "strict", parameters=parameters), *words)
    refused(b.binding_last(iid, "b"), 404, "NotFound")
    assert b.bind(iid, "b", "strict", parameters={"role": "writer"}).status_code == 201


@pytest.mark.parametrize("plan,good,wrong", [
    ("four", {"n": 1}, {"n": 0}), ("six", {"n": 1}, {"n": 2}), ("six", {"n": 1}, {"n": 0}),
    ("seven", {"a": 1, "b": 2}, {"a": 1})])
def test_drafts(b, plan, good, wrong):
    assert b.provision(rig.new_id(), "drafts", plan, parameters=good).status_code == 201
    bad(b.provision(rig.new_id(), "drafts", plan, parameters=wrong), "parameters")


def test_without_a_schema_anything_goes(b):
    for parameters in ({"a": {"b": [None, 1e300, "x"]}}, {"": ""}, {"$ref": "#/nowhere"}):
        iid = rig.new_id()
        assert b.provision(iid, "without", parameters=parameters).status_code == 201
        assert b.instance(iid).json()["parameters"] == parameters
    for parameters in (1, "x", [], True):
        bad(b.provision(rig.new_id(), "without", parameters=parameters), "parameters", "object")


def test_errors_do_not_repeat_values(b):
    """What a user sent may be a secret."""
    for parameters in ({"name": "ab", "mail": "canary-1"}, {"name": "canary-1"},
                       {"name": "ab", "kind": "canary-1"}, {"name": "ab", "size": "canary-1"},
                       {"name": "ab", "list": ["canary-1"]}):
        r = bad(b.provision(rig.new_id(), "strict", parameters=parameters), "parameters")
        assert "canary-1" not in r["description"]
