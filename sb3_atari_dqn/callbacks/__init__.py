"""Callbacks for the zoo's ``callback:`` key: videos, models and logs per episode, in the run folder."""

from sb3_atari_dqn.callbacks.log_dead_units import LogDeadUnits
from sb3_atari_dqn.callbacks.log_episodes import LogEpisodes
from sb3_atari_dqn.callbacks.record_episodes import RecordEpisodes
from sb3_atari_dqn.callbacks.run import Run, RunCallback
from sb3_atari_dqn.callbacks.save_checkpoints import SaveCheckpoints
from sb3_atari_dqn.callbacks.save_models import SaveEveryEpisode, SaveOnBestTrainingMean
from sb3_atari_dqn.callbacks.save_progress import SaveProgress
from sb3_atari_dqn.callbacks.stop_at_return import StopAtReturn

__all__ = [
    "LogDeadUnits",
    "LogEpisodes",
    "RecordEpisodes",
    "Run",
    "RunCallback",
    "SaveCheckpoints",
    "SaveEveryEpisode",
    "SaveOnBestTrainingMean",
    "SaveProgress",
    "StopAtReturn",
]
