"""Models as a folder of safetensors, JSON and ONNX, and back: nothing in it is executed when it is read."""

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import check_for_correct_spaces
from torch import Tensor

from sb3_atari_dqn.algorithms.base import ValueBasedAlgorithm
from sb3_atari_dqn.algorithms.onnx_files import missing_packages, write_onnx
from sb3_atari_dqn.algorithms.saved_objective import with_saved_objective
from sb3_atari_dqn.algorithms.vocabulary import VOCABULARY
from sb3_atari_dqn.checkpoints import export_files
from sb3_atari_dqn.checkpoints.brief import brief
from sb3_atari_dqn.checkpoints.export_files import CONFIG, MODEL, ONNX, TRAINING
from sb3_atari_dqn.checkpoints.plain_model import decode_space, encode_space
from sb3_atari_dqn.policies import QPolicy
from sb3_atari_dqn.validation import check_device, check_keys

_Self = TypeVar("_Self", bound="ExportedModels")

if TYPE_CHECKING:
    _Host = ValueBasedAlgorithm
else:
    _Host = object

# Arguments of the constructor that are not part of a model, or have another place in config.json.
_NOT_ARGUMENTS = {
    *("self", "policy", "env", "device", "verbose", "tensorboard_log", "updates_per_transition"),
    "_init_setup_model",
}
# Those of them that may be given with any model.
_NOT_OF_A_MODEL = ("verbose", "tensorboard_log")

#: Counters of the training, which a continued one needs; name of the attribute: types
_COUNTERS: dict[str, tuple[type, ...]] = {
    "num_timesteps": (int,),
    "_n_updates": (int,),
    "_episode_num": (int,),
    "exploration_rate": (int, float),
    "largest_reward": (int, float, type(None)),
}


class Exported(NamedTuple):
    """
    :param files: names in the folder
    :param left_out: why there is no ONNX file, empty if there is one
    """

    files: tuple[str, ...]
    left_out: str


class ExportedModels(_Host):
    """A mixin: models as a folder of files that other programs can read."""

    algorithm: str
    n_stack: dict[str, int] | int
    stack_axis: dict[str, int]
    #: Arguments that say how often to learn, where the attributes say it in another way
    _pace_arguments: Callable[[], dict[str, Any]]

    def export(
        self,
        folder: str | Path,
        onnx: bool | None = None,
        training_state: bool = False,
        about: dict[str, Any] | None = None,
    ) -> Exported:
        """
        Write the model to a new folder: `config.json`, `model.safetensors` (the online network), `model.onnx`.

        Neither the replay buffer nor the statistics of VecNormalize are part of it.

        :param folder: must not exist, or be empty
        :param onnx: write `model.onnx`; None: if the packages of the extra `export` are installed
        :param training_state: also write the target network and the optimizer's state, to `training.safetensors`
        :param about: further plain values for config.json, such as the environment and its preprocessing
        :raises ValueError: if something about the model can only be saved as code, the folder exists, or ONNX is wanted
            and cannot be written; nothing is written then
        """
        missing = missing_packages()
        if onnx and missing:
            raise ValueError(
                f'onnx=True needs {" and ".join(missing)}: install them with pip install "sb3-atari-dqn[export]", or '
                "leave it out."
            )
        folder = Path(folder)
        export_files.check_free(folder)
        config = {**self._config(), "about": VOCABULARY.encode(about or {}, "about")}
        arrays: dict[str, dict[str, Any]] = {MODEL: dict(self.policy.q_net.state_dict())}
        if training_state:
            config["optimizer"], arrays[TRAINING] = self._training_state()
        left_out = "not wanted" if onnx is False else f"{' and '.join(missing)} not installed" if missing else ""
        with export_files.new_folder(folder) as unfinished:
            if not left_out:
                left_out = self._try_onnx(unfinished / ONNX, onnx is True)
            export_files.write(unfinished, config, arrays)
        return Exported((CONFIG, *arrays, *([] if left_out else [ONNX])), left_out)

    def _try_onnx(self, path: Path, is_needed: bool) -> str:
        """
        :param is_needed: raise an error if torch cannot write this network
        :return: otherwise the reason, empty if it was written
        """
        try:
            write_onnx(self.policy, path)
        except OSError:  # a full disk is no property of the network
            raise
        except Exception as error:  # torch raises any
            path.unlink(missing_ok=True)
            said = (str(error).strip().splitlines() or [""])[0]
            reason = f"torch cannot write this network ({type(error).__name__}: {said})"
            if is_needed:
                raise ValueError(f"onnx=True: {reason}; leave model.onnx out.") from error
            return reason
        return ""

    def _config(self) -> dict[str, Any]:
        """:raises ValueError: on a value that is not plain, naming it"""
        arguments = {name: VOCABULARY.encode(value, name) for name, value in self._arguments().items()}
        return {
            "algorithm": self.algorithm,
            "policy": VOCABULARY.encode(self.policy_class, "policy"),
            "observation_space": encode_space(self.observation_space),
            "action_space": encode_space(self.action_space),
            "arguments": arguments,
            "counters": {name: VOCABULARY.encode(getattr(self, name), name) for name in _COUNTERS},
            "frames": {"n_stack": self.n_stack, "stack_axis": self.stack_axis},
        }

    @classmethod
    def _argument_names(cls) -> set[str]:
        """:return: of the constructor, and of those that it passes `**kwargs` on to"""
        names: set[str] = set()
        for owner in cls.__mro__:
            if "__init__" in vars(owner):
                parameters = signature(vars(owner)["__init__"]).parameters.values()
                names |= {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
                if all(each.kind is not each.VAR_KEYWORD for each in parameters):
                    break
        return names - _NOT_ARGUMENTS

    def _arguments(self) -> dict[str, Any]:
        """
        :return: for a constructor that builds the same model
        :raises ValueError: if a class keeps no attribute of the name of an argument
        """
        values = self._kept_arguments()
        if lost := sorted(self._argument_names() - values.keys()):
            raise ValueError(
                f"{type(self).__name__} does not keep its argument {lost[0]} in an attribute of this name."
            )
        return values

    def _kept_arguments(self) -> dict[str, Any]:
        """:return: the arguments that are attributes"""
        attributes = {"stats_window_size": "_stats_window_size"}
        names = {name: attributes.get(name, name) for name in sorted(self._argument_names())}
        values = {name: getattr(self, attribute) for name, attribute in names.items() if hasattr(self, attribute)}
        return {**values, **self._pace_arguments()}

    def _training_state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """:return: plain values of the optimizer, and all arrays"""
        target = self.policy.q_net_target
        arrays = {} if target is None else {f"target.{name}": each for name, each in target.state_dict().items()}
        state = self.policy.optimizer.state_dict()
        plain: dict[str, dict[str, Any]] = {}
        for number, each in state["state"].items():
            for name, value in each.items():
                if isinstance(value, Tensor):
                    arrays[f"optimizer.{number}.{name}"] = value
                else:
                    plain.setdefault(str(number), {})[name] = value
        groups = [
            {name: value.item() if isinstance(value, Tensor) else value for name, value in group.items()}
            for group in state["param_groups"]
        ]
        return VOCABULARY.encode({"state": plain, "param_groups": groups}, "optimizer"), arrays

    @classmethod
    def import_(
        cls: type[_Self],
        folder: str | Path,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        **arguments: Any,
    ) -> _Self:
        """
        Build the model that :meth:`export` wrote; its action values are the same, bit for bit, on the same device.

        Without an exported training state, the target network is a copy of the online one and the optimizer begins
        anew.

        :param folder: of an exported model
        :param env: to train in, or play; its spaces must be those of the model
        :param device: "auto", "cpu", "cuda", ...
        :param arguments: of the constructor, in place of those in the folder
        :raises ValueError: if the folder is damaged, another algorithm wrote it, or it names anything unknown
        """
        check_device(device)
        check_keys(f"{cls.__name__}.import_()", arguments, {*cls._argument_names(), *_NOT_OF_A_MODEL})
        folder = Path(folder)
        config = export_files.read_config(folder)
        try:
            model, network = cls._with_network(folder, config, env, device, arguments)
        except _DoesNotFit as error:
            if (env is None and not arguments) or not cls._fits_alone(folder, config, device):
                raise
            raise error.without(arguments) from None
        model.policy.q_net.load_state_dict(network)
        target = model.policy.q_net_target
        if target is not None:
            target.load_state_dict(network)
        if TRAINING in config["files"]:
            state = export_files.read_arrays(folder, config["files"][TRAINING], TRAINING)
            _check_fit(folder / TRAINING, _under("target.", state), {} if target is None else network)
            if target is not None:
                target.load_state_dict(_under("target.", state))
            optimizer = _understood(folder, lambda: _optimizer_state(model.policy, config["optimizer"], state))
            model.policy.optimizer.load_state_dict(optimizer)
        for name in _COUNTERS:
            setattr(model, name, config["counters"][name])
        return model

    @classmethod
    def _with_network(
        cls: type[_Self],
        folder: Path,
        config: dict[str, Any],
        env: GymEnv | None,
        device: torch.device | str,
        given: dict[str, Any],
    ) -> tuple[_Self, dict[str, Tensor]]:
        """
        :return: a new model, and the weights in the folder, which fit it
        :raises ValueError: see :meth:`import_`
        """
        model = _understood(folder, lambda: cls._unbuilt(config, env, device, given))
        shapes = _understood(folder, model._network_shapes)
        network = export_files.read_arrays(folder, config["files"][MODEL], MODEL)
        _check_fit(folder / MODEL, network, shapes)
        _understood(folder, model._setup_model)
        return model, network

    @classmethod
    def _fits_alone(cls, folder: Path, config: dict[str, Any], device: torch.device | str) -> bool:
        """:return: whether the folder describes a whole model, so that an error is one of the caller's"""
        try:
            cls._with_network(folder, config, None, device, {})
        except ValueError:
            return False
        return True

    @classmethod
    def _unbuilt(
        cls: type[_Self], config: dict[str, Any], env: GymEnv | None, device: torch.device | str, given: dict[str, Any]
    ) -> _Self:
        """:return: a model without networks, whose sizes have not been compared with anything yet"""
        if config["algorithm"] != cls.__name__:
            raise ValueError(
                f"it holds a {brief(config['algorithm'])}, not a {cls.__name__}; read it with the class that wrote it."
            )
        _check_counters(config["counters"])
        saved = VOCABULARY.decode(config["arguments"], "arguments")
        check_keys("arguments", saved, cls._argument_names())
        policy_class = VOCABULARY.decode(config["policy"], "policy")
        if not (isinstance(policy_class, type) and issubclass(policy_class, QPolicy)):
            raise ValueError(f"policy names {brief(config['policy'], 100)}, which is no policy.")
        given = with_saved_objective("the model", saved, given)
        if given.get("replay_ratio") is not None:  # in place of the folder's own pace
            saved |= {"train_freq": None, "gradient_steps": None}
        built_from: dict[str, Any] = {**saved, **given, "device": device, "_init_setup_model": False}
        model = cls(policy_class, env, **built_from)
        spaces = {name: decode_space(config[name], name) for name in ("observation_space", "action_space")}
        if model.env is not None:
            check_for_correct_spaces(model.env, spaces["observation_space"], spaces["action_space"])
        else:
            model.observation_space, model.action_space = spaces["observation_space"], spaces["action_space"]
            model.n_envs = 1
            model.n_stack, model.stack_axis = config["frames"]["n_stack"], config["frames"]["stack_axis"]
        return model


class _DoesNotFit(ValueError):
    """What the folder says, and what was given in place of it, describe no model, or not the one in the folder."""

    def without(self, given: Mapping[str, Any]) -> Exception:
        """
        :param given: in place of what the folder says
        :return: the same if the folder is not to blame
        """
        if isinstance(self.__cause__, Exception):
            return self.__cause__
        return ValueError(
            f"The networks of an exported model are fixed, and {', '.join(given)} given to import_() describe others: "
            "leave out what changes them."
        )


def _understood(folder: Path, build: Callable[[], Any]) -> Any:
    """:raises _DoesNotFit: in place of any error, as a config.json that was written to may lead to any"""
    try:
        return build()
    except MemoryError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise _DoesNotFit(f"{folder / CONFIG} cannot be read: {kind}{error}") from error


def _check_counters(counters: Any) -> None:
    if not isinstance(counters, dict) or counters.keys() != _COUNTERS.keys():
        raise ValueError(f"counters must be {', '.join(_COUNTERS)}.")
    for name, kinds in _COUNTERS.items():
        if type(counters[name]) not in kinds:
            raise ValueError(f"counters[{name!r}] is {brief(counters[name], 100)}.")


def _check_fit(path: Path, arrays: Mapping[str, Tensor], shapes: Mapping[str, Tensor]) -> None:
    """:raises _DoesNotFit: naming the first array that is missing, too much, or of another shape or type"""
    for name in sorted({*arrays, *shapes}):
        found, wanted = ("none" if name not in each else _described(each[name]) for each in (arrays, shapes))
        if found != wanted:
            raise _DoesNotFit(
                f"{path} does not fit {CONFIG}: at {name!r:.100} it has {found}, the network described there {wanted}."
            )


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _under(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)}


def _optimizer_state(policy: QPolicy, plain: Any, arrays: Mapping[str, Tensor]) -> dict[str, Any]:
    """
    :param plain: out of config.json
    :param arrays: of the same state, by `optimizer.NUMBER.NAME`
    :return: for the optimizer
    :raises ValueError: on an array that does not have the shape of its parameter
    """
    decoded = VOCABULARY.decode(plain, "optimizer")
    state: dict[int, dict[str, Any]] = {int(number): dict(each) for number, each in decoded["state"].items()}
    parameters = [each for group in policy.optimizer.param_groups for each in group["params"]]
    for name, array in _under("optimizer.", arrays).items():
        number, _, key = name.partition(".")
        if array.numel() != 1 and array.shape != parameters[int(number)].shape:
            raise ValueError(f"optimizer.{name:.100} has {_described(array)}, its parameter another shape.")
        state.setdefault(int(number), {})[key] = array
    return {"state": state, "param_groups": decoded["param_groups"]}
