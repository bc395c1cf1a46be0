//! Versions of a pipeline: each definition is kept, started by its number or by an alias.

use super::*;

async fn update(world: &World, admin: &Caller, name: &str, steps: &[Value]) -> Value {
    let request = json!({"PipelineName": name, "PipelineDefinition": definition(steps)});
    world.ok(admin, "UpdatePipeline", request).await["PipelineVersionId"].clone()
}

async fn alias(world: &World, admin: &Caller, version: u64, operations: Value) -> std::result::Result<Value, tenantry_core::AwsError> {
    let request = json!({"PipelineArn": "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p", "PipelineVersionId": version,
        "PipelineVersionAliasOperations": operations, "PipelineVersionDescription": format!("number {version}")});
    world.call(admin, "UpdatePipelineVersion", request).await
}

#[tokio::test]
async fn every_definition_is_a_version() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    create(&world, &admin, "p", "admin", &[training("One")]).await;
    assert_eq!(update(&world, &admin, "p", &[training("Two")]).await, 2);
    assert_eq!(update(&world, &admin, "p", &[training("Two")]).await, 2, "the same definition is the same version");
    world.ok(&admin, "UpdatePipeline", json!({"PipelineName": "p", "PipelineDescription": "d"})).await;
    assert_eq!(update(&world, &admin, "p", &[training("Three")]).await, 3);

    let listed = world.ok(&admin, "ListPipelineVersions", json!({"PipelineName": "p"})).await;
    let numbers: Vec<&Value> = listed["PipelineVersionSummaries"].as_array().unwrap().iter().map(|one| &one["PipelineVersionId"]).collect();
    assert_eq!(numbers, [3, 2, 1]);
    let first = world.ok(&admin, "DescribePipeline", json!({"PipelineName": "p", "PipelineVersionId": 1})).await;
    assert_eq!(first["PipelineDefinition"], definition(&[training("One")]));
    let latest = world.ok(&admin, "DescribePipeline", json!({"PipelineName": "p"})).await;
    assert_eq!(latest["PipelineDefinition"], definition(&[training("Three")]));
    let error = world.refused(&admin, "DescribePipeline", json!({"PipelineName": "p", "PipelineVersionId": 4})).await;
    assert_eq!(error.code, "ResourceNotFound");

    // What is deleted leaves no version behind.
    world.ok(&admin, "DeletePipeline", json!({"PipelineName": "p", "ClientRequestToken": token()})).await;
    create(&world, &admin, "p", "admin", &[training("Other")]).await;
    let listed = world.ok(&admin, "ListPipelineVersions", json!({"PipelineName": "p"})).await;
    assert_eq!(listed["PipelineVersionSummaries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_alias_means_one_version() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    create(&world, &admin, "p", "admin", &[training("One")]).await;
    update(&world, &admin, "p", &[training("Two")]).await;
    alias(&world, &admin, 1, json!({"Add": ["live", "old"]})).await.unwrap();
    assert_eq!(alias(&world, &admin, 2, json!({"Add": ["live"]})).await.unwrap_err().code, "ConflictException");
    assert_eq!(alias(&world, &admin, 2, json!({"Remove": ["live"]})).await.unwrap_err().code, "ResourceNotFound");
    assert_eq!(alias(&world, &admin, 1, json!({"Add": ["x"], "Remove": ["x"]})).await.unwrap_err().code, "ValidationException");
    let many: Vec<String> = (0..9).map(|number| format!("a{number}")).collect();
    assert_eq!(alias(&world, &admin, 1, json!({"Add": many})).await.unwrap_err().code, "ValidationException", "an eleventh alias");
    assert_eq!(alias(&world, &admin, 3, json!({})).await.unwrap_err().code, "ResourceNotFound");

    let by_alias = json!({"PipelineName": "p", "ClientRequestToken": token(), "PipelineVersionAlias": "live"});
    let execution = world.ok(&admin, "StartPipelineExecution", by_alias.clone()).await["PipelineExecutionArn"].as_str().unwrap().to_owned();
    world.pass(2).await;
    assert_eq!(steps(&world, &admin, &execution).await[0]["StepName"], "One");
    let described = world.ok(&admin, "DescribePipelineExecution", json!({"PipelineExecutionArn": execution})).await;
    assert_eq!((&described["PipelineVersionId"], &described["PipelineVersionAliases"]), (&json!(1), &json!(["live", "old"])));
    let latest = start(&world, &admin, "p").await;
    world.pass(2).await;
    assert_eq!(steps(&world, &admin, &latest).await[0]["StepName"], "Two");
    let listed = world.ok(&admin, "ListPipelineExecutions", json!({"PipelineName": "p", "PipelineVersionAlias": "live"})).await;
    assert_eq!(listed["PipelineExecutionSummaries"].as_array().unwrap().len(), 1);
    assert_eq!(listed["PipelineExecutionSummaries"][0]["PipelineExecutionArn"], execution);
    let versions = world.ok(&admin, "ListPipelineVersions", json!({"PipelineName": "p", "SortOrder": "Ascending"})).await;
    let first = &versions["PipelineVersionSummaries"][0];
    assert_eq!(
        (&first["LastExecutionPipelineExecutionArn"], &first["PipelineVersionDescription"]),
        (&json!(execution), &json!("number 1"))
    );

    alias(&world, &admin, 1, json!({"Remove": ["live"]})).await.unwrap();
    assert_eq!(world.refused(&admin, "StartPipelineExecution", by_alias).await.code, "ResourceNotFound");
    alias(&world, &admin, 2, json!({"Add": ["live"]})).await.unwrap();
    let both = json!({"PipelineName": "p", "PipelineVersionAlias": "live", "PipelineVersionId": 2});
    assert_eq!(world.refused(&admin, "DescribePipeline", both).await.code, "ValidationException");
}

#[tokio::test]
async fn a_policy_can_name_the_version_that_is_started() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    create(&world, &admin, "p", "admin", &[training("One")]).await;
    update(&world, &admin, "p", &[training("Two")]).await;
    alias(&world, &admin, 1, json!({"Add": ["proved"]})).await.unwrap();
    alias(&world, &admin, 2, json!({"Add": ["fresh"]})).await.unwrap();
    let only_first = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:StartPipelineExecution","Resource":"*",
        "Condition":{"NumericEquals":{"sagemaker:PipelineVersionId":"1"}}}]}"#;
    let careful = world.role("careful", only_first, &[]).await;
    let start = |member: &str, value: Value| {
        let mut request = json!({"PipelineName": "p", "ClientRequestToken": token()});
        request[member] = value;
        request
    };
    world.ok(&careful, "StartPipelineExecution", start("PipelineVersionId", json!(1))).await;
    world.ok(&careful, "StartPipelineExecution", start("PipelineVersionAlias", json!("proved"))).await;
    for (member, value) in [
        ("PipelineVersionId", json!(2)),
        ("PipelineVersionAlias", json!("fresh")),
        ("PipelineVersionAlias", json!("nothing")),
        ("PipelineExecutionDescription", json!("the latest")),
    ] {
        let error = world.refused(&careful, "StartPipelineExecution", start(member, value.clone())).await;
        assert_eq!(error.code, "AccessDeniedException", "{member} {value}: {error}");
    }
}
