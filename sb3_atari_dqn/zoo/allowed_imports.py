"""Names that the configuration of a run may import: wrappers and callbacks that run nothing of their arguments.

Left out on purpose: what writes to a path of its arguments while playing (`RecordVideo`, `VecMonitor`), or calls one.
"""

from importlib import import_module
from typing import Any

_ATARI = {
    "NatureAtari": "wrappers",
    "GameSpeed": "skipping",
    "VecRepeatFirstStack": "stacking",
    **dict.fromkeys(("MsPacmanSkip16Atari", "PongEluAtari", "SpaceInvadersDuelingAtari"), "tutorials"),
}
_OURS = {f"sb3_atari_dqn.atari.{name}" for name in _ATARI}
_OURS |= {f"sb3_atari_dqn.atari.{module}.{name}" for name, module in _ATARI.items()}

_GYMNASIUM = {
    "AtariPreprocessing",
    "DelayObservation",
    "DtypeObservation",
    "DiscretizeObservation",
    "FilterObservation",
    "FlattenObservation",
    "FrameStackObservation",
    "GrayscaleObservation",
    "MaxAndSkipObservation",
    "NormalizeObservation",
    "AddRenderObservation",
    "ResizeObservation",
    "ReshapeObservation",
    "RescaleObservation",
    "TimeAwareObservation",
    "ClipAction",
    "DiscretizeAction",
    "RescaleAction",
    "StickyAction",
    "RepeatAction",
    "ClipReward",
    "NormalizeReward",
    "TimeLimit",
    "Autoreset",
    "PassiveEnvChecker",
    "OrderEnforcing",
    "RecordEpisodeStatistics",
    "AddWhiteNoise",
    "ObstructView",
}

_WRAPPERS = {
    "stable_baselines3.common.atari_wrappers": (
        "StickyActionEnv NoopResetEnv FireResetEnv EpisodicLifeEnv MaxAndSkipEnv ClipRewardEnv WarpFrame AtariWrapper"
    ),
    "stable_baselines3.common.vec_env": "VecCheckNan VecExtractDictObs VecFrameStack VecTransposeImage",
    "stable_baselines3.common.vec_env.vec_check_nan": "VecCheckNan",
    "stable_baselines3.common.vec_env.vec_extract_dict_obs": "VecExtractDictObs",
    "stable_baselines3.common.vec_env.vec_frame_stack": "VecFrameStack",
    "stable_baselines3.common.vec_env.vec_transpose": "VecTransposeImage",
    "sb3_contrib.common.wrappers": "TimeFeatureWrapper",
    "sb3_contrib.common.wrappers.time_feature": "TimeFeatureWrapper",
    "rl_zoo3.wrappers": (
        "YAMLCompatResizeObservation TruncatedOnSuccessWrapper ActionNoiseWrapper ActionSmoothingWrapper "
        "DelayedRewardWrapper HistoryWrapper HistoryWrapperObsDict FrameSkip MaskVelocityWrapper TimeFeatureWrapper"
    ),
    "minigrid.wrappers": (
        "FlatObsWrapper FullyObsWrapper ImgObsWrapper RGBImgObsWrapper RGBImgPartialObsWrapper OneHotPartialObsWrapper"
    ),
}

_CALLBACKS = {
    "sb3_atari_dqn.callbacks": (
        "LogDeadUnits LogEpisodes RecordEpisodes SaveEveryEpisode SaveOnBestTrainingMean SaveProgress StopAtReturn"
    ),
    "sb3_atari_dqn.callbacks.log_dead_units": "LogDeadUnits",
    "sb3_atari_dqn.callbacks.log_episodes": "LogEpisodes",
    "sb3_atari_dqn.callbacks.record_episodes": "RecordEpisodes",
    "sb3_atari_dqn.callbacks.save_models": "SaveEveryEpisode SaveOnBestTrainingMean",
    "sb3_atari_dqn.callbacks.save_progress": "SaveProgress",
    "sb3_atari_dqn.callbacks.stop_at_return": "StopAtReturn",
    "stable_baselines3.common.callbacks": (
        "CheckpointCallback LogEveryNTimesteps ProgressBarCallback StopTrainingOnMaxEpisodes"
    ),
    "rl_zoo3.callbacks": "LapTimeCallback ParallelTrainCallback RawStatisticsCallback",
}

_BY_MODULE = [*_WRAPPERS.items(), *_CALLBACKS.items()]
_LISTED = _OURS | {f"{module}.{name}" for module, names in _BY_MODULE for name in names.split()}


def is_importable(name: str) -> bool:
    """
    :param name: of a wrapper or a callback; those of gymnasium may be named by any of its modules
    """
    if name.startswith("gymnasium.wrappers."):
        return name.rpartition(".")[2] in _GYMNASIUM
    return name in _LISTED


def imported(name: str) -> Any:
    """
    :param name: importable
    :return: the class
    """
    module, _, kind = name.rpartition(".")
    return getattr(import_module(module), kind)
