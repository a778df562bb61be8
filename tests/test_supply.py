"""The lock fits the ranges and names no place, and every licence goes with MIT."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import licences
from nuclei import ROOT

LINES = [line for line in licences.LOCK.read_text().splitlines() if not line.startswith("#")]
LOCKED = [Requirement(line) for line in LINES]


@pytest.mark.parametrize("name", ["", "-dev", "-export", "-app"])
def test_the_lock_has_a_version_of_everything_within_its_range(name):
    lines = (ROOT / f"requirements{name}.txt").read_text().splitlines()
    lines = [line.split("#")[0].strip() for line in lines]
    for wanted in (Requirement(line) for line in lines if line and not line.startswith("-")):
        pins = [one for one in LOCKED if one.name == canonicalize_name(wanted.name)]
        assert pins, f"{wanted.name} is not in requirements.lock: run `make lock`"
        for pin in pins:
            (exact,) = pin.specifier
            assert exact.operator == "==" and wanted.specifier.contains(exact.version)


def test_the_lock_holds_versions_alone():
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.+]+( ; .+)?", line) for line in LINES)


def test_every_licence_is_known_and_goes_with_mit():
    found = licences.read(licences.locked())
    assert sum(value is not None for value in found.values()) > 150
    assert not licences.sentences(found), "\n".join(licences.sentences(found))


def test_the_page_lists_what_is_locked():
    page = licences.PAGE.read_text(encoding="utf-8")
    missing = [name for name in licences.locked() if not re.search(rf"\b{name}\b", page)]
    assert not missing, f"run `make licences`: {missing}"


def test_another_licence_is_refused():
    problems = licences.sentences(
        {"good": "MIT OR GPL-3.0-only", "bad": "AGPL-3.0-only", "no": None}
    )
    (problem,) = problems
    assert problem.startswith("bad is under 'AGPL-3.0-only', which is not known to go with MIT")
    for text, expected in {
        "OSI Approved :: Apache Software License": "Apache-2.0",
        "BSD 3-Clause License": "BSD-3-Clause",
        "MPL-2.0 AND MIT": "MPL-2.0 AND MIT",
        "GNU General Public License v3 (GPLv3)": None,
        "my own terms": None,
    }.items():
        assert licences.spdx(text) == expected
    assert licences.is_allowed("MIT AND (GPL-2.0-only OR BSD-3-Clause)")
    assert licences.is_allowed("((MIT OR GPL-2.0-only) AND  ISC) OR (GPL-2.0-only)")
    for refused in ("MIT AND GPL-2.0-only", "GPL-2.0-only OR (MIT AND AGPL-3.0-only)", "unknown",
                    "", "()", "MIT MIT", "MIT AND", "(MIT", "OR"):  # fmt: skip
        assert not licences.is_allowed(refused), refused
