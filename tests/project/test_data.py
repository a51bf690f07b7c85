"""`data/README.md`: a row for every folder, and the commands of the records."""

import json
import re

import pytest

import rlnotes as rl

ROOT = rl.project_folder()
DATA = ROOT / "data"
ROWS = {
    cells[1].strip("` "): cells[3].strip("` ")
    for line in (DATA / "README.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `") and (cells := line.split("|"))
}

ONE_ARM = r"(python experiments/\w+\.py)(?: \w+)? --arms (\S+) --seeds (\d+)"


def filled(text, algorithm, seed):
    return text.replace("<algorithm>", algorithm).replace("<k>", str(seed))


def folders():
    """What a row is about: folders of folders, and folders that hold files."""
    for top in sorted(path for path in DATA.iterdir() if path.is_dir()):
        below = [path for path in sorted(top.iterdir()) if path.is_dir()]
        yield from below
        if any(path.is_file() for path in top.iterdir()):
            yield top


def rows_of(folder):
    """The rows whose pattern fits the folder, with their commands filled in."""
    name = folder.relative_to(DATA).as_posix()
    for pattern, command in ROWS.items():
        spelled = re.escape(pattern).replace("<algorithm>", "([a-z-]+)")
        found = re.fullmatch(spelled.replace("<k>", "[0-4]"), name)
        if found:
            algorithm = found[1].replace("-", "_") if found.groups() else ""
            yield pattern, filled(command, algorithm, name[-1])


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_every_folder_has_its_row(folder):
    assert len(list(rows_of(folder))) == 1


def test_every_row_has_its_folder():
    seen = {pattern for folder in folders() for pattern, _ in rows_of(folder)}
    assert seen == set(ROWS)


@pytest.mark.parametrize("path", sorted(DATA.glob("runs/*/meta.json")), ids=str)
def test_the_commands_of_the_runs_are_their_records(path):
    [(_, command)] = rows_of(path.parent)
    recorded = json.loads(path.read_text(encoding="utf-8"))["command"]
    if recorded != "notebook":
        assert recorded.replace("dr-grpo", "dr_grpo") == command


def test_the_commands_of_the_experiments_are_their_records():
    for path in sorted(DATA.glob("experiments/dr_grpo_fall/*/meta.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))["command"]
        recorded = recorded.replace(
            "learning_rate=1.5e-4", "mask_truncated_completions=true"
        )
        recorded = recorded.replace("rate_seed2", "filter_seed2")
        assert recorded in ROWS["experiments/dr_grpo_fall"]
    for path in sorted(DATA.glob("experiments/trl_engine/*/meta.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))["command"]
        command = filled(ROWS["experiments/trl_engine"], "", path.parent.name[-1])
        assert recorded == command.replace("rlnotes", "cli.py")
    metas = sorted(DATA.glob("experiments/*/*/*/meta.json"))
    for path in metas:
        recorded = json.loads(path.read_text())["command"]
        if not recorded.startswith("python "):  # recorded by the script itself
            recorded = f"python experiments/{recorded}"
        command = ROWS[f"experiments/{path.parts[-4]}"]
        if "--arms" in recorded:  # <arm>/seed<k>: the row's command for this one
            start, arm, seed = re.fullmatch(ONE_ARM, recorded).groups()
            assert start in command and [arm, f"seed{seed}"] == list(path.parts[-3:-1])
            continue
        start, seed = recorded.rsplit(" ", 1)
        assert command == f"{start} 0-4"
        assert f"seed{seed}" == path.parts[-3]


def test_the_files_that_the_commands_name_are_there():
    for pattern, command in ROWS.items():
        for word in re.findall(r"(?:configs|experiments|scripts)/\S+\.\w+", command):
            algorithms = ["grpo", "dr_grpo"] if "<algorithm>" in word else [""]
            for algorithm in algorithms:
                assert (ROOT / filled(word, algorithm, 0)).is_file(), pattern


def test_a_policys_card_tells_the_rows_command():
    for card in sorted(DATA.glob("policies/*/README.md")):
        command = ROWS[f"policies/{card.parent.name}"]
        config = command.split()[3]
        assert f"pretrain --config {config}" in card.read_text(encoding="utf-8")
