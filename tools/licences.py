"""Write docs/licences.md, the licences of all packages in requirements.lock: `make licences`.

They are read from the metadata of what is installed. One that is not in `ALLOWED` is an error.
"""

import argparse
import re
import sys
from importlib import metadata
from pathlib import Path

from nuclei import ROOT
from nuclei.atomic import atomic_write

LOCK, PAGE = ROOT / "requirements.lock", ROOT / "docs" / "licences.md"

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-4.3TAHOE"),
    *("CC0-1.0", "IJG", "ISC", "LicenseRef-Public-Domain", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0"),
    *("Unlicense", "Zlib", "blessing", "libpng-2.0", "libtiff"),
}
"""They ask for their notice to be kept, or for nothing. "BSD" stands for 2 or 3 clauses."""

WEAK = {
    "MPL-2.0": "its own files stay under it if they are changed",
    "LGPL-2.1-only": "the library stays under it and can be replaced by another build",
    "LGPL-2.1-or-later": "the library stays under it and can be replaced by another build",
}
"""Weak copyleft. The project imports these packages as they are, and holds no part of them."""

ALLOWED = {*PERMISSIVE, *WEAK}

WORDS = {
    "3 clause bsd": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "bsd": "BSD",
    "bsd 2 clause": "BSD-2-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "isc": "ISC",
    "isc iscl": "ISC",
    "mit": "MIT",
    "mozilla public 2.0 mpl 2.0": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "new bsd": "BSD-3-Clause",
    "psfl": "PSF-2.0",
    "python foundation": "PSF-2.0",
    "unlicense": "Unlicense",
}
"""What packages without an SPDX expression write, in small letters without `FILLERS`."""

FILLERS = {"license", "licence", "licenses", "the", "osi", "approved", "software", "version"}

BY_HAND = {
    "axe-playwright-python": ("MIT", "MIT, in the file LICENSE of the package"),
    "bioimageio-core": ("MIT", "MIT, in the file LICENSE of the package"),
    "bioimageio-spec": ("MIT", "MIT, in the file LICENSE of the package"),
    "namex": ("Apache-2.0", "Apache-2.0, in the file LICENSE of the package"),
}
"""Packages whose metadata do not say it: name to licence, and where it is written."""


def spdx(text):
    """The SPDX expression of a free text, or None if it is not known.

    Examples
    --------
    >>> spdx("OSI Approved :: Apache Software License"), spdx("my own terms")
    ('Apache-2.0', None)
    """
    if {*identifiers(text)} <= ALLOWED:
        return text
    words = re.findall(r"[a-z0-9.]+", text.lower())
    return WORDS.get(" ".join(word for word in words if word not in FILLERS))


def identifiers(expression):
    """The names of licences in an SPDX expression."""
    return [word for word in re.findall(r"[^\s()]+", expression) if word not in ("AND", "OR")]


def is_allowed(expression):
    """Whether a package under this SPDX expression may be used by a project under MIT.

    Examples
    --------
    >>> is_allowed("MIT AND (GPL-2.0-only OR BSD-3-Clause)"), is_allowed("MIT AND GPL-2.0-only")
    (True, False)
    """
    inner = re.search(r"\(([^()]*)\)", expression)
    if inner:  # a licence that is as good as what is in parentheses stands for it
        one = "MIT" if is_allowed(inner[1]) else "unknown"
        return is_allowed(expression[: inner.start()] + one + expression[inner.end() :])
    choices = re.split(r"\sOR\s", expression)
    return any(
        all(one.strip() in ALLOWED for one in re.split(r"\sAND\s", choice)) for choice in choices
    )


def licence(package):
    """The licence of an installed package: an SPDX expression, or what it says, or "unknown"."""
    about = metadata.metadata(package)
    if expression := about.get("License-Expression"):
        return expression
    if by_hand := BY_HAND.get(package):
        return by_hand[0]
    field = (about.get("License") or "").strip().partition("\n")[0]
    if field and (known := spdx(field)):
        return known
    classifiers = [one for one in about.get_all("Classifier") or () if one.startswith("License ::")]
    named = [spdx(one.rpartition(" :: ")[2]) for one in classifiers]
    if named and all(named):
        return " AND ".join(dict.fromkeys(named))
    return field[:60] or "unknown"


def locked(path=LOCK):
    """Names of the packages in the lock file, sorted."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return sorted({line.partition("==")[0] for line in lines if "==" in line})


def read(packages):
    """The licence of each package, or None where it is not installed, as on other systems."""
    found = dict.fromkeys(packages)
    for package in packages:
        try:
            found[package] = licence(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def sentences(licences):
    """A sentence for each licence that is unknown or not allowed."""
    return [
        f"{package} is under {found!r}, which is not known to go with MIT: add the licence to "
        "tools/licences.py with the reason, or use another package."
        for package, found in licences.items()
        if found is not None and not is_allowed(found)
    ]


def page(licences):
    """The text of docs/licences.md."""
    weak = [f"- {name}: {reason}" for name, reason in WEAK.items()]
    rows = [f"| {package} | {found} |" for package, found in licences.items() if found]
    absent = [package for package, found in licences.items() if not found]
    by_hand = [f"- {name}: {place}" for name, (_, place) in sorted(BY_HAND.items())]
    lines = [
        "# Licences of the dependencies",
        "",
        "`make licences` writes this page from the metadata of the installed packages. These are",
        "the packages of `requirements.lock`: what the project needs, and what tests and develops",
        "it. None of them is part of this repository, which is under the MIT licence.",
        "",
        "All licences are permissive, but for these. Any program may import such packages:",
        "",
        *weak,
        "",
        "| Package | Licence |",
        "| --- | --- |",
        *rows,
        "",
        "Not said by the metadata, but read in the package itself:",
        "",
        *by_hand,
        "",
        "Only on other systems or Python versions, and not looked at: " + ", ".join(absent) + ".",
        "",
    ]
    return "\n".join(lines)


def main():
    """Write the page, or say which licences are not known; return the exit code."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    licences = read(locked())
    if problems := sentences(licences):
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    with atomic_write(PAGE) as temporary:
        temporary.write_text(page(licences), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
