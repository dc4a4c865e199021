"""Browsers that are killed, hang or do not start, programs that end in any way: training goes on, nothing is left."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_atari_dqn.dino import browser
from sb3_atari_dqn.dino import process as process_module
from sb3_atari_dqn.dino.browser import VARIABLE
from sb3_atari_dqn.dino.devtools import DevTools
from sb3_atari_dqn.dino.env import ChromeDinoEnv
from sb3_atari_dqn.dino.faults import BrowserFault, BrowserGone, NoBrowser, PageError
from sb3_atari_dqn.dino.page import START_TIMEOUT_S, Page
from sb3_atari_dqn.dino.process import GUARD
from tests.support.dino import (
    comes_true,
    dino,
    members,
    nothing_left,
    page_of,
    picture_of,
    process_of,
    script,
    users,
)

pytestmark = pytest.mark.browser


# --- faults in the middle of a game


def kill_renderer(env):
    for child in members(process_of(env).pid):
        if any(part.startswith("--type=renderer") for part in child.cmdline()):
            child.kill()


def kill_browser(env):
    os.kill(process_of(env).pid, signal.SIGKILL)


def stop_browser(env):
    os.killpg(process_of(env).pid, signal.SIGSTOP)


def hang_page(env):
    env.game.page.js("setTimeout(() => { for (;;); }, 0), 0")


def close_pipe(env):
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (process_of(env).read_fd, process_of(env).write_fd):
        os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)


def break_game(env):
    env.game.page.js("document.addEventListener = 0, window.dino.step = () => { throw new Error('broken'); }, 0")


@pytest.mark.parametrize(
    ("harm", "names"),
    [
        (kill_renderer, ("RendererGone",)),
        (kill_browser, ("BrowserGone", "RendererGone")),  # which of the two is noticed first is chance
        (stop_browser, ("PageHung",)),
        (hang_page, ("PageHung",)),
        (close_pipe, ("BrowserGone",)),
        (break_game, ("PageError",)),
    ],
)
def test_a_fault_truncates_the_episode_and_the_next_one_gets_a_fresh_browser(harm, names):
    with dino(game="embedded", timeout_s=3.0) as env:
        env.reset(seed=1)
        last, _, _, _, info = env.step(1)
        process = process_of(env)
        harm(env)
        observation, reward, terminated, truncated, ending = env.step(1)
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert ending["fault"].split(":")[0] in names
        assert ending["score"] == info["score"]
        assert np.array_equal(observation[..., -1], last[..., -1])
        assert np.array_equal(observation[..., :-1], last[..., 1:])
        assert nothing_left(process.pid, process.folder)
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(1)

        env.reset(seed=1)
        again, _, _, truncated, info = env.step(1)
        assert process_of(env).pid != process.pid
        assert np.array_equal(again, last)
        assert not truncated
        assert "fault" not in info


def test_a_browser_that_dies_between_two_episodes_is_replaced_without_a_word():
    with dino(game="embedded") as env:
        env.reset(seed=1)
        kill_browser(env)
        _, info = env.reset(seed=1)
        assert "fault" not in info
        assert not env.step(0)[3]


def test_a_browser_that_dies_while_it_is_shown_ends_the_episode_at_the_next_step():
    with dino(game="embedded", render_mode="rgb_array") as env:
        env.reset(seed=1)
        shown = picture_of(env)
        kill_browser(env)
        assert np.array_equal(picture_of(env), shown)
        *_, truncated, info = env.step(0)
        assert truncated
        assert info["fault"].split(":")[0] in ("BrowserGone", "RendererGone")
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(0)


def test_a_step_after_close_is_an_error_and_no_episode_that_ends():
    with dino(game="embedded") as env:
        env.reset(seed=1)
        env.close()
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(0)


def test_after_a_reset_that_failed_there_is_no_episode(monkeypatch, tmp_path):
    with dino(game="embedded") as env:
        env.reset(seed=1)
        kill_browser(env)
        monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
        with pytest.raises(NoBrowser):
            env.reset()
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(0)


def test_a_start_may_take_longer_than_an_answer(monkeypatch):
    calls = []
    call = DevTools.call

    def recorded(devtools, method, timeout_s, *rest, **params):
        calls.append((params.get("expression", method).split("(")[0], timeout_s))
        return call(devtools, method, timeout_s, *rest, **params)

    monkeypatch.setattr(DevTools, "call", recorded)
    with dino(game="chrome", render_mode="rgb_array", timeout_s=7) as env:
        env.reset(seed=1)
        env.step(0)
        env.render()
    assert [name for name, timeout_s in calls if timeout_s == 7.0] == ["dino.reset", "dino.step", "dino.rgb"]
    assert {timeout_s for _, timeout_s in calls[:-3]} == {START_TIMEOUT_S}


def interrupted(*_):
    raise KeyboardInterrupt


def test_after_an_interrupted_call_the_episode_is_over():
    """Whether the frames of the interrupted step have passed is not known."""
    with dino(game="embedded") as env:
        env.reset(seed=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DevTools, "_answer", interrupted)
            with pytest.raises(KeyboardInterrupt):
                env.step(0)
        *_, truncated, info = env.step(0)
        assert truncated
        assert "interrupted" in info["fault"]


def test_a_browser_that_never_starts_is_tried_so_often_and_no_more(monkeypatch, tmp_path):
    failing = tmp_path / "browser"
    failing.write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\necho no such luck >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(failing))
    env = ChromeDinoEnv(max_restarts=2)
    with pytest.raises(BrowserGone, match=r"max_restarts=2 .* no such luck"):
        env.reset()
    assert (tmp_path / "starts").read_text().count("started") == 2


def test_a_file_that_is_no_program_is_one_clear_error(monkeypatch, tmp_path):
    (tmp_path / "browser").write_text("")
    (tmp_path / "browser").chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "browser"))
    with pytest.raises(BrowserFault, match="cannot be started"):
        ChromeDinoEnv(max_restarts=1).reset()


def test_an_error_of_the_page_is_told_as_it_is():
    with dino(game="embedded") as env:
        env.reset(seed=1)
        with pytest.raises(PageError, match="no_such_name is not defined"):
            page_of(env).js("no_such_name")
        assert not env.step(0)[3], "the pipe is in order"


def test_training_survives_a_killed_browser():
    from stable_baselines3.common.callbacks import BaseCallback

    from sb3_atari_dqn import ClassicDQN

    class Killer(BaseCallback):
        def _on_step(self):
            if self.num_timesteps in (60, 61, 100):
                kill_browser(env)
            return True

    with dino(game="embedded", size=(36, 36)) as env:
        model = ClassicDQN("CnnPolicy", env, buffer_size=200, learning_starts=50, batch_size=4, device="cpu")
        model.learn(132, callback=Killer())
        lengths = [episode["l"] for episode in model.ep_info_buffer or ()]
        assert model.num_timesteps == 132
        assert 1 in lengths, "that of the browser killed one step after its start"


# --- whatever ends it


def test_close_leaves_neither_processes_nor_files_and_can_be_called_twice():
    env = ChromeDinoEnv(game="chrome")
    env.close()
    env.reset(seed=1)
    process = process_of(env)
    assert len(members(process.pid)) > 2
    assert users(process.folder)
    assert process.folder.exists()
    env.close()
    assert not process.folder.exists()
    assert nothing_left(process.pid, process.folder)
    env.close()
    env.reset(seed=1)  # a closed environment can be used again
    env.close()


def test_a_forgotten_environment_ends_its_browser():
    env = ChromeDinoEnv(game="embedded")
    env.reset(seed=1)
    pid, folder = process_of(env).pid, process_of(env).folder
    del env
    assert nothing_left(pid, folder)


@pytest.mark.parametrize(
    ("how", "signal_number"),
    [
        ("end", None),
        ("exception", None),
        ("steps", signal.SIGINT),
        ("steps", signal.SIGTERM),
        ("steps", signal.SIGKILL),
        ("fork", signal.SIGKILL),  # its child lives on, with copies of all file descriptors
        ("stopped", signal.SIGKILL),  # a browser that notices nothing
    ],
)
def test_however_a_program_ends_its_browser_ends_with_it(how, signal_number, tmp_path):
    """The temporary folder has a short name here: where it lies too deep, /tmp is taken instead."""
    temporary = Path(tempfile.mkdtemp(prefix="d"))
    process = script("hold", how, stderr=subprocess.DEVNULL, env={"TMPDIR": str(temporary), "HOME": str(tmp_path)})
    assert process.stdout is not None
    held = json.loads(process.stdout.readline())
    group, folder = held["group"], Path(held["folder"])
    assert folder.parent == temporary
    if signal_number is not None:
        time.sleep(0.2)
        os.kill(process.pid, signal_number)
    process.wait(timeout=60)
    assert nothing_left(group, folder)
    assert not list(tmp_path.iterdir())
    temporary.rmdir()  # it is empty


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_program_ended_while_its_browser_starts_leaves_nothing(signal_number, delay_s):
    temporary = Path(tempfile.mkdtemp(prefix="d"))
    process = script("start", stderr=subprocess.DEVNULL, env={"TMPDIR": str(temporary)})
    assert process.stdout is not None
    started = json.loads(process.stdout.readline())
    time.sleep(delay_s)
    os.kill(process.pid, signal_number)
    process.wait(timeout=60)
    assert Path(started["folder"]).parent == temporary
    assert nothing_left(started["group"], Path(started["folder"]))
    temporary.rmdir()  # it is empty


@pytest.mark.parametrize("spawns", [1, 2])
def test_an_interrupt_just_after_a_spawn_leaves_nothing(monkeypatch, spawns):
    """The number of the new process gets lost: after one spawn that of the guard, after two that of the browser."""
    spawn, spawned, folders = os.posix_spawn, [], []

    def interrupted_spawn(path, argv, *rest, **options):
        spawned.append(spawn(path, argv, *rest, **options))
        folders.append(Path(argv[-1]))
        if len(spawned) == spawns:
            raise KeyboardInterrupt
        return spawned[-1]

    monkeypatch.setattr(os, "posix_spawn", interrupted_spawn)
    with pytest.raises(KeyboardInterrupt):
        ChromeDinoEnv(game="embedded").reset()
    assert len(spawned) == spawns
    assert nothing_left(spawned[-1], folders[0])


def test_an_interrupt_once_the_browser_is_known_kills_it_at_once(monkeypatch):
    seen = []
    spawn_browser = process_module._Resources.spawn_browser

    def interrupted_start(resources, *arguments):
        spawn_browser(resources, *arguments)
        seen.append(resources)
        raise KeyboardInterrupt

    monkeypatch.setattr(process_module._Resources, "spawn_browser", interrupted_start)
    with pytest.raises(KeyboardInterrupt):
        ChromeDinoEnv(game="embedded").reset()
    (resources,) = seen
    assert not resources.folder.exists()
    with pytest.raises(ChildProcessError):  # it has been waited for
        os.waitpid(resources.pid, os.WNOHANG)
    assert comes_true(lambda: not members(resources.pid)), "its children, killed with it, take a moment to die"


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("stopped", [False, True])
def test_the_guard_kills_and_removes_in_every_shell(shell, stopped, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    folder = tmp_path / "it's a folder"
    writing = ["sh", "-c", 'while :; do mkdir -p "$1/profile"; done', "browser", str(folder)]
    writer = subprocess.Popen(writing, start_new_session=True)
    try:
        assert comes_true(folder.exists)
        if stopped:
            os.killpg(writer.pid, signal.SIGSTOP)
        guard = subprocess.Popen([shell, "-c", GUARD, "guard", str(folder)], stdin=subprocess.PIPE, text=True)
        assert guard.stdin is not None
        guard.stdin.write(f"{writer.pid}\n")
        guard.stdin.close()
        assert writer.wait(timeout=15) == -signal.SIGKILL
    finally:
        writer.kill()
    assert guard.wait(timeout=60) == 0
    assert not folder.exists()


def test_a_guard_that_is_told_that_all_is_done_touches_nothing(tmp_path):
    guard = subprocess.Popen(["sh", "-c", GUARD, "guard", str(tmp_path)], stdin=subprocess.PIPE, text=True)
    guard.communicate(f"{os.getpgid(0)}\ndone\n", timeout=60)
    assert tmp_path.exists()


def test_where_temporary_files_lie_too_deep_for_a_socket_tmp_is_taken(monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with dino(game="embedded") as env:
        env.reset(seed=1)
        assert process_of(env).folder.parent == Path("/tmp")
        assert not list(deep.iterdir())


def test_without_its_guard_a_browser_still_ends_and_its_folder_with_it():
    env = ChromeDinoEnv(game="embedded")
    env.reset(seed=1)
    process = process_of(env)
    assert process._resources.guard_pid is not None
    os.kill(process._resources.guard_pid, signal.SIGKILL)
    env.close()
    assert nothing_left(process.pid, process.folder)


def test_a_fork_leaves_the_browser_to_its_parent():
    with dino(game="embedded") as env:
        env.reset(seed=1)
        child = os.fork()
        if child == 0:
            truncated = env.step(0)[3]
            env.close()
            os._exit(0 if truncated else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not env.step(0)[3]


def test_browsers_of_a_subprocess_vector_environment_end_with_it():
    def make():
        return ChromeDinoEnv(game="embedded")

    envs = SubprocVecEnv([make, make], start_method="fork")
    envs.reset()
    workers = [process.pid for process in envs.processes]
    groups = {os.getpgid(child.pid) for pid in workers for child in psutil.Process(pid).children(recursive=True)}
    browsers = groups - {os.getpgid(0)}
    assert len(browsers) >= 2
    for _ in range(3):
        observations: Any = envs.step(np.array([1, 0]))[0]
    assert observations.shape == (2, 80, 80, 4)
    envs.close()
    assert comes_true(lambda: not any(members(group) for group in browsers))


# --- alone in the world


def test_no_port_is_opened():
    with dino(game="chrome") as env:
        env.reset(seed=1)
        connections = [c for process in members(process_of(env).pid) for c in process.net_connections(kind="inet")]
    assert connections == []


ATTEMPTS = """
const address = '127.0.0.1:%d';
fetch('http://' + address + '/fetch', {mode: 'no-cors'}).catch(() => 0);
new Image().src = 'http://' + address + '/image';
try { new WebSocket('ws://' + address + '/socket'); } catch (error) { }
try {
  const peer = new RTCPeerConnection({iceServers: [
    {urls: 'stun:' + address}, {urls: 'turn:' + address + '?transport=tcp', username: 'a', credential: 'b'}]});
  peer.createDataChannel('a');
  peer.createOffer().then(offer => peer.setLocalDescription(offer));
} catch (error) { }
0
"""


class Listener:
    """Counts who calls on a TCP and on a UDP port of this machine."""

    def __init__(self):
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.calls = []
        for listen in (self._accept, self._receive):
            threading.Thread(target=listen, daemon=True).start()

    def _accept(self):
        while True:
            caller, _ = self.tcp.accept()
            self.calls.append("tcp")
            caller.close()

    def _receive(self):
        while True:
            self.udp.recvfrom(1024)
            self.calls.append("udp")


def calls_of_a_page(address):
    """:return: calls that arrive while a page tries everything, and then navigates"""
    listener = Listener()
    page = Page(None, visible=False)
    try:
        page.load(address)
        page.js(ATTEMPTS % listener.port)
        time.sleep(1.0)
        page.load(f"http://127.0.0.1:{listener.port}/navigation")
        comes_true(lambda: bool(listener.calls), timeout_s=1.0)
    finally:
        page.close()
    return listener.calls


@pytest.mark.parametrize("address", ["chrome://dino/", "data:text/html,<p>page"])
def test_a_page_reaches_no_network(address):
    assert calls_of_a_page(address) == []


def test_the_network_would_be_reached_without_our_precautions(monkeypatch):
    monkeypatch.setattr(browser, "NO_NETWORK", ())
    monkeypatch.setattr(Page, "_cut_off_network", lambda page: None)
    calls = calls_of_a_page("data:text/html,<p>page")
    assert "tcp" in calls
