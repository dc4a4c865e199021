"""The table of a study in the terminal."""

import io
import os
import re
from pathlib import Path

import pytest

from sb3_atari_dqn.studies.plan import Run
from sb3_atari_dqn.studies.progress import Display, Line, drawn, line_of
from sb3_atari_dqn.studies.record import Place, Record
from sb3_atari_dqn.studies.training import Training
from tests.support.fake_runs import START, write_run


def run(setting: str = "short", game: str = "Pong", seed: int = 0) -> Run:
    return Run("tiny", "dqn_qr", setting, None, {}, game, f"{game}NoFrameskip-v4", seed, 1000, 2, None, None)


def began(folder: Path, record: Record, **changes) -> Place:
    """:return: a run of 100 steps, with a score of -21"""
    place = Place(run(**changes), folder)
    write_run(place.folder / "dqn_qr" / f"{place.run.env}_1", [(-21.0, 400, 10.0)], algo="dqn_qr", seed=0)
    place.save(record)
    return place


@pytest.mark.parametrize(
    ("record", "running", "cells"),
    [
        (Record(), False, ("waiting", "10%", "-21.0", "", "")),
        (Record(periods=[[START, START + 3600]]), False, ("stopped", "10%", "-21.0", "1:00", "")),
        (Record(periods=[[START, START + 60]], status=2), False, ("failed", "10%", "-21.0", "0:01", "")),
        (Record(periods=[[START, START + 60]], ended="goal"), False, ("goal", "100", "-21.0", "0:01", "")),
        (Record(periods=[[START, START + 60]], ended="steps"), False, ("done", "100", "-21.0", "0:01", "")),
        (Record(periods=[[START, None]]), True, ("running", "10%", "-21.0", "2:00", "")),
    ],
)
def test_a_line_says_how_far_a_run_is(tmp_path, record, running, cells):
    line = line_of(began(tmp_path, record), running, START + 7200)
    assert line.cells == ("dqn_qr short", "Pong", "0", *cells)
    assert line.share == (1.0 if record.ended else 0.1)


def test_a_run_of_a_killed_program_is_cut_off_and_its_time_ends_with_its_files(tmp_path):
    line = line_of(began(tmp_path, Record(periods=[[START, None]])), False, START + 10**9)
    assert line.state == "cut off"
    assert line.cells[-2] != f"{10**9 // 3600}:00"


def test_a_run_that_trains_says_what_is_left(tmp_path):
    place = Place(run(), tmp_path)
    episodes = [(-21.0, 400, 100.0), (-20.0, 400, 200.0), (-19.0, 400, 300.0), (-18.0, 400, 500.0)]
    write_run(place.folder / "dqn_qr" / f"{place.run.env}_1", episodes, algo="dqn_qr", seed=0)
    place.save(Record(periods=[[START, None]]))
    line = line_of(place, True, START + 600)
    assert line.cells[-1] == "0:20"  # 600 steps at 100 steps in 200 s, as of late
    assert line.cells[5] == "-18.5"


def test_pauses_do_not_count_in_what_is_left(tmp_path):
    place = Place(run(), tmp_path)
    episodes = [(-21.0, 400, 10.0), (-21.0, 400, 20.0), (-21.0, 400, 100.0), (-20.0, 400, 10_200.0)]
    write_run(place.folder / "dqn_qr" / f"{place.run.env}_1", episodes, algo="dqn_qr", seed=0)
    place.save(Record(periods=[[START, START + 150], [START + 10_150, None]]))
    assert line_of(place, True, START + 10_300).cells[-1] == "0:10"  # 600 steps at 100 steps in 100 s


def lines(states: str) -> list[Line]:
    names = {"d": "done", "r": "running", "w": "waiting", "f": "failed"}
    rest = ("1", "", "", "")
    return [
        Line(names[each], float(each == "d"), (f"dqn_qr setting {i}", "SpaceInvaders", str(i), names[each], *rest))
        for i, each in enumerate(states)
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_the_width(width):
    table = drawn("a_study_with_a_long_name", lines("drwf"), width)
    assert len(table) == 6
    assert max(map(len, table)) <= width
    assert all(state in row for row, state in zip(table[2:], ("done", "running", "waiting", "failed"), strict=True))
    assert table[0].startswith("a_study_with_a_long_name [#####....")


def test_a_terminal_too_narrow_for_the_state_shows_no_color():
    assert drawn("s", lines("r"), 20, color=True) == drawn("s", lines("r"), 20)
    assert "\x1b[36mrunning\x1b[0m" in drawn("s", lines("r"), 80, color=True)[2]


def test_names_are_shortened_where_there_is_no_room():
    wide, narrow = drawn("s", lines("d"), 100), drawn("s", lines("d"), 52)
    assert "dqn_qr setting 0  SpaceInvaders" in wide[2]
    assert narrow[2].startswith("dqn...  Spa...  ")


def test_what_waits_and_what_is_done_is_left_out_first_where_there_is_no_height():
    table = drawn("s", lines("dddrrfwww"), 100, height=8)
    assert len(table) == 7
    assert table[-1] == "... and 2 done, 3 waiting"
    assert [re.split(r"\s{2,}", row)[2] for row in table[2:-1]] == ["0", "3", "4", "5"]


def test_the_head_counts():
    head, *_ = drawn("s", lines("dddrrfwww"), 100)
    assert head == "s [#######.............] 3 of 9 done, 2 running, 3 waiting, 1 failed"


class Terminal(io.StringIO):
    """Keeps what is on the screen, of the two sequences that are used."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        rows: list[str] = []
        for part in re.split(r"(\r\x1b\[\d+A\x1b\[J)", self.getvalue()):
            if up := re.fullmatch(r"\r\x1b\[(\d+)A\x1b\[J", part):
                del rows[len(rows) - int(up[1]) :]
            else:
                rows += re.sub(r"\x1b\[\d+m", "", part).splitlines()
        return rows


def test_the_table_stays_below_what_happens(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    job = Training(run(), tmp_path, 1)
    terminal = Terminal()
    display = Display([job.run], tmp_path, terminal)
    display.refresh()
    display.begun(job, "begins")
    began(tmp_path, Record(periods=[[START, None]]))
    display.refresh()
    display.note("Stopping")
    display.refresh()
    first, second, *table = terminal.screen()
    assert first.endswith("dqn_qr short, Pong, seed 0: begins")
    assert second.endswith("Stopping")
    assert len(table) == 3
    assert "running" in table[2]
    display.ended(job, "stopped")
    display.finish()
    assert len(terminal.screen()) == 6
    assert "running" not in terminal.screen()[-1]


def test_elsewhere_there_are_only_lines(tmp_path):
    out = io.StringIO()
    display = Display([run()], tmp_path, out)
    display.begun(Training(run(), tmp_path, 1), "begins")
    display.refresh()
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


def test_a_closed_output_does_not_end_the_study(tmp_path):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out:
        display = Display([run()], tmp_path, out)
        os.close(reader)
        display.note("nobody reads this")
        display.finish()
        with pytest.raises(BrokenPipeError):
            out.flush()
        out.buffer.raw.close()  # type: ignore[attr-defined]
