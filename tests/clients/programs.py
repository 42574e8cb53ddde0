# SPDX-License-Identifier: Apache-2.0
"""The programs of clients that are no Debian packages: fetched from their registries, pinned, and kept in
~/.cache/sonde/clients (or $SONDE_CACHE).

What: go_program() builds what `go install` gives, with a toolchain of go_toolchain.sh; Go checks it against its sum
      database.
      npm_program() installs what npm_*/package-lock.json names, whose hashes npm checks; no script of a package is run.
Exit: NotHere, with the reason, where a program cannot be had.
Limits: what a registry no longer gives can be given as a file: see --program of the clients' tests.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "truth"))
from rows import NotHere  # noqa: E402

GO = "1.26.8"
BUILD_TIMEOUT_SEC = 1800
PLAIN = ("plain", [])
PROGRESS = ("go: downloading ", "npm warn ")  # what comes before the reason of a failure
STRIPPED = ("stripped", ["-trimpath", "-ldflags", "-s -w"])


def debian_program(name, package, folders=""):
    """Its path. `folders`: a pattern of folders that are not in the search path; the last that fits is taken."""
    beside = sorted(map(str, Path("/").glob(f"{folders}/{name}"))) if folders else []
    found = shutil.which(name) or (beside[-1] if beside else None)
    if found is None:
        raise NotHere(f"{name} is not installed (Debian's package {package})")
    return found


@contextmanager
def new_in_cache(name):
    """A folder to be filled, which bears its name in the cache once it is complete; None if it was before."""
    cache = Path(os.environ.get("SONDE_CACHE", Path.home() / ".cache" / "sonde")) / "clients"
    target = cache / name
    if target.is_dir():
        yield target, None
        return
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=cache) as work:
        made = Path(work) / "made"
        made.mkdir()
        yield target, made
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir():  # somebody else was faster
                raise


def run(what, command, **options):
    """Runs it with least priority. Raises NotHere with the last words of a command that fails."""
    try:
        subprocess.run(["nice", "-n", "19", *command], check=True, capture_output=True, text=True,
                       timeout=BUILD_TIMEOUT_SEC, **options)  # fmt: skip
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in (error.stderr or error.stdout).splitlines() if line.strip()]
        said = [line for line in said if not line.startswith(PROGRESS)]
        raise NotHere(f"{what}: {'; '.join(said[:3]) or error}") from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise NotHere(f"{what}: {error}") from error


def go_program(package, version, kind):
    """The path of the program that `go install PACKAGE@VERSION` builds. `kind`: a name and the flags for go."""
    name, flags = kind
    program = package.rpartition("/")[2]
    with new_in_cache(f"{program}-{version}-go{GO}-{name}") as (folder, work):
        if work:
            print(f"... building {program} {version}, {name}", file=sys.stderr, flush=True)
            got = subprocess.run([HERE / "go_toolchain.sh", GO], capture_output=True, text=True, check=False)
            if got.returncode != 0:
                raise NotHere(got.stderr.strip())
            goroot = got.stdout.strip()
            kept = {key: value for key, value in os.environ.items() if key not in ("GOFLAGS", "GOOS", "GOARCH")}
            environment = {**kept, "GOBIN": str(work), "GOROOT": goroot, "GOTOOLCHAIN": "local"}
            run(f"go install {package}@{version}", [f"{goroot}/bin/go", "install", *flags, f"{package}@{version}"],
                env=environment, cwd=work)  # fmt: skip
    return folder / program


def npm_program(name, pattern):
    """The path of the file that fits `pattern` in what npm_NAME/package-lock.json installs."""
    source = HERE / f"npm_{name}"
    version = source.joinpath("package.json").read_text().partition('"version": "')[2].partition('"')[0]
    with new_in_cache(f"{name}-{version}") as (folder, work):
        if work:
            print(f"... fetching {name} {version}", file=sys.stderr, flush=True)
            for file in ("package.json", "package-lock.json"):
                shutil.copy(source / file, work)
            npm = debian_program("npm", "npm")
            run(f"npm ci of {name}", [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work)
    found = sorted(folder.glob(pattern))
    if not found:
        raise NotHere(f"the npm packages of {name} have no program for this machine")
    return found[0]
