"""The training pipeline in SageMaker's JSON: features, train, evaluate, and register if the model passes. Pure; no SDK.

The features step runs without a GPU and freezes the data set that training reads. The evaluation judges the model again on
another machine, from the data set the model was made from; its verdict.json decides the condition. Both branches call
register_model and tell it the result: a model that does not pass is recorded as refused, and the execution ends as failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from signalbox.library.judgements import EVALUATION_FILE, VERDICT_FILE
from signalbox.library.parameters import JobPurpose, RegisterWhen, Registration, TrainParameters
from signalbox.library.plan import TrainingPlan
from signalbox.library.training_jobs import (
    CANDLES_CHANNEL,
    CODE_ARCHIVE,
    CODE_CHANNEL,
    MODEL_CHANNEL,
    Channel,
    Request,
    training_request,
)

VERSION: Final = "2020-12-01"
PROCESSING: Final = "/opt/ml/processing"
FEATURES_PROGRAM: Final = "features.py"
EVALUATE_PROGRAM: Final = "evaluate.py"
REGISTER_STEP: Final = "Register"
REFUSE_STEP: Final = "RecordRefused"
_STRINGS: Final = ("Config", "Start", "End", "Seed")  # an empty text means not given


def pipeline_definition(plan: TrainingPlan) -> Request:
    """Return the pipeline definition. Raises TrainingPlanError if the plan has no container image."""
    return {
        "Version": VERSION,
        "Metadata": {},
        "Parameters": [
            *({"Name": name, "Type": "String", "DefaultValue": plan.config if name == "Config" else ""} for name in _STRINGS),
            {
                "Name": "RegisterWhen",
                "Type": "String",
                "DefaultValue": RegisterWhen.PROMOTION.value,
                "EnumValues": [when.value for when in RegisterWhen],
            },
        ],
        "Steps": [_features(plan), _train(plan), _evaluate(plan), _decide(plan)],
    }


def _get(reference: str) -> Request:
    return {"Get": reference}


def _join(*values: Any) -> Request:
    return {"Std:Join": {"On": "/", "Values": list(values)}}


def _features(plan: TrainingPlan) -> Request:
    variables = {"SM_HP_CONFIG": _get("Parameters.Config"), **_period()}
    inputs = [_input(CANDLES_CHANNEL, plan.candles_uri)]
    step = _processing(
        plan, FEATURES_PROGRAM, instance=plan.features_instance_type, inputs=inputs, folder="datasets", variables=variables
    )
    return {"Name": "Features", "Type": "Processing", "Arguments": step}


def _train(plan: TrainingPlan) -> Request:
    asked = TrainParameters(model=plan.model, registration=Registration.ON_PASS, tracking_uri=plan.tracking_uri or None)
    request = training_request(plan, "", asked)
    del request["TrainingJobName"]  # the pipeline names its jobs itself
    request["HyperParameters"] |= {
        "config": _get("Parameters.Config"),
        "seed": _get("Parameters.Seed"),
        "start": _get("Parameters.Start"),
        "end": _get("Parameters.End"),
    }
    frozen = Channel(CANDLES_CHANNEL, "").to_request()
    frozen["DataSource"]["S3DataSource"]["S3Uri"] = _get("Steps.Features.ProcessingOutputConfig.Outputs['result'].S3Output.S3Uri")
    request["InputDataConfig"] = [frozen, *request["InputDataConfig"][1:]]
    request["CheckpointConfig"]["S3Uri"] = _join(plan.checkpoints_uri, _get("Execution.PipelineExecutionId"))
    return {"Name": "Train", "Type": "Training", "Arguments": request}


def _evaluate(plan: TrainingPlan) -> Request:
    inputs = [
        _input(CANDLES_CHANNEL, _get("Steps.Features.ProcessingOutputConfig.Outputs['result'].S3Output.S3Uri")),
        _input(MODEL_CHANNEL, _get("Steps.Train.ModelArtifacts.S3ModelArtifacts")),
    ]
    variables = {"SM_HP_REGISTER_WHEN": _get("Parameters.RegisterWhen"), "SM_HP_PURPOSE": JobPurpose.EVALUATE.value}
    step = _processing(
        plan, EVALUATE_PROGRAM, instance=plan.instance_type, inputs=inputs, folder="evaluations", variables=variables
    )
    found = {"PropertyFileName": "Verdict", "OutputName": "result", "FilePath": VERDICT_FILE}
    return {"Name": "Evaluate", "Type": "Processing", "Arguments": step, "PropertyFiles": [found]}


def _record(plan: TrainingPlan, name: str, *, passed: bool) -> Request:
    """Return the step that calls register_model in one branch of the condition."""
    evaluation = _get("Steps.Evaluate.ProcessingOutputConfig.Outputs['result'].S3Output.S3Uri")
    return {
        "Name": name,
        "Type": "Lambda",
        "FunctionArn": plan.register_function_arn,
        "Arguments": {
            "job": _get("Steps.Train.TrainingJobName"),
            "model": plan.model,
            "finished_at": _get("Execution.StartDateTime"),
            "artifact_uri": _get("Steps.Train.ModelArtifacts.S3ModelArtifacts"),
            "evaluation": _get("Steps.Evaluate.ProcessingJobName"),
            "evaluation_uri": _join(evaluation, EVALUATION_FILE),
            "register_when": _get("Parameters.RegisterWhen"),
            "passed": passed,
        },
        "OutputParameters": [{"OutputName": "version", "OutputType": "String"}, {"OutputName": "state", "OutputType": "String"}],
    }


def _decide(plan: TrainingPlan) -> Request:
    registers = {"Std:JsonGet": {"PropertyFile": _get("Steps.Evaluate.PropertyFiles.Verdict"), "Path": "registers"}}
    text = "The model did not pass its evaluation. The library recorded it as refused, with the reasons; it cannot be deployed."
    end = {"Name": "NotRegistered", "Type": "Fail", "DependsOn": [REFUSE_STEP], "Arguments": {"ErrorMessage": text}}
    register, refuse = _record(plan, REGISTER_STEP, passed=True), _record(plan, REFUSE_STEP, passed=False)
    condition = {"Type": "Equals", "LeftValue": registers, "RightValue": True}
    return {
        "Name": "RegisterOnPass",
        "Type": "Condition",
        "Arguments": {"Conditions": [condition], "IfSteps": [register], "ElseSteps": [refuse, end]},
    }


def _period() -> Request:
    return {"SM_HP_START": _get("Parameters.Start"), "SM_HP_END": _get("Parameters.End")}


def _input(name: str, uri: Any) -> Request:
    source = {"S3Uri": uri, "LocalPath": f"{PROCESSING}/input/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "AppManaged": False, "S3Input": {**source, "S3DataDistributionType": "FullyReplicated"}}


def _processing(
    plan: TrainingPlan, program: str, *, instance: str, inputs: Sequence[Request], folder: str, variables: Request
) -> Request:
    """Return CreateProcessingJob without its name. Its image lacks the training toolkit, so the command unpacks the code."""
    code = f"{PROCESSING}/input/{CODE_CHANNEL}"
    command = (
        f"cd {code} && tar -xzf {CODE_ARCHIVE} && python3 -m pip install --quiet -r requirements.txt"
        f" && exec python3 {program} --root {PROCESSING}"
    )
    channels = {f"SM_CHANNEL_{one['InputName'].upper()}": f"{PROCESSING}/input/{one['InputName']}" for one in inputs}
    output = {
        "S3Uri": _join(plan.artifacts_uri, folder, _get("Execution.PipelineExecutionId")),
        "LocalPath": f"{PROCESSING}/output/result",
        "S3UploadMode": "EndOfJob",
    }
    return {
        "RoleArn": plan.role_arn,
        "AppSpecification": {"ImageUri": plan.require_image(), "ContainerEntrypoint": ["/bin/bash", "-c", command]},
        "Environment": {**channels, "SM_OUTPUT_DATA_DIR": f"{PROCESSING}/output/result", **variables},
        "ProcessingInputs": [*inputs, _input(CODE_CHANNEL, plan.code_uri)],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "result", "AppManaged": False, "S3Output": output}]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": instance, "VolumeSizeInGB": plan.volume_gigabytes}
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": plan.max_runtime_seconds},
        "NetworkConfig": {"EnableNetworkIsolation": True},
        "Tags": plan.tags,
    }
