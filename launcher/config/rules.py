"""What no single setting can say of itself: whether a config makes sense as a whole."""

import re
import shlex
import urllib.parse
from pathlib import Path

from launcher.config.settings import Config, Gce, Retrain
from launcher.errors import ConfigError


def check(config: Config, path: Path) -> None:
    """Raise ConfigError, which names the file `path`, for the first thing that does not."""
    _check_together(config, path)
    _check_gce(config.gce, path)
    _check_who(config.gce, path)
    _check_told(config.retrain, path)


def _check_together(config: Config, path: Path) -> None:
    """What no single key can say of itself."""
    data = config.data
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", config.name):
        raise ConfigError(
            f"{path}: name = {config.name!r} cannot name a machine",
            "use 1 to 40 lower-case letters, digits and hyphens, beginning with a letter",
        )
    if not (data.folder or data.archive or data.synthetic_clips):
        raise ConfigError(
            f"{path}: [data] names no source of clips",
            "set data.folder, data.archive or data.synthetic_clips",
        )
    _check_stages(config, path)
    if config.machine.recipe == "upstream":
        _check_upstream(config, path)
    if data.validation_percentage + data.testing_percentage > 80:
        raise ConfigError(
            f"{path}: data.validation_percentage and data.testing_percentage leave "
            "less than 20 % of the speakers to train on"
        )


def _check_stages(config: Config, path: Path) -> None:
    """Steps and rates are lists of one length; the trainer's own have one stage."""
    train = config.train
    steps, rates = len(train.how_many_training_steps or "1"), len(train.learning_rate or "1")
    if steps != rates:
        raise ConfigError(
            f"{path}: train.how_many_training_steps has {steps} stages and "
            f"train.learning_rate {rates}; they must agree"
        )


def _check_upstream(config: Config, path: Path) -> None:
    """What TensorFlow's own trainer cannot do."""
    data = config.data
    if data.synthetic_clips or bool(data.folder) == bool(data.archive):
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" trains on one source of recordings',
            "set data.folder or data.archive, and data.synthetic_clips = 0",
        )
    if config.train.model_architecture not in ("tiny_conv", "tiny_embedding_conv"):
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" has no train.model_architecture = '
            f'"{config.train.model_architecture}"',
            'set train.model_architecture = "tiny_conv" or "tiny_embedding_conv"',
        )
    if bool(config.train.how_many_training_steps) != bool(config.train.learning_rate):
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" takes train.how_many_training_steps and '
            "train.learning_rate together",
            "set both, or neither for [15000, 3000] steps at [0.001, 0.0001]",
        )
    if config.train.optimizer == "adam":
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" has no train.optimizer = "adam"',
            'set train.optimizer = "gradient_descent" or "momentum"',
        )


def _check_gce(gce: Gce, path: Path) -> None:
    """What Compute Engine would refuse, or a shell misread, whatever the project."""
    for name in ("zones", "image_families"):
        if not getattr(gce, name):
            raise ConfigError(f"{path}: gce.{name} is empty; name at least one")
    names = [*gce.zones, *gce.image_families, gce.machine_type, gce.disk_type, gce.image_project]
    for name in (*names, gce.network, *filter(None, [gce.subnet])):
        if not re.fullmatch(r"[a-z][-a-z0-9.:]{0,62}", name):
            raise ConfigError(
                f"{path}: [gce] names {name!r}, which Compute Engine would not take",
                "its names are lower-case letters, digits and hyphens",
            )
    if gce.machine_type.startswith("e2-") and gce.min_cpu_platform:
        raise ConfigError(
            f"{path}: gce.machine_type = {gce.machine_type!r} takes whatever CPU there is",
            'set gce.min_cpu_platform = ""',
        )
    if not _is_command(gce.proxy_command):
        raise ConfigError(f"{path}: gce.proxy_command = {gce.proxy_command!r} is no command")
    if not re.fullmatch(r"[a-z_][-a-z0-9_]{0,31}", gce.user) or gce.user == "root":
        raise ConfigError(
            f"{path}: gce.user = {gce.user!r} cannot log in",
            "use lower-case letters, digits, - and _, beginning with a letter; not root",
        )


def _check_who(gce: Gce, path: Path) -> None:
    """Who pays, and who acts."""
    if not re.fullmatch(r"(([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9])?", gce.project):
        raise ConfigError(
            f"{path}: gce.project = {gce.project!r} is no project's ID",
            "6 to 30 lower-case letters, digits and hyphens: gcloud projects list",
        )
    for name in ("service_account", "impersonate"):
        email = getattr(gce, name)
        if not re.fullmatch(r"([^\s@'\"]+@[^\s@'\"]+)?", email):
            raise ConfigError(f"{path}: gce.{name} = {email!r} is no e-mail of a service account")


def _check_told(retrain: Retrain, path: Path) -> None:
    """Who is told how a retraining ended. A key would be read by all who read the config."""
    if retrain.webhook and not _is_address(retrain.webhook):
        raise ConfigError(
            f"{path}: retrain.webhook is no address of a webhook",
            "write it as https://HOST/PATH, with nobody's name or password in it",
        )
    name = retrain.webhook_secret_env
    if name and not retrain.webhook:
        raise ConfigError(f"{path}: retrain.webhook_secret_env signs what no retrain.webhook takes")
    if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", name):
        raise ConfigError(
            f"{path}: retrain.webhook_secret_env is not the name of an environment variable",
            "the key itself stands in that variable, never in a config",
        )
    if not _is_command(retrain.hook):
        raise ConfigError(f"{path}: retrain.hook = {retrain.hook!r} is no command")


def _is_address(url: str) -> bool:
    if not re.fullmatch(r"[!-~]+", url):
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        return known and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # a port that is no number
        return False


def _is_command(text: str) -> bool:
    """Whether words can be made of it; nothing at all is no command to run, which is fine."""
    try:
        return bool(shlex.split(text)) or not text
    except ValueError:  # a quote that does not end
        return False
