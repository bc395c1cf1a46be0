//! Models of several containers: one after the other, and each by its name.

use super::*;

/// A model whose containers have `STAGE` one, two, three, and hostnames where `named`.
async fn world(mode: &str, named: bool, behaviour: impl Fn(&str, &str, &[u8]) -> Act + Send + Sync + 'static) -> World {
    let world = World::new(behaviour).await;
    let container = |stage: &str| {
        let mut container = json!({"Image": XGBOOST, "ModelDataUrl": "s3://models/m.tar.gz", "Environment": {"STAGE": stage}});
        if named {
            container["ContainerHostname"] = json!(format!("host-{stage}"));
        }
        container
    };
    let containers: Vec<Value> = ["one", "two", "three"].map(container).into();
    let request = json!({"ModelName": "M", "ExecutionRoleArn": ROLE, "Containers": containers, "InferenceExecutionConfig": {"Mode": mode}});
    world.call("CreateModel", request).await.unwrap();
    world.config("C", 1).await;
    world.call("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "C"})).await.unwrap();
    world
}

/// Each container puts its stage behind what it is sent; `bad` is no good to the second.
fn stages(_: &str, path: &str, body: &[u8]) -> Act {
    match path.split_once('@') {
        Some(("/invocations", "two")) if body.starts_with(b"bad") => Act::Answer(400, "bad row".into()),
        Some(("/invocations", stage)) => ok([body, b">", stage.as_bytes()].concat()),
        _ => ok(""),
    }
}

async fn ask(world: &World, body: &'static str, target: Option<&str>) -> Result<String> {
    let mut input = json!({"EndpointName": "E", "Body": "", "ContentType": "text/csv"});
    if let Some(target) = target {
        input["TargetContainerHostname"] = json!(target);
    }
    let called = world
        .kernel
        .call_with(&caller(), &Region::from("us-east-1"), "sagemaker-runtime", "InvokeEndpoint", input, Some(full(body)))
        .await?;
    Ok(String::from_utf8_lossy(&collect(called.body.unwrap(), 1 << 20).await.unwrap().unwrap()).into_owned())
}

#[tokio::test]
async fn a_request_passes_the_containers_in_order() {
    let world = world("Serial", false, stages).await;
    let found = world.until("InService").await;
    assert_eq!(found["ProductionVariants"][0]["DeployedImages"].as_array().unwrap().len(), 3);
    assert_eq!(ask(&world, "x", None).await.unwrap(), "x>one>two>three");
    let error = ask(&world, "bad", None).await.unwrap_err();
    assert!(error.code == "ModelError" && error.message.starts_with("Received client error (400) from container-2"), "{error}");
    assert_eq!(ask(&world, "x", Some("host-two")).await.unwrap_err().code, "ValidationError");

    // They share what one instance may use, each with a log of its own.
    let whole = crate::jobs::container::instance_limits(&world.machinery, "ml.m5.large").unwrap();
    let works: Vec<Workload> = world.engine.works.lock().unwrap().values().map(|(work, _)| work.clone()).collect();
    assert_eq!(works.len(), 3);
    assert!(works.iter().map(|work| work.limits.memory_bytes).sum::<u64>() <= whole.memory_bytes);
    assert!(works.iter().map(|work| work.limits.cpu_millis).sum::<u64>() <= whole.cpu_millis);

    world.call("DeleteEndpoint", json!({"EndpointName": "E"})).await.unwrap();
    for _ in 0..3000 {
        world.kernel.settle().await.unwrap();
        if world.engine.names().await.is_empty() && world.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never deleted: {:?}", world.engine.names().await);
}

#[tokio::test]
async fn a_container_is_asked_by_its_hostname() {
    let world = world("Direct", true, stages).await;
    world.until("InService").await;
    assert_eq!(ask(&world, "x", Some("host-two")).await.unwrap(), "x>two");
    assert_eq!(ask(&world, "bad", Some("host-three")).await.unwrap(), "bad>three");
    let error = ask(&world, "bad", Some("host-two")).await.unwrap_err();
    assert!(error.message.contains("from host-two with message \"bad row\""), "{error}");
    for target in [None, Some("host-four")] {
        let error = ask(&world, "x", target).await.unwrap_err();
        assert_eq!(error.code, "ValidationError", "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_waits_for_all_its_containers() {
    let world = world("Serial", false, |_, path, body| match path {
        "/ping@three" => Act::Answer(503, "not yet".into()),
        _ => stages("", path, body),
    })
    .await;
    // Long enough for the first two to be ready.
    for _ in 0..40 {
        world.kernel.settle().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let found = world.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.unwrap();
    assert_eq!(found["EndpointStatus"], "Creating");
    *world.engine.behaviour.lock().unwrap() = Arc::new(stages);
    // Connections are kept: the new behaviour is that of new ones.
    for (work, state) in world.engine.works.lock().unwrap().values_mut() {
        if work.env.get("STAGE").is_some_and(|stage| stage == "three") {
            *state = ended();
        }
    }
    world.engine.changes.send_modify(|n| *n += 1);
    world.until("InService").await;
    assert_eq!(ask(&world, "x", None).await.unwrap(), "x>one>two>three");
}
