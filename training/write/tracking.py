"""Records a run in mlflow while it runs, in a folder or on a server. A failure of tracking never stops the training.

Any failure is reported once; then tracking ends and training goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

EXPERIMENT: Final = "signalbox"
_TRIES: Final = 1  # per request: a server that is down must not delay the training for minutes
_TIMEOUT_S: Final = 10


class Tracking(Protocol):
    """Records one run."""

    def begin(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin the record. parameters: nested mappings become dotted names."""

    def metrics(self, series: str, step: int, figures: Mapping[str, float]) -> None:
        """Record the figures of an epoch or a fold."""

    def artefacts(self, folder: Path) -> None:
        """Store the files of a folder."""

    def end(self, *, finished: bool) -> None:
        """End the record."""


class NoTracking:
    """A Tracking that records nothing."""

    def begin(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Do nothing."""

    def metrics(self, series: str, step: int, figures: Mapping[str, float]) -> None:
        """Do nothing."""

    def artefacts(self, folder: Path) -> None:
        """Do nothing."""

    def end(self, *, finished: bool) -> None:
        """Do nothing."""


class MlflowTracking:
    """mlflow at an address: a folder as a `file:` URI, or a server. warn: called once, with the reason, if tracking fails."""

    def __init__(self, address: str, warn: Callable[[str], None]) -> None:
        self._address, self._warn = address, warn
        self._client: Any = None
        self._run = ""

    def begin(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin a run in the experiment `signalbox`."""

        def open_run() -> None:
            client = _client(self._address)
            found = client.get_experiment_by_name(EXPERIMENT)
            experiment = client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
            self._run = client.create_run(experiment, run_name=name).info.run_id
            self._client = client
            for key, value in flat(parameters).items():
                client.log_param(self._run, key, value)

        if find_spec("mlflow") is None:
            self._warn(f"the run is not tracked at {self._address}: mlflow is not installed; run `make training`")
            return
        self._try(open_run)

    def metrics(self, series: str, step: int, figures: Mapping[str, float]) -> None:
        """Record each figure as SERIES/FIGURE."""

        def write() -> None:
            for name, value in figures.items():
                self._client.log_metric(self._run, f"{series}/{name}", float(value), step=step)

        if self._client is not None:
            self._try(write)

    def artefacts(self, folder: Path) -> None:
        """Copy the files of a folder to the run."""
        if self._client is not None:
            self._try(lambda: self._client.log_artifacts(self._run, str(folder), "bundle"))

    def end(self, *, finished: bool) -> None:
        """Mark the run as finished or failed."""
        if self._client is not None:
            self._try(lambda: self._client.set_terminated(self._run, "FINISHED" if finished else "FAILED"))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 - no error of mlflow, disk or network may cost the model
            self._client = None
            lines = str(error).strip().splitlines()
            self._warn(f"tracking at {self._address} stopped: {type(error).__name__}: {lines[0][:200] if lines else ''}")


def tracking_at(folder: Path | None, address: str | None, warn: Callable[[str], None]) -> Tracking:
    """Return the requested tracking: at the address, else in the folder, else none."""
    if address is not None:
        return MlflowTracking(address, warn)
    return NoTracking() if folder is None else MlflowTracking(folder.absolute().as_uri(), warn)


def flat(parameters: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested parameters under dotted names."""
    found: dict[str, Any] = {}
    for key, value in parameters.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def _client(address: str) -> Any:
    from mlflow import environment_variables as settings  # noqa: PLC0415 - a second to import; absent where nothing is trained
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - as above

    for setting, value in (
        (settings.MLFLOW_ALLOW_FILE_STORE, True),  # a folder needs no server and no database package
        (settings.MLFLOW_HTTP_REQUEST_MAX_RETRIES, _TRIES),
        (settings.MLFLOW_HTTP_REQUEST_TIMEOUT, _TIMEOUT_S),
    ):
        if not setting.is_set():
            setting.set(value)
    return MlflowClient(tracking_uri=address)
