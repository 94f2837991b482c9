#!/usr/bin/env python3
"""debian_closure.py PACKAGE...: the packages and all their dependencies, one per line, from apt-cache.

Of alternatives the first is used; of a virtual package one provider, preferably one that is included anyway. Packages
that only the installation scripts need are omitted: the packages are unpacked, not installed.
"""
import re
import subprocess
import sys

NOT_NEEDED = {
    "php-common", "ucf", "debconf", "debconf-2.0", "perl-base", "perl", "procps", "psmisc", "init-system-helpers",
    "sensible-utils", "media-types", "mime-support", "tzdata", "libtext-charwidth-perl", "libtext-wrapi18n-perl",
    "openssl-provider-legacy",
}
NO_WEAK_RELATIONS = [
    "--no-" + relation for relation in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
]


def dependencies(packages):
    """For each dependency: its alternatives in order, each a list of names; several where a virtual one is provided."""
    listing = subprocess.run(
        ["apt-cache", "depends", *NO_WEAK_RELATIONS, *packages], capture_output=True, text=True, check=True
    ).stdout
    found, continues = [], False
    for line in listing.splitlines():
        relation = re.match(r"^ ([ |])(?:Pre)?Depends: (<?)([^<>\s]+)", line)
        if relation:
            if not continues:
                found.append([])
            continues = relation[1] == "|"
            found[-1].append([] if relation[2] else [relation[3].split(":")[0]])
            is_virtual = bool(relation[2])
        elif line.startswith("    ") and found and is_virtual:
            found[-1][-1].append(line.strip().split(":")[0])
        else:
            continues = False
    return found


def main():
    seen, queue = set(), sys.argv[1:]
    while queue:
        batch = [package for package in dict.fromkeys(queue) if package not in seen]
        seen.update(batch)
        queue = []
        for alternatives in dependencies(batch) if batch else []:
            providers = next((names for names in alternatives if names), [])
            if providers and not any(name in seen or name in queue for name in providers):
                queue += [name for name in providers[:1] if name not in NOT_NEEDED]
    print("\n".join(sorted(seen)))


main()
