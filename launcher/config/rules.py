"""Checks that a type and bounds cannot express: single settings, and settings together."""

import re
import shlex
import urllib.parse
from pathlib import Path

from launcher.config.settings import UPSTREAM_STEPS, Config, Gce, Retrain
from launcher.errors import ConfigError

QUOTES = "write it as in a shell; each quote needs its end"


def check(config: Config, path: Path) -> None:
    """Raise ConfigError for the first mistake; it names the file `path`."""
    _check_job(config, path)
    _check_gce(config.gce, path)
    _check_accounts(config.gce, path)
    _check_notify(config.retrain, path)


def _check_job(config: Config, path: Path) -> None:
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
            "less than 20 % of the speakers for training",
            "their sum must be at most 80",
        )


def _check_stages(config: Config, path: Path) -> None:
    """Steps and rates are lists of one length; the defaults have one stage."""
    train = config.train
    steps, rates = len(train.how_many_training_steps or "1"), len(train.learning_rate or "1")
    if steps != rates:
        raise ConfigError(
            f"{path}: train.how_many_training_steps is for {steps} of the stages, and "
            f"train.learning_rate for {rates}",
            "give both one value a stage; what is not given has one stage",
        )


def _check_upstream(config: Config, path: Path) -> None:
    """The limits of TensorFlow's own trainer."""
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
            f'{path}: machine.recipe = "upstream" needs train.how_many_training_steps and '
            "train.learning_rate together",
            f"set both, or neither for {list(UPSTREAM_STEPS)} steps at [0.001, 0.0001]",
        )
    if config.train.optimizer == "adam":
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" has no train.optimizer = "adam"',
            'set train.optimizer = "gradient_descent" or "momentum"',
        )


def _check_gce(gce: Gce, path: Path) -> None:
    """What Compute Engine refuses in every project, or a shell misreads."""
    for name in ("zones", "image_families"):
        if not getattr(gce, name):
            raise ConfigError(f"{path}: gce.{name} is empty", "name at least one")
    names = [*gce.zones, *gce.image_families, gce.machine_type, gce.disk_type, gce.image_project]
    for name in (*names, gce.network, *filter(None, [gce.subnet])):
        if not re.fullmatch(r"[a-z][-a-z0-9.:]{0,62}", name):
            raise ConfigError(
                f"{path}: [gce] names {name!r}, which is not a name of Compute Engine",
                "its names have lower-case letters, digits and hyphens",
            )
    if not _is_command(gce.proxy_command):
        what = f"{path}: gce.proxy_command = {gce.proxy_command!r} is not a command"
        raise ConfigError(what, QUOTES)
    if not re.fullmatch(r"[a-z_][-a-z0-9_]{0,31}", gce.user) or gce.user == "root":
        raise ConfigError(
            f"{path}: gce.user = {gce.user!r} cannot be the user for SSH",
            "use lower-case letters, digits, - and _, beginning with a letter; not root",
        )


def _check_accounts(gce: Gce, path: Path) -> None:
    if not re.fullmatch(r"(([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9])?", gce.project):
        raise ConfigError(
            f"{path}: gce.project = {gce.project!r} is not the ID of a project",
            "an ID has 6 to 30 lower-case letters, digits and hyphens: gcloud projects list",
        )
    for name in ("service_account", "impersonate"):
        email = getattr(gce, name)
        if not re.fullmatch(r"([^\s@'\"]+@[^\s@'\"]+)?", email):
            raise ConfigError(
                f"{path}: gce.{name} = {email!r} is not the e-mail of a service account",
                "gcloud iam service-accounts list",
            )


def _check_notify(retrain: Retrain, path: Path) -> None:
    """Webhook and hook. No message shows a key, although one may stand here by mistake."""
    if retrain.webhook and not _is_address(retrain.webhook):
        raise ConfigError(
            f"{path}: retrain.webhook is not the URL of a webhook",
            "write it as https://HOST/PATH, without user name and password",
        )
    name = retrain.webhook_secret_env
    if name and not retrain.webhook:
        raise ConfigError(
            f"{path}: retrain.webhook_secret_env is set, but retrain.webhook is not",
            "set both, or only retrain.webhook",
        )
    if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", name):
        raise ConfigError(
            f"{path}: retrain.webhook_secret_env is not the name of an environment variable",
            "put the key into that variable, never into a config",
        )
    if not _is_command(retrain.hook):
        raise ConfigError(f"{path}: retrain.hook = {retrain.hook!r} is not a command", QUOTES)


def _is_address(url: str) -> bool:
    if not re.fullmatch(r"[!-~]+", url):
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        return known and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # a port that is not a number
        return False


def _is_command(text: str) -> bool:
    """Whether a shell can split it into words; "" is allowed."""
    try:
        return bool(shlex.split(text)) or not text
    except ValueError:  # a quote without its end
        return False
