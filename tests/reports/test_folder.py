"""Folders that are written whole or not at all."""

from pathlib import Path

import pytest

from sb3_atari_dqn.reports.folder import NUMBERS, check_folder, write_folder
from tests.support.commands import files


def test_an_interrupted_replacement_keeps_the_former_report(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", {NUMBERS: b"1"})
    rename = Path.rename

    def interrupted(self, target):
        if self.suffix == ".tmp":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "out", {NUMBERS: b"2"})
    assert files(tmp_path) == ["out", f"out/{NUMBERS}"]
    assert (tmp_path / "out" / NUMBERS).read_bytes() == b"1"


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"out cannot be written .*: give another folder with -o"):
        write_folder(tmp_path / "out", {"missing/folder.txt": b""})
    assert files(tmp_path) == []


def test_an_empty_folder_and_a_link_to_one_can_be_written(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    check_folder(tmp_path / "link")
    write_folder(tmp_path / "link", {NUMBERS: b"1"})
    assert (tmp_path / "link").is_symlink()
    assert files(tmp_path) == ["link", "real", f"real/{NUMBERS}"]
