use serde_json::{Map, Value, json};
use tenantry_core::Scope;
use tenantry_kernel::DENIAL;
use tenantry_store::ByScope;

use super::{JobRun, check_config, record_job};
use crate::{
    names,
    world::{ALL, World},
};

async fn search(world: &World, caller: &tenantry_kernel::Caller, resource: &str, filters: Value) -> Vec<Value> {
    let reply = world.ok(caller, "Search", json!({"Resource": resource, "SearchExpression": {"Filters": filters}})).await;
    reply["Results"].as_array().unwrap().clone()
}

#[tokio::test]
async fn experiments_trials_and_components() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let made = world.ok(&admin, "CreateExperiment", json!({"ExperimentName": "Churn", "Description": "d"})).await;
    assert_eq!(made["ExperimentArn"], "arn:aws:sagemaker:us-east-1:111122223333:experiment/churn");
    let error = world.refused(&admin, "CreateExperiment", json!({"ExperimentName": "churn"})).await;
    assert_eq!(
        (&*error.code, &*error.message),
        (
            "ValidationException",
            "Experiment names must be unique within an AWS account and region. Experiment with name (churn) already exists."
        )
    );
    assert_eq!(world.refused(&admin, "CreateTrial", json!({"ExperimentName": "other", "TrialName": "t"})).await.code, "ResourceNotFound");
    world.ok(&admin, "CreateTrial", json!({"ExperimentName": "Churn", "TrialName": "T1"})).await;
    let component = json!({"TrialComponentName": "C1", "Parameters": {"a": {"NumberValue": 1.5}}, "StartTime": 1_700_000_000});
    world.ok(&admin, "CreateTrialComponent", component).await;
    world.ok(&admin, "AssociateTrialComponent", json!({"TrialName": "T1", "TrialComponentName": "C1"})).await;
    let update = json!({"TrialComponentName": "C1", "Parameters": {"b": {"StringValue": "x"}}, "ParametersToRemove": ["a"], "Status": {"PrimaryStatus": "Completed"}});
    world.ok(&admin, "UpdateTrialComponent", update).await;
    let described = world.ok(&admin, "DescribeTrialComponent", json!({"TrialComponentName": "c1"})).await;
    assert_eq!(
        (&described["Parameters"], &described["Status"]["PrimaryStatus"]),
        (&json!({"b": {"StringValue": "x"}}), &json!("Completed"))
    );
    for (operation, filter, member) in [
        ("ListExperiments", json!({}), "ExperimentSummaries"),
        ("ListTrials", json!({"ExperimentName": "churn", "TrialComponentName": "C1"}), "TrialSummaries"),
        ("ListTrialComponents", json!({"ExperimentName": "Churn"}), "TrialComponentSummaries"),
        ("ListTrialComponents", json!({"TrialName": "T1"}), "TrialComponentSummaries"),
    ] {
        assert_eq!(world.ok(&admin, operation, filter).await[member].as_array().unwrap().len(), 1, "{operation}");
    }
    let found = search(
        &world,
        &admin,
        "ExperimentTrialComponent",
        json!([{"Name": "Parents.ExperimentName", "Operator": "Equals", "Value": "Churn"}]),
    )
    .await;
    assert_eq!(found[0]["TrialComponent"]["Parents"], json!([{"TrialName": "T1", "ExperimentName": "Churn"}]));
    assert_eq!(search(&world, &admin, "ExperimentTrial", json!([{"Name": "TrialName", "Value": "T1"}])).await.len(), 1);
    assert_eq!(
        search(&world, &admin, "Experiment", json!([{"Name": "ExperimentName", "Operator": "Contains", "Value": "x"}])).await.len(),
        0
    );
    for (operation, name) in [
        ("DeleteExperiment", json!({"ExperimentName": "Churn"})),
        ("DeleteTrial", json!({"TrialName": "T1"})),
        ("DeleteTrialComponent", json!({"TrialComponentName": "C1"})),
    ] {
        assert_eq!(world.refused(&admin, operation, name).await.code, "ValidationException", "{operation}");
    }
    world.ok(&admin, "DisassociateTrialComponent", json!({"TrialName": "T1", "TrialComponentName": "C1"})).await;
    assert_eq!(
        world.refused(&admin, "DisassociateTrialComponent", json!({"TrialName": "T1", "TrialComponentName": "C1"})).await.code,
        "ResourceNotFound"
    );
    world.ok(&admin, "DeleteTrialComponent", json!({"TrialComponentName": "C1"})).await;
    world.ok(&admin, "DeleteTrial", json!({"TrialName": "T1"})).await;
    world.ok(&admin, "DeleteExperiment", json!({"ExperimentName": "Churn"})).await;
    assert_eq!(world.refused(&admin, "DescribeExperiment", json!({"ExperimentName": "Churn"})).await.code, "ResourceNotFound");
}

#[tokio::test]
async fn a_job_leaves_a_component_behind() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let scope = world.scope();
    let config = json!({"ExperimentName": "churn", "TrialName": "t", "TrialComponentDisplayName": "Training"});
    assert_eq!(check_config(&world.kernel, &scope, &config).await.unwrap_err().code, "ValidationException");
    world.ok(&admin, "CreateExperiment", json!({"ExperimentName": "churn"})).await;
    world.ok(&admin, "CreateTrial", json!({"ExperimentName": "churn", "TrialName": "t"})).await;
    check_config(&world.kernel, &scope, &config).await.unwrap();
    let arn = names::arn(&scope, "training-job", "Job-1");
    let by = crate::author::of(&admin);
    let mut run = JobRun {
        arn: &arn,
        name: "Job-1",
        source_type: "SageMakerTrainingJob",
        config: Some(&config),
        status: ("InProgress", None),
        start: Some(world.kernel.now()),
        end: None,
        parameters: Map::from_iter([("SageMaker.InstanceType".to_owned(), json!({"StringValue": "ml.m5.large"}))]),
        inputs: Map::new(),
        outputs: Map::new(),
        metrics: Vec::new(),
        by: &by,
    };
    for status in ["InProgress", "Completed"] {
        run.status = (status, None);
        run.metrics = vec![json!({"MetricName": "train:rmse", "Last": 2.0, "Count": 3})];
        let batch = record_job(&world.kernel, &scope, &run).await.unwrap();
        world.kernel.store().commit(batch).await.unwrap();
    }
    let described = world.ok(&admin, "DescribeTrialComponent", json!({"TrialComponentName": "Job-1-aws-training-job"})).await;
    assert_eq!(
        (&described["DisplayName"], &described["Source"]["SourceArn"], &described["Status"]["PrimaryStatus"]),
        (&json!("Training"), &json!(arn), &json!("Completed"))
    );
    let filters =
        json!([{"Name": "Parents.TrialName", "Value": "t"}, {"Name": "Metrics.train:rmse.Last", "Operator": "LessThan", "Value": "3"}]);
    assert_eq!(search(&world, &admin, "ExperimentTrialComponent", filters).await.len(), 1);

    // Without a trial the job gets its own.
    let config = json!({"ExperimentName": "churn"});
    let run = JobRun { config: Some(&config), name: "Job-2", ..run };
    world.kernel.store().commit(record_job(&world.kernel, &scope, &run).await.unwrap()).await.unwrap();
    let components = world.ok(&admin, "ListTrialComponents", json!({"ExperimentName": "churn"})).await;
    assert_eq!(components["TrialComponentSummaries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn search_pages_and_visibility() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    for number in 0..12 {
        let tags = json!([{"Key": "TenantID", "Value": format!("t{}", number % 2)}]);
        world.ok(&admin, "CreateModelPackageGroup", json!({"ModelPackageGroupName": format!("g{number:02}"), "Tags": tags})).await;
    }
    let request = json!({"Resource": "ModelPackageGroup", "SortBy": "ModelPackageGroupName", "SortOrder": "Ascending", "MaxResults": 8});
    let first = world.ok(&admin, "Search", request.clone()).await;
    assert_eq!((first["Results"].as_array().unwrap().len(), &first["TotalHits"]["Value"]), (8, &json!(12)));
    let mut second = request.clone();
    second["NextToken"] = first["NextToken"].clone();
    let second = world.ok(&admin, "Search", second).await;
    assert_eq!(second["Results"][0]["ModelPackageGroup"]["ModelPackageGroupName"], "g08");
    let mut bad = request;
    bad["NextToken"] = json!("x");
    assert_eq!(world.refused(&admin, "Search", bad).await.code, "ValidationException");

    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:Search","Resource":"*",
        "Condition":{"StringEquals":{"sagemaker:SearchVisibilityCondition/Tags.TenantID":"${aws:PrincipalTag/TenantID}"}}}]}"#;
    let tenant = world.role("tenant", policy, &[("TenantID", "t1")]).await;
    assert_eq!(world.refused(&tenant, "Search", json!({"Resource": "ModelPackageGroup"})).await.code, "AccessDeniedException");
    let own = json!({"Resource": "ModelPackageGroup", "VisibilityConditions": [{"Key": "Tags.TenantID", "Value": "t1"}]});
    assert_eq!(world.ok(&tenant, "Search", own).await["TotalHits"]["Value"], 6);
    let tags = json!([{"Key": "TenantID", "Value": "01"}]);
    world.ok(&admin, "CreateModelPackageGroup", json!({"ModelPackageGroupName": "numbered", "Tags": tags})).await;
    let one = world.role("one", policy, &[("TenantID", "1")]).await;
    let own = json!({"Resource": "ModelPackageGroup", "VisibilityConditions": [{"Key": "Tags.TenantID", "Value": "1"}]});
    assert_eq!(world.ok(&one, "Search", own).await["TotalHits"]["Value"], 0, "tenant 1 is not tenant 01");
    let suggestions =
        json!({"Resource": "ExperimentTrialComponent", "SuggestionQuery": {"PropertyNameQuery": {"PropertyNameHint": "para"}}});
    assert_eq!(
        world.ok(&admin, "GetSearchSuggestions", suggestions).await["PropertyNameSuggestions"],
        json!([{"PropertyName": "Parameters"}])
    );
}

#[tokio::test]
async fn search_leaves_out_what_may_not_be_described() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    for name in ["seen", "hidden"] {
        world.ok(&admin, "CreateTrainingJob", json!({"TrainingJobName": name, "AlgorithmSpecification": {"TrainingInputMode": "File"}, "RoleArn": "arn:aws:iam::111122223333:role/admin", "OutputDataConfig": {"S3OutputPath": "s3://bucket/"}, "ResourceConfig": {"VolumeSizeInGB": 1}})).await;
    }
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sagemaker:Search","sagemaker:DescribeTrainingJob"],
        "Resource":["*"]},{"Effect":"Deny","Action":"sagemaker:DescribeTrainingJob","Resource":"arn:aws:sagemaker:*:*:training-job/hidden"}]}"#;
    let tenant = world.role("tenant", policy, &[]).await;
    let found = world.ok(&tenant, "Search", json!({"Resource": "TrainingJob"})).await;
    assert_eq!(found["TotalHits"]["Value"], 1, "{found}");
    let own = Scope::global("111122223333");
    let denials = ByScope::Exact(&own);
    // They are recorded behind the answer: one that must be there is waited for.
    world.refused(&tenant, "DescribeTrainingJob", json!({"TrainingJobName": "hidden"})).await;
    while world.kernel.store().count(DENIAL, denials, None).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.kernel.store().count(DENIAL, denials, None).await.unwrap(), 1, "a search is no denial");
}
