# SPDX-License-Identifier: Apache-2.0
"""A service bundle for tests: its actions write down what they do, and wait when they are told to.

In the directory WORLD: `journal` (ACTION RUN start|end|overlap, a line each), `pids` (every process
that an action had), `heart` (grows while a process of an action lives), `db-INSTANCE` and
`user-INSTANCE` (what was made). While `hold` is there, actions do not end; while `deaf` is there
they ignore SIGTERM; with `comet` they start a process that leaves their session; with `pipe` their
background process keeps their standard output open.
"""
import os
import time

import rig

APB = """\
version: 1.0
name: tiny
description: made for tests
bindable: true
async: optional
plans:
  - name: default
    description: the only one
    free: true
    updates_to: [more]
    parameters: [{name: a, type: string, updatable: true}]
  - name: more
    description: the other one
    free: true
    parameters: [{name: a, type: string, updatable: true}]
"""

PROGRAM = r"""#!/bin/sh
action=$1
id=$(printf '%s' "$3" | sed 's/.*"_apb_service_instance_id": *"\([^"]*\)".*/\1/')
cd "$WORLD" || exit 1
[ -e deaf ] && trap '' TERM
for p in $(cat "pids-$POD_NAME" 2>/dev/null); do
	case $(cut -d' ' -f3 "/proc/$p/stat" 2>/dev/null) in
	''|Z) ;;
	*) echo "$action $POD_NAME overlap" >>journal ;;
	esac
done
echo $$ | tee -a pids >>"pids-$POD_NAME"
beat='echo $$ | tee -a pids >>"pids-$POD_NAME"; while :; do echo >>heart; sleep 0.05; done'
if [ -e pipe ]; then
	sh -c "$beat" </dev/null &
else
	sh -c "$beat" </dev/null >/dev/null 2>&1 &
fi
[ -e comet ] && setsid sh -c "$beat" </dev/null >/dev/null 2>&1 &
echo "$action $POD_NAME start" >>journal
[ "$action" = provision ] && echo half >"db-$id"
while [ -e hold ]; do sleep 0.02; done
sleep "${TAKES:-0}"
case $action in
provision) echo whole >"db-$id"; echo '{"uri":"tiny:'"$id"'"}' >"$BUNDLE_RESULT_DIR/fields" ;;
update) echo updated >"db-$id" ;;
deprovision) rm -f "db-$id" ;;
bind) echo 1 >"user-$id"; echo '{"user":"tiny"}' >"$BUNDLE_RESULT_DIR/fields" ;;
unbind) rm -f "user-$id" ;;
esac
echo "$action $POD_NAME end" >>journal
exit 0
"""

SERVICE = """\
services:
  - name: tiny
    backend: bundle
    plan_updateable: true
    max_running: {slots}
    config:
      path: {dir}/bundle
      extra_vars: argv
      deadline: {deadline}
      env: {{WORLD: "{dir}/world", TAKES: "{takes}"}}
"""


def make(osbd, limits="", deadline="60s", takes="0", slots=4, orderly=True):
    """A daemon that offers the bundle, not yet started."""
    d = osbd("", start=False, orderly=orderly)
    os.mkdir(os.path.join(d.dir, "world"))
    os.mkdir(os.path.join(d.dir, "bundle"))
    with open(os.path.join(d.dir, "bundle", "apb.yml"), "w") as f:
        f.write(APB)
    program = os.path.join(d.dir, "bundle", "bundle")
    with open(program, "w") as f:
        f.write(PROGRAM)
    os.chmod(program, 0o755)
    configure(d, limits, deadline, takes, slots)
    return d


def configure(d, limits="", deadline="60s", takes="0", slots=4):
    head = rig.HEAD.format(dir=d.dir) + (f"limits: {{{limits}}}\n" if limits else "")
    with open(d.config, "w") as f:
        f.write(head + SERVICE.format(dir=d.dir, deadline=deadline, takes=takes, slots=slots))


def path(d, name):
    return os.path.join(d.dir, "world", name)


def put(d, name):
    open(path(d, name), "w").close()


def remove(d, name):
    os.unlink(path(d, name))


def lines(d, name="journal"):
    if not os.path.exists(path(d, name)):
        return []
    with open(path(d, name)) as f:
        return f.read().splitlines()


def count(d, action, what):
    return sum(1 for line in lines(d) if line.split()[::2] == [action, what])


def alive(d):
    """Processes of actions that live; a zombie does not."""
    found = []
    for pid in lines(d, "pids"):
        try:
            with open(f"/proc/{pid}/stat") as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append(int(pid))
    return found


def beats(d, seconds=0.3):
    """Whether something of an action still writes."""
    before = os.path.getsize(path(d, "heart")) if os.path.exists(path(d, "heart")) else 0
    time.sleep(seconds)
    after = os.path.getsize(path(d, "heart")) if os.path.exists(path(d, "heart")) else 0
    return after > before


def objects(d):
    """{file: content} of what was made."""
    found = {}
    for name in os.listdir(os.path.join(d.dir, "world")):
        if name.startswith(("db-", "user-")):
            found[name] = open(path(d, name)).read().strip()
    return found


def children(pid):
    """(pid, state) of the daemon's own children."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()
