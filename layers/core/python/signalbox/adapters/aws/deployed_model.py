"""The deployed model, kept in memory. Every cycle looks it up; it is loaded when the deployment changes, and replaced as a whole.

If anything about a new deployment fails (the pointer, the download, a check of the bundle), the model in use stays, and the cycle
records and announces the problem. A deployment that failed is not tried again until the pointer changes. A bundle that has not
passed its promotion gates runs as shadow, whatever the pointer says.
"""

from __future__ import annotations

from types import MappingProxyType

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.adapters.aws.deployments import Deployment, S3Deployments
from signalbox.inference import Ensemble, load_bundle
from signalbox.signals.model import DeployedModel, ModelChoice, ModelProblem
from signalbox.signals.signal import DeploymentStage, Thresholds
from signalbox.wire import readable


class ModelProvider:
    """Gives each cycle the model to use."""

    def __init__(self, deployments: S3Deployments) -> None:
        self._deployments = deployments
        self._version: str | None = None
        self._model: DeployedModel | None = None
        self._problem: ModelProblem | None = None

    def choose(self) -> ModelChoice:
        """Return the newest deployment if it loads; otherwise the last one that did, with the reason."""
        try:
            wanted = self._deployments.current()
        except Exception as error:  # noqa: BLE001 - for the reason below
            return ModelChoice(self._model, self._failed("current", error))
        if wanted.version != self._version:
            try:
                self._model = self._load(wanted)
                self._problem = None
            except (
                BotoCoreError,
                ClientError,
                OSError,
            ) as error:  # not the bundle's fault, so it is tried again in the next cycle
                return ModelChoice(self._model, self._failed(wanted.name, error))
            except Exception as error:  # noqa: BLE001 - no bundle may fail the cycle, whatever its error (memory, recursion)
                self._problem = self._failed(wanted.name, error)
            self._version = wanted.version
        return ModelChoice(self._model, self._problem)

    def _failed(self, deployment: str, error: Exception) -> ModelProblem:
        kept = self._model.deployment if self._model is not None else None
        return ModelProblem(deployment, readable(f"{type(error).__name__}: {error}")[:500], kept)

    def _load(self, wanted: Deployment) -> DeployedModel:
        with self._deployments.fetched(wanted) as folder:
            return _deployed(wanted, load_bundle(folder))


def _deployed(wanted: Deployment, ensemble: Ensemble) -> DeployedModel:
    stage = wanted.stage if ensemble.manifest.passes_promotion else DeploymentStage.SHADOW
    return DeployedModel(
        deployment=wanted.name,
        stage=stage,
        scorer=ensemble,
        thresholds=Thresholds(ensemble.issue_margin, ensemble.high_margin),
        horizon_minutes=ensemble.manifest.label.horizon_minutes,
        bundle=ensemble.manifest.name,
        gates=MappingProxyType({gate.value: verdict.value for gate, verdict in ensemble.manifest.gates.items()}),
    )
