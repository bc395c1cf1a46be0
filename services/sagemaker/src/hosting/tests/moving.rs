//! Updates that move traffic in steps.

use super::*;

/// Models `old` and `new`, whose containers answer with their stage; the endpoint serves the old one.
async fn world() -> World {
    let world = World::new(|_, path, _| match path.split_once('@') {
        Some(("/invocations", stage)) => ok(stage.to_owned()),
        _ => ok(""),
    })
    .await;
    for name in ["old", "new"] {
        let container = json!({"Image": XGBOOST, "ModelDataUrl": "s3://models/m.tar.gz", "Environment": {"STAGE": name}});
        world.call("CreateModel", json!({"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container})).await.unwrap();
        let variant = json!({"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 2});
        world.call("CreateEndpointConfig", json!({"EndpointConfigName": name, "ProductionVariants": [variant]})).await.unwrap();
    }
    world.call("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "old"})).await.unwrap();
    world.until("InService").await;
    world
}

async fn update(world: &World, routing: Value, stay: u64) {
    let policy = json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": stay}});
    let request = json!({"EndpointName": "E", "EndpointConfigName": "new", "DeploymentConfig": policy});
    world.call("UpdateEndpoint", request).await.unwrap();
}

/// Runs steps until the next fleet's variant has a status.
async fn until_pending(world: &World, status: &str) {
    for _ in 0..3000 {
        world.kernel.settle().await.unwrap();
        let found = world.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.unwrap();
        if found["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0]["Status"] == status {
            assert_eq!((&found["EndpointStatus"], &found["EndpointConfigName"]), (&json!("Updating"), &json!("old")));
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never {status}")
}

/// How many of a hundred requests the new model answered.
async fn share(world: &World) -> usize {
    let mut new = 0;
    for _ in 0..100 {
        let answer = world.invoke("x").await.unwrap();
        assert!(answer == "old" || answer == "new", "{answer}");
        new += usize::from(answer == "new");
    }
    new
}

fn half() -> Value {
    json!({"Type": "CANARY", "WaitIntervalInSeconds": 3600, "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}})
}

#[tokio::test]
async fn a_canary_answers_its_share_before_it_answers_all() {
    let world = world().await;
    update(&world, half(), 0).await;
    until_pending(&world, "ActivatingTraffic").await;
    let new = share(&world).await;
    assert!((10..=90).contains(&new), "{new} of 100 where half are wanted");
    world.call("DeleteEndpoint", json!({"EndpointName": "E"})).await.unwrap();
}

#[tokio::test]
async fn the_old_fleet_stays_until_the_new_one_has_proved_itself() {
    let world = world().await;
    update(&world, json!({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}), 3600).await;
    until_pending(&world, "Baking").await;
    assert_eq!(share(&world).await, 100);
    assert_eq!(world.engine.names().await.len(), 4);
}

#[tokio::test]
async fn steps_end_with_the_next_fleet() {
    let world = world().await;
    let step = json!({"Type": "CAPACITY_PERCENT", "Value": 10});
    update(&world, json!({"Type": "LINEAR", "WaitIntervalInSeconds": 0, "LinearStepSize": step}), 0).await;
    let found = world.until("InService").await;
    assert_eq!(found["EndpointConfigName"], "new");
    assert!(found.get("PendingDeploymentSummary").is_none());
    assert_eq!(share(&world).await, 100);
}

#[tokio::test]
async fn traffic_goes_back_when_the_next_fleet_fails() {
    let world = world().await;
    update(&world, half(), 0).await;
    until_pending(&world, "ActivatingTraffic").await;
    *world.engine.behaviour.lock().unwrap() = Arc::new(|method, path, _| match path.split_once('@') {
        _ if method == "START" => Act::Die,
        Some((_, stage)) => ok(stage.to_owned()),
        None => ok(""),
    });
    for (work, state) in world.engine.works.lock().unwrap().values_mut() {
        if work.env.get("STAGE").is_some_and(|stage| stage == "new") {
            *state = ended();
        }
    }
    world.engine.changes.send_modify(|n| *n += 1);
    let found = world.until("InService").await;
    assert_eq!(found["EndpointConfigName"], "old");
    assert!(found["FailureReason"].as_str().unwrap().contains("ping health check"), "{found}");
    assert_eq!(share(&world).await, 0);
}
