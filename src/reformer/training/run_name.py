"""A run is named by what it is, and its name can be turned back into the settings that make it.

`<data>_<attention>_<reversible|ordinary>[_separate-qk][_layers-N][_<setting>-<value>]..._seed-<n>`, such as
`wikipedia_lsh-4_reversible_lr-0.0003_seed-1`. Whatever is not named is as usual for that data set. No two runs that
train different weights share a name; how a run is carried out (devices, logging, folders) is no part of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, get_origin

from reformer.data.config import DuplicationConfig, ImagesConfig, TextConfig
from reformer.model.attention_name import attention_name, parse_attention
from reformer.model.config import ReformerConfig
from reformer.settings import SettingError, require
from reformer.training.config import OptimizerConfig, TrainerConfig

FORM = "<data>_<attention>_<reversible|ordinary>[_separate-qk][_layers-N][_<setting>-<value>]..."
RUN_NAME = re.compile(r"(?P<data>.+)_(?P<attention>[a-z0-9-]+)_(?P<residuals>reversible|ordinary)(?P<rest>(_.+)?)")
LONGEST = 150

SAID = {"data.name", "data.kind", *(f"model.{key}" for key in ("attention", "n_hashes", "reversible", "shared_qk"))}
"""Settings that the first parts of the name say."""
HOW = {f"data.{key}" for key in ("files", "source", "mirror", "by_hand")} | {
    f"trainer.{key}"
    for key in ("accelerator", "devices", "num_nodes", "strategy", "num_workers", "log_every", "val_every")
}
"""Settings that say how a run is carried out, not what it is."""


@dataclass(frozen=True)
class RunSpec:
    """What a run's name says, the seed apart."""

    data: str
    attention: str
    """full, local, lsh-N, or a mix of them joined by hyphens."""
    reversible: bool
    shared_qk: bool = True
    n_layers: int | None = None
    """None where the name does not say: the data set's usual depth."""
    other: str = ""
    """Further parts of the name, as they stand."""

    @classmethod
    def parse(cls, name: str) -> "RunSpec":
        """Takes a name apart; raises SettingError."""
        match = RUN_NAME.fullmatch(name)
        if match is None:
            raise SettingError(f"runs must be named {FORM}, got {name!r}")
        spec = cls(match["data"], match["attention"], match["residuals"] == "reversible")
        for part in filter(None, match["rest"].split("_")):
            if part == "separate-qk":
                spec = replace(spec, shared_qk=False)
            elif layers := re.fullmatch(r"layers-(\d+)", part):
                spec = replace(spec, n_layers=int(layers[1]))
            else:
                spec = replace(spec, other=f"{spec.other}_{part}".strip("_"))
        return spec

    @property
    def n_hashes(self) -> int:
        """Hash rounds of pure LSH attention, otherwise 0."""
        rounds = re.fullmatch(r"lsh-(\d+)", self.attention)
        return int(rounds[1]) if rounds else 0

    def overrides(self) -> list[str]:
        """The settings that make this run from what is usual; raises SettingError for a part that names none."""
        kinds, n_hashes = parse_attention(self.attention, f"the attention of run {self.data}_{self.attention}")
        residuals = "reversible" if self.reversible else "ordinary"
        return [
            f"data={self.data}",
            f"residuals={residuals}",
            f"model.attention=[{','.join(kinds)}]",
            f"model.shared_qk={str(self.shared_qk).lower()}",
            *([f"model.n_hashes={n_hashes}"] if n_hashes else []),
            *([f"model.n_layers={self.n_layers}"] if self.n_layers else []),
            *(_override(part) for part in filter(None, self.other.split("_"))),
        ]


def run_name(config: Mapping[str, Any], usual: Mapping[str, Any], profile: str = "") -> str:
    """Names a run.

    Args:
        config: its settings as nested mappings, values that follow others left as they are written (`${data.seq_len}`).
        usual: the same for its data set and profile alone.
        profile: its profile, where that is not the usual one.
    """
    model = config["model"]
    before = {**dict(_flat(usual)), "model.n_streams": 2 if model["reversible"] else 1}
    other = {key: value for key, value in _flat(config) if value != before.get(key)}
    parts = [
        config["data"]["name"],
        attention_name(model["attention"], model["n_hashes"]),
        "reversible" if model["reversible"] else "ordinary",
        *([] if model["shared_qk"] else ["separate-qk"]),
        *([f"layers-{other.pop('model.n_layers')}"] if "model.n_layers" in other else []),
        *([f"profile-{profile}"] if profile else []),
    ]
    named = [f"{_SPELLED[key]}-{_text(value)}" for key, value in other.items()]
    if not all(re.fullmatch(r"[A-Za-z0-9.+-]+", part) for part in named) or len("_".join(parts + named)) > LONGEST:
        named = [f"other-{sha256(json.dumps(other, sort_keys=True).encode()).hexdigest()[:8]}"]
    return "_".join([*parts, *named, f"seed-{config['seed']}"])


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All settings that the first parts of a name leave open, as `section.setting`."""
    for section in _SECTIONS:
        for key, value in config[section].items():
            if f"{section}.{key}" not in SAID | HOW:
                yield f"{section}.{key}", value


def _text(value: Any) -> str:
    """A value as it stands in a name."""
    if isinstance(value, list):
        return "+".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _override(part: str) -> str:
    """The inverse for one part of a name."""
    if part.startswith("profile-"):
        return part.replace("-", "=", 1)
    keys = [key for key, spelled in _SPELLED.items() if part.startswith(f"{spelled}-")]
    require(bool(keys), "each further part of a run's name", "<setting>-<value>, as lr-0.0003", part)
    key = max(keys, key=lambda key: len(_SPELLED[key]))
    value = part.removeprefix(f"{_SPELLED[key]}-")
    return f"{key}=[{value.replace('+', ',')}]" if key in _LISTS else f"{key}={value}"


_SECTIONS = {
    "data": (DuplicationConfig, TextConfig, ImagesConfig),
    "model": (ReformerConfig,),
    "optimizer": (OptimizerConfig,),
    "trainer": (TrainerConfig,),
}
_FIELDS = {
    f"{section}.{field.name}": field for section, kinds in _SECTIONS.items() for kind in kinds for field in fields(kind)
}
_LISTS = {key for key, field in _FIELDS.items() if get_origin(field.type) is list}


def _spelled(key: str) -> str:
    """A setting as it stands in a name: without its section, where no other section has it too."""
    section, name = key.split(".")
    shared = any(other != key and other.endswith(f".{name}") for other in _FIELDS)
    return (f"{section}_{name}" if shared else name).replace("_", "-")


_SPELLED = {key: _spelled(key) for key in _FIELDS}
