#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the tests of one run: tally.py meson TESTLOG.json | tally.py pytest JUNIT.xml.

Prints "PASSED FAILED", then a line for each failed test. A program of meson's counts by its TAP
lines; one that died without a "not ok", or ran nothing, counts as one that failed."""
import json
import re
import sys
import xml.etree.ElementTree

passed, failed = 0, []
kind, path = sys.argv[1:]
if kind == "meson":
    for line in open(path, encoding="utf-8"):
        program = json.loads(line)
        output = program.get("stdout", "")
        bad = re.findall(r"^not ok \d+ ?-? ?(.*(?:\n#.*)*)", output, re.M)
        bad = [text.replace("\n#", ":") for text in bad]
        good = [name for name in re.findall(r"^ok \d+(.*)$", output, re.M) if "# SKIP" not in name]
        if program["result"] == "OK":
            passed += len(good) or 1
        else:
            passed += len(good)
            failed += [f"{program['name']}: {name}" for name in bad or [program["result"]]]
else:
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        outcome = {child.tag for child in case}
        if outcome & {"failure", "error"}:
            failed.append(f"{case.get('classname')}.{case.get('name')}")
        elif "skipped" not in outcome:
            passed += 1
if not passed and not failed:
    failed.append(f"{path}: no test ran")
print(passed, len(failed))
for name in failed:
    print(name)
