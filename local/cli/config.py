"""`signalbox config`: shows the settings and their sources. local/settings.py defines them."""

from __future__ import annotations

import json

import typer

from local.cli.options import Json

config_app = typer.Typer(help="Show the settings and where each one comes from.", no_args_is_help=True)


@config_app.callback()
def _group() -> None:
    """Show the settings and where each one comes from."""


@config_app.command("show")
def show(json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """Show each setting's value, and whether an environment variable, signalbox.toml or the default set it."""
    from local.settings import config_file, read_settings  # noqa: PLC0415 - see the docstring of catalogue.py

    found, path = read_settings(), config_file()
    if json_output:
        rows = [{"name": one.setting.name, "value": one.value, "source": one.source} for one in found]
        print(json.dumps({"file": None if path is None else str(path), "settings": rows}))
        return
    print(f"settings file: {path or 'none (signalbox.toml in this folder or in the repository)'}")
    for one in found:
        value = one.setting.default if one.value is None else one.value
        print(f"  {one.setting.name:<8} {value}  [{one.source}]  {one.setting.help}; {', '.join(one.setting.variables)}")
