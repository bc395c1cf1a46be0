"""The tenants' pipelines, built with the SageMaker SDK: train, evaluate and, if good enough, register and publish."""

import pathlib

from sagemaker import image_uris
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.model import Model
from sagemaker.model_metrics import MetricsSource, ModelMetrics
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionLessThanOrEqualTo
from sagemaker.workflow.functions import Join, JsonGet
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.steps import CacheConfig, ProcessingStep, TrainingStep

HERE = pathlib.Path(__file__).resolve().parent
TENANTS = [("tenant1", "app1"), ("tenant1", "app2"), ("tenant2", "app1"), ("tenant2", "app2")]


def build(boto_session, bucket, role, tenant, app):
    """The pipeline of a tenant's app. Parameters without a default must be given at every start."""
    session = PipelineSession(boto_session=boto_session, default_bucket=bucket)
    image = image_uris.retrieve("xgboost", boto_session.region_name, version="1.0-1", py_version="py3", instance_type="ml.m5.xlarge")
    text = {name: ParameterString(name) for name in ("TrainDataPath", "ValidationDataPath", "TestDataPath", "TenantID", "AppID")}
    tier, version = ParameterString("TenantTier", "Bronze"), ParameterString("ModelVersion", "0")
    training_type = ParameterString("TrainingInstanceType", "ml.m5.xlarge")
    training_count = ParameterInteger("TrainingInstanceCount", 1)
    processing_type = ParameterString("ProcessingInstanceType", "ml.m5.large")
    processing_count = ParameterInteger("ProcessingInstanceCount", 1)
    max_error = ParameterFloat("MaxError", 150_000.0)
    prefix = f"{tenant}-{app}"

    estimator = Estimator(
        image_uri=image,
        role=role,
        instance_type=training_type,
        instance_count=training_count,
        output_path=f"s3://{bucket}/{tenant}/{app}/training",
        hyperparameters={"objective": "reg:squarederror", "num_round": 20, "max_depth": 4, "eta": 0.3},
        sagemaker_session=session,
    )
    train = TrainingStep(
        name=f"{prefix}-Train",
        step_args=estimator.fit(
            {
                "train": TrainingInput(text["TrainDataPath"], content_type="text/csv"),
                "validation": TrainingInput(text["ValidationDataPath"], content_type="text/csv"),
            }
        ),
        cache_config=CacheConfig(enable_caching=True, expire_after="30d"),
    )
    artifacts = train.properties.ModelArtifacts.S3ModelArtifacts

    script = ScriptProcessor(
        image_uri=image,
        command=["python3"],
        role=role,
        instance_type=processing_type,
        instance_count=processing_count,
        base_job_name=prefix,
        sagemaker_session=session,
    )
    report = PropertyFile("Report", output_name="evaluation", path="evaluation.json")
    evaluate = ProcessingStep(
        name=f"{prefix}-Evaluate",
        step_args=script.run(
            code=str(HERE / "evaluate.py"),
            inputs=[
                ProcessingInput(source=artifacts, destination="/opt/ml/processing/model"),
                ProcessingInput(source=text["TestDataPath"], destination="/opt/ml/processing/test"),
            ],
            outputs=[ProcessingOutput(output_name="evaluation", source="/opt/ml/processing/evaluation")],
        ),
        property_files=[report],
    )
    evaluation = evaluate.properties.ProcessingOutputConfig.Outputs["evaluation"].S3Output.S3Uri
    metrics = ModelMetrics(
        model_statistics=MetricsSource(s3_uri=Join(on="/", values=[evaluation, "evaluation.json"]), content_type="application/json")
    )
    register = ModelStep(
        name=f"{prefix}-Register",
        step_args=Model(image_uri=image, model_data=artifacts, role=role, sagemaker_session=session).register(
            content_types=["text/csv"],
            response_types=["text/csv"],
            inference_instances=["ml.m5.large"],
            transform_instances=["ml.m5.large"],
            model_package_group_name=f"{prefix}-PipelineAppPackageGroup",
            approval_status="Approved",
            model_metrics=metrics,
        ),
    )
    publish = ProcessingStep(
        name=f"{prefix}-Publish",
        step_args=script.run(
            code=str(HERE / "publish.py"),
            inputs=[ProcessingInput(source=artifacts, destination="/opt/ml/processing/model")],
            arguments=["--bucket", bucket, "--tenant", text["TenantID"], "--app", text["AppID"], "--tier", tier, "--version", version],
        ),
    )
    check = ConditionStep(
        name=f"{prefix}-GoodEnough",
        conditions=[
            ConditionLessThanOrEqualTo(
                left=JsonGet(step_name=evaluate.name, property_file=report, json_path="regression_metrics.max_error.value"),
                right=max_error,
            )
        ],
        if_steps=[register, publish],
        else_steps=[],
    )
    return Pipeline(
        name=prefix,
        parameters=[*text.values(), tier, version, training_type, training_count, processing_type, processing_count, max_error],
        steps=[train, evaluate, check],
        sagemaker_session=session,
    )


def start_arguments(bucket, tenant, app, **changed):
    """Parameters of a start, all of them text as the API has them."""
    data = f"s3://{bucket}/sample-data/{tenant}/{app}"
    values = {
        "TrainDataPath": f"{data}/train",
        "ValidationDataPath": f"{data}/validation",
        "TestDataPath": f"{data}/test",
        "TenantID": tenant,
        "AppID": app,
        "TenantTier": "Bronze",
        "ModelVersion": "0",
        "TrainingInstanceType": "ml.m5.xlarge",
        "TrainingInstanceCount": "2",
        "ProcessingInstanceType": "ml.m5.large",
        "ProcessingInstanceCount": "1",
    } | changed
    return [{"Name": name, "Value": value} for name, value in values.items()]
