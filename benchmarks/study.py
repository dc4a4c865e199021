"""Run a study of this project by its name: the studies of studies.yml, in a folder outside of the repository.

    python benchmarks/study.py                                       # lists the studies
    python benchmarks/study.py pong_short --runs ~/studies --parallel 2
    python benchmarks/study.py pong_short --runs ~/studies --status

It is `python -m sb3_atari_dqn sweep studies.yml --name NAME`, whose other options it takes too.
"""

import sys
from pathlib import Path

import sb3_atari_dqn
from sb3_atari_dqn.commands.sweep import main

DECLARATIONS = Path(__file__).with_name("studies.yml")
RUNS = Path.home() / "sb3_atari_dqn_studies"

if __name__ == "__main__":
    sb3_atari_dqn.register()
    name, options = sys.argv[1:2], sys.argv[2:]
    if name and not name[0].startswith("-"):
        main([str(DECLARATIONS), "--runs", str(RUNS), "--name", *name, *options])
    else:
        main([str(DECLARATIONS), "--list", *name, *options])
