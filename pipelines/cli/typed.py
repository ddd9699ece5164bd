"""The typed command, before Hydra reads it: addresses and paths are taken as they are, and what nobody can mean is refused."""

import re
import shlex
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from reformer.settings import SettingError, require

TEXTS = {
    *("root", "name", "data.source", "data.mirror", "data.by_hand"),
    *("logger.dir", "logger.project", "logger.entity", "logger.group"),
}
"""Settings whose value is a text, whatever characters it has."""
FLAGS = {"--multirun", "-m", "--run", "-r", "--resolve", "--hydra-help", "--version", "--shell-completion", "-sc"}
WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--info", "-i", "--experimental-rerun"),
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
}
"""Options of Hydra's command line, without and with a value."""
MOST_NODES = 100_000
"""Values that a file of settings may have, with each alias counted as often as it is used."""


def readable(arguments: list[str]) -> list[str]:
    """Returns the arguments of a command as Hydra reads them: flags first, and texts in quotes where it needs them.

    Raises:
        SettingError: an argument cannot be read, is no option, removes a setting, or holds a password.
    """
    swept = bool({"--multirun", "-m"} & set(arguments))
    flags = [argument for argument in arguments if argument in FLAGS]
    others = [argument for argument in arguments if argument not in FLAGS]
    values = {number + 1 for number, argument in enumerate(others) if argument in WITH_VALUE}
    return flags + [
        argument if number in values or _is_option(argument) else _readable(argument, swept)
        for number, argument in enumerate(others)
    ]


def _is_option(argument: str) -> bool:
    """Returns whether an argument is an option of Hydra, and raises a SettingError for one that does not exist."""
    if not argument.startswith("-"):
        return False
    name = argument.partition("=")[0]
    require(name in WITH_VALUE, "an option", "--multirun, --cfg=job, --config-dir, --config-name or --help", name)
    return True


def refuse_password(setting: str, value: str) -> None:
    """Raises a SettingError, without the value, for an address that holds a user name or password."""
    if found := re.search(r"://[^/?#\s]*@([^/?#\s:]*)", value):
        raise SettingError(
            f"{setting} must be an address without user name and password, which would be written into files: put "
            f"`machine {found[1]} login <name> password <password>` into ~/.netrc"
        )


def check_file_of_settings(arguments: list[str]) -> None:
    """Checks the file that `--config-dir` and `--config-name` name, as `check_yaml` does."""
    named = dict(re.findall(r"^--config-(dir|name)[=\n](.+)$", "\n".join(arguments), re.MULTILINE))
    path = Path(named.get("dir", "")) / f"{named.get('name', '').removesuffix('.yaml')}.yaml"
    if "dir" in named and "name" in named and path.is_file():
        check_yaml(path)


def check_yaml(path: Path) -> None:
    """Raises a SettingError for a file that is not UTF-8 or YAML, or whose aliases unfold into a huge tree."""
    try:
        tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise SettingError(f"{path.name} must be UTF-8: {error.reason} at byte {error.start}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}") from None
    if tree is not None and _size(tree, {}) > MOST_NODES:
        raise SettingError(
            f"{path.name} unfolds into more than {MOST_NODES:,} values: write them without aliases (&, *)"
        )


def _size(node: yaml.Node, sizes: dict[int, float]) -> float:
    """Counts the nodes of a tree, each alias as often as it is used; infinite for a node that contains itself."""
    if id(node) not in sizes:
        sizes[id(node)] = float("inf")
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        sizes[id(node)] = 1 + sum(_size(part, sizes) for part in parts)
    return sizes[id(node)]


def _readable(argument: str, swept: bool) -> str:
    key, equals, value = argument.partition("=")
    if key.startswith("~"):
        raise SettingError(f"{key}: no setting can be left out: give it another value, as {key[1:]}=...")
    setting = key.lstrip("+")
    if setting.startswith("hydra.searchpath"):
        raise SettingError(f"{setting} must be left out: settings come from conf/, params.yaml and --config-dir")
    refuse_password(setting, value)
    if not equals and not _parses(argument):
        raise SettingError(f"{argument} is no setting with a value: type it as model.n_hashes=8, and see --help")
    if not equals or _means_itself(argument, setting in TEXTS and not swept):
        return argument
    quoted = f"{key}={_quoted(value)}"
    if setting in TEXTS and not (swept and "," in value):
        return quoted
    if not _parses(argument) and _parses(quoted):
        raise SettingError(f"{argument} cannot be read: if its value is a text, type {shlex.quote(quoted)}")
    return argument


def _means_itself(argument: str, is_text: bool) -> bool:
    """Returns whether Hydra reads an argument, and not as several values where a text is meant."""
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return not (is_text and override.is_sweep_override())


def _parses(argument: str) -> bool:
    return _means_itself(argument, is_text=False)


def _quoted(value: str) -> str:
    """Puts a value into quotes, in Hydra's grammar: a quote gets a backslash, and backslashes before a quote are doubled."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"'{escaped}'"
