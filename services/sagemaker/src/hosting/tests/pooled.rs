//! Several models in one container.

use super::*;

type Names = Arc<Mutex<Vec<String>>>;

/// A multi-model container with room for two models.
fn room_for_two() -> (Names, impl Fn(&str, &str, &[u8]) -> Act + Send + Sync + 'static) {
    let loaded = Names::default();
    let inside = Arc::clone(&loaded);
    let behave = move |method: &str, path: &str, body: &[u8]| {
        let mut loaded = inside.lock().unwrap();
        match (method, path) {
            ("POST", "/models") if loaded.len() >= 2 => Act::Answer(507, "no room".into()),
            ("POST", "/models") => {
                let asked: Value = serde_json::from_slice(body).unwrap();
                let name = asked["model_name"].as_str().unwrap().to_owned();
                assert_eq!(asked["url"], format!("/opt/ml/models/{name}/model"));
                loaded.push(name);
                ok("{}")
            }
            ("DELETE", path) => {
                loaded.retain(|name| format!("/models/{name}") != path);
                ok("{}")
            }
            _ => ok(""),
        }
    };
    (loaded, behave)
}

#[tokio::test]
async fn the_least_recently_used_model_makes_room() {
    let (loaded, behave) = room_for_two();
    let world = World::new(behave).await;
    let instance = world.instance(Source::Many("s3://models/pool/".into())).await;
    let name = async |target: &str| multi::load(&instance, "e", target).await.unwrap().name().to_owned();
    let (a, b) = (name("a").await, name("b").await);
    assert_eq!(name("a").await, a, "loaded once");
    assert!(world.machinery.work.join(&instance.plan.id).join("models").join(&b).join("model/model").is_file());
    let c = name("c").await;
    assert_eq!(*loaded.lock().unwrap(), [a.clone(), c], "b was used least recently");
    assert!(!world.machinery.work.join(&instance.plan.id).join("models").join(&b).exists());
    assert_ne!(name("b").await, b, "loaded anew, under another name");
}

#[tokio::test]
async fn a_model_in_use_is_not_unloaded() {
    let (_, behave) = room_for_two();
    let world = World::new(behave).await;
    let instance = world.instance(Source::Many("s3://models/pool/".into())).await;
    let _a = multi::load(&instance, "e", "a").await.unwrap();
    let _b = multi::load(&instance, "e", "b").await.unwrap();
    let error = multi::load(&instance, "e", "c").await.map(drop).unwrap_err();
    assert_eq!((error.status, &*error.code), (424, "ModelError"));
}

#[tokio::test]
async fn a_target_model_is_a_key_and_no_path() {
    let (loaded, behave) = room_for_two();
    let world = World::new(behave).await;
    let instance = world.instance(Source::Many("s3://models/pool/".into())).await;
    for target in ["none", "../m.tar.gz", "x/../a", "/a", "./a", "a/", ""] {
        let error = multi::load(&instance, "e", target).await.map(drop).unwrap_err();
        assert_eq!(&*error.code, "ValidationError", "{target}");
        assert!(
            error.message.starts_with(&format!("Failed to download model data(bucket: models, key: pool/{target}).")),
            "{}",
            error.message
        );
    }
    assert!(loaded.lock().unwrap().is_empty());
    let both = tokio::join!(multi::load(&instance, "e", "a"), multi::load(&instance, "e", "a"));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(loaded.lock().unwrap().len(), 1, "two requests load it once");
}
