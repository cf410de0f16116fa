"""Temporary folders of processes that have ended go; those of living ones, and of others, stay."""

import os
import subprocess
import sys

import pytest
from support.driving import environment

from odyssey.storage.scratch import OWNER, is_gone, mark, scratch_folder, sweep_folders

LEAVES = """
import os, sys
from odyssey.storage.scratch import scratch_folder
with scratch_folder(sys.argv[1]) as folder:
    print(folder, flush=True)
    (folder / "file").touch()
    sys.stdin.read()
    os._exit(0)
"""


def test_what_a_kill_left_goes_with_the_next_run(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVES, tmp_path],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    left = tmp_path / os.path.basename(process.stdout.readline().strip())
    name = (left / OWNER).read_text()
    (tmp_path / "odyssey-mine").mkdir()  # says nothing of its owner
    assert not is_gone(name)
    sweep_folders(tmp_path)
    assert left.exists()
    process.communicate()
    assert is_gone(name)
    ended = []
    with scratch_folder(str(tmp_path), before=ended.append) as folder:
        assert folder.exists()
        assert not left.exists()
    assert not folder.exists()
    assert (tmp_path / "odyssey-mine").exists()
    assert ended == [left, folder]


NAMES = {
    "nothing": "",
    "word": "x",
    "dash": "-",
    "elsewhere": "0" * 12 + "-1-1",
    "letters": "a-b-c",
    "zeros": "0-0-0",
    "nearly ours": mark() + "x",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_what_cannot_be_shown_to_have_ended_has_not(name):
    assert not is_gone(name)
