"""The practitioner's page runs from top to bottom, and its table is what it says."""

import json
import re
import runpy
import shlex
from pathlib import Path

from rlnotes.cli import main
from rlnotes.records.reading import load_run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own_rewards.md").read_text(encoding="utf-8")


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", PAGE, re.S | re.M)
    assert len(blocks) == 7
    names: dict[str, object] = {}
    for kind, text in blocks:
        if text.startswith("# my_rewards.py"):
            Path("my_rewards.py").write_text(text)
        elif kind == "python":
            exec(text, names)
        for line in text.splitlines() if kind == "sh" else []:
            program, *words = shlex.split(line)
            assert program == "rlnotes"
            assert main(words) == 0, (line, capsys.readouterr().err)
    run = load_run("runs/sums")
    assert set(run.samples[0]["rewards"]) == {"accuracy_reward", "brevity"}
    assert run.metrics["reward"].iloc[-1] > run.metrics["reward"].iloc[1]
    told = json.loads(Path("runs/sums.json").read_text())
    assert told["record"]["repeated"] and told["policy"]["samples"] == 8
    assert told["differences"]["avg@8"]["estimate"] > 0


def test_the_table_of_tutorial_rewards_is_what_the_probe_finds():
    table = runpy.run_path(str(ROOT / "scripts" / "tutorial_rewards.py"))["table"]()
    assert len(table) == 12
    assert [row for row in table if row not in PAGE.splitlines()] == []
