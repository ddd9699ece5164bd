"""Names of runs, and their conversion back into settings.

`<data>_<attention>_<reversible|ordinary>[_separate-qk][_<setting>-<value>]..._seed-<n>`, such as
`wikipedia_lsh-4_reversible_lr-0.0003_seed-1`. A setting that the name omits has the usual value of its data set and profile.
Runs that train different weights have different names. A name contains no setting that trained weights do not depend on.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, get_origin

from reformer.data.config import DATA_KINDS
from reformer.model.attention_kinds import attention_name, parse_attention
from reformer.model.config import ReformerConfig
from reformer.runs.config import OptimizerConfig, TrainerConfig
from reformer.settings import TRAINED, SettingError, require, role_of

FORM = "<data>_<attention>_<reversible|ordinary>[_separate-qk][_<setting>-<value>]..."
RUN_NAME = re.compile(r"(?P<data>.+)_(?P<attention>[a-z0-9-]+)_(?P<residuals>reversible|ordinary)(?P<rest>(_.+)?)")
LONGEST = 150
"""Greatest number of characters; in a longer name, a hash replaces the settings."""
PROFILE = "profile"

SECTIONS: dict[str, tuple[type[Any], ...]] = {
    "data": tuple(DATA_KINDS.values()),
    "model": (ReformerConfig,),
    "optimizer": (OptimizerConfig,),
    "trainer": (TrainerConfig,),
}
"""Sections of a configuration whose settings a name can contain, with their schemas."""
_FIELDS = {
    f"{section}.{setting.name}": setting
    for section, schemas in SECTIONS.items()
    for schema in schemas
    for setting in fields(schema)
}
_SPECIAL_LABELS = {"model.n_layers": "layers"}
_IN_FIRST_PARTS = {"data.name", "data.kind", "model.attention", "model.n_hashes", "model.reversible", "model.shared_qk"}


def _label(key: str) -> str:
    """Returns a setting's label in names: without its section, unless another section has a setting of the same name."""
    section, name = key.split(".")
    shared = any(other != key and other.endswith(f".{name}") for other in _FIELDS)
    return _SPECIAL_LABELS.get(key) or (f"{section}_{name}" if shared else name).replace("_", "-")


_LABELS = {PROFILE: PROFILE, **{key: _label(key) for key in _FIELDS}}


@dataclass(frozen=True)
class RunSpec:
    """The content of a run's name, without the seed.

    Attributes:
        data: name of the data set.
        attention: name by `attention_name`.
        reversible: the residual layers are reversible.
        shared_qk: queries and keys are shared.
        others: all other settings with unusual values, as (setting, value) such as ("optimizer.lr", "0.0003").
    """

    data: str
    attention: str
    reversible: bool = True
    shared_qk: bool = True
    others: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, name: str) -> "RunSpec":
        """Parses a name without a seed; raises SettingError."""
        match = RUN_NAME.fullmatch(name)
        if match is None:
            raise SettingError(f"runs must be named {FORM}, got {name!r}")
        parts = [part for part in match["rest"].split("_") if part]
        others = tuple(_parse_setting(part) for part in parts if part != "separate-qk")
        reversible = match["residuals"] == "reversible"
        return cls(match["data"], match["attention"], reversible, "separate-qk" not in parts, others)

    @property
    def n_hashes(self) -> int:
        """Number of hash rounds if all layers have LSH attention, otherwise 0."""
        kinds, n_hashes = parse_attention(self.attention)
        return n_hashes if set(kinds) == {"lsh"} else 0

    def value(self, setting: str) -> str | None:
        """Returns the value of one of `others`, such as `model.n_layers`; None if it has its usual value."""
        return dict(self.others).get(setting)

    def without(self, setting: str) -> "RunSpec":
        """Returns the run with the usual value of one of `others`."""
        return replace(self, others=tuple(pair for pair in self.others if pair[0] != setting))

    def overrides(self) -> list[str]:
        """Returns the command line overrides that turn the usual run into this one; raises SettingError."""
        kinds, n_hashes = parse_attention(self.attention, f"the attention of run {self.data}_{self.attention}")
        return [
            f"data={self.data}",
            f"residuals={'reversible' if self.reversible else 'ordinary'}",
            f"model.attention=[{','.join(kinds)}]",
            f"model.shared_qk={str(self.shared_qk).lower()}",
            *([f"model.n_hashes={n_hashes}"] if n_hashes else []),
            *(f"{key}={_override_value(key, value)}" for key, value in self.others),
        ]


def run_name(config: Mapping[str, Any], usual: Mapping[str, Any], profile: str = "") -> str:
    """Names a run.

    Args:
        config: its settings as nested mappings, with interpolations unresolved (`${data.seq_len}`).
        usual: the usual settings of its data set and profile, in the same form.
        profile: its profile; empty for the usual one.
    """
    model = config["model"]
    expected = {**dict(_named_settings(usual)), "model.n_streams": 2 if model["reversible"] else 1}
    others = {key: value for key, value in _named_settings(config) if value != expected.get(key)}
    parts = [
        config["data"]["name"],
        attention_name(model["attention"], model["n_hashes"]),
        "reversible" if model["reversible"] else "ordinary",
        *([] if model["shared_qk"] else ["separate-qk"]),
        *([f"{PROFILE}-{profile}"] if profile else []),
    ]
    named = [f"{_LABELS[key]}-{_format(value)}" for key, value in others.items()]
    if not all(re.fullmatch(r"[A-Za-z0-9.+-]+", part) for part in named) or len("_".join(parts + named)) > LONGEST:
        named = [f"other-{sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()[:8]}"]
    return "_".join([*parts, *named, f"seed-{config['seed']}"])


def _named_settings(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the settings that `RunSpec.others` can contain: those that trained weights depend on."""
    for section in SECTIONS:
        for name, value in config[section].items():
            key = f"{section}.{name}"
            if key not in _IN_FIRST_PARTS and role_of(_FIELDS[key]) in TRAINED:
                yield key, value


def _format(value: Any) -> str:
    """Formats a value for a name."""
    if isinstance(value, list):
        return "+".join(map(_format, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse_setting(part: str) -> tuple[str, str]:
    """Parses `<label>-<value>`; raises SettingError."""
    keys = [key for key, label in _LABELS.items() if part.startswith(f"{label}-")]
    require(bool(keys), "each further part of a run's name", "<setting>-<value>, as lr-0.0003", part)
    key = max(keys, key=lambda key: len(_LABELS[key]))
    return key, part.removeprefix(f"{_LABELS[key]}-")


def _override_value(key: str, value: str) -> str:
    """Converts a value of a name to the syntax of the command line."""
    is_list = key in _FIELDS and get_origin(_FIELDS[key].type) is list
    return f"[{value.replace('+', ',')}]" if is_list else value
