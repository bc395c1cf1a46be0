//! Operations of the control plane; links and sessions have files of their own.

mod links;
mod sessions;

use serde_json::{Value, json};
use tenantry_kernel::Caller;
use tenantry_store::{Batch, List};

use super::{APP, DOMAIN};
use crate::world::{ACCOUNT, ALL, REGION, World};

const ROLE: &str = "arn:aws:iam::111122223333:role/team-a";

fn domain_request(identity: &str) -> Value {
    json!({
        "DomainName": "team", "AuthMode": "IAM", "DefaultUserSettings": {"ExecutionRole": ROLE}, "VpcId": "vpc-0123456789abcdef0",
        "SubnetIds": ["subnet-0123456789abcdef0"], "DomainSettings": {"ExecutionRoleIdentityConfig": identity},
        "DefaultSpaceSettings": {"ExecutionRole": ROLE},
    })
}

/// A world with a domain in service and two profiles, of users alice and bob. The administrator, the domain's id.
async fn studio(world: &World, identity: &str) -> (Caller, String) {
    let admin = world.role("admin", ALL, &[]).await;
    world.role("team-a", ALL, &[("team", "a")]).await;
    let made = world.ok(&admin, "CreateDomain", domain_request(identity)).await;
    let id = made["DomainId"].as_str().unwrap().to_owned();
    world.kernel.settle().await.unwrap();
    for user in ["alice", "Bob"] {
        let request = json!({"DomainId": id, "UserProfileName": user, "Tags": [{"Key": "userId", "Value": user}]});
        world.ok(&admin, "CreateUserProfile", request).await;
    }
    world.kernel.settle().await.unwrap();
    (admin, id)
}

fn of(domain: &str, profile: &str) -> Value {
    json!({"DomainId": domain, "UserProfileName": profile})
}

fn with(mut value: Value, more: Value) -> Value {
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

#[tokio::test]
async fn a_domain_from_pending_to_gone() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let made = world.ok(&admin, "CreateDomain", with(domain_request("DISABLED"), json!({"Tags": [{"Key": "k", "Value": "v"}]}))).await;
    let id = made["DomainId"].as_str().unwrap();
    assert!(id.starts_with("d-") && id.len() == 14, "{id}");
    assert_eq!(made["Url"], format!("https://{id}.studio.us-east-1.sagemaker.aws"));
    let named = json!({"DomainId": id});
    assert_eq!(world.ok(&admin, "DescribeDomain", named.clone()).await["Status"], "Pending");
    let error = world.refused(&admin, "CreateUserProfile", of(id, "early")).await;
    assert_eq!((&*error.code, error.message.contains("is in Pending status")), ("ResourceInUse", true), "{}", error.message);
    world.kernel.settle().await.unwrap();
    let shown = world.ok(&admin, "DescribeDomain", named.clone()).await;
    assert_eq!((&shown["Status"], &shown["AppNetworkAccessType"]), (&json!("InService"), &json!("PublicInternetOnly")));
    assert_eq!((shown.get("HomeEfsFileSystemId"), shown.get("Tags")), (None, None));
    let listed = world.ok(&admin, "ListDomains", json!({})).await;
    assert_eq!(listed["Domains"][0]["DomainArn"], made["DomainArn"]);

    let settings = json!({"DefaultUserSettings": {"SecurityGroups": ["sg-01234567"]}, "AppNetworkAccessType": "VpcOnly"});
    world.ok(&admin, "UpdateDomain", with(named.clone(), settings)).await;
    assert_eq!(world.ok(&admin, "DescribeDomain", named.clone()).await["Status"], "Updating");
    world.kernel.settle().await.unwrap();
    let shown = world.ok(&admin, "DescribeDomain", named.clone()).await;
    assert_eq!(shown["DefaultUserSettings"], json!({"ExecutionRole": ROLE, "SecurityGroups": ["sg-01234567"]}), "what is not named stays");
    assert_eq!((&shown["Status"], &shown["AppNetworkAccessType"]), (&json!("InService"), &json!("VpcOnly")));

    world.ok(&admin, "DeleteDomain", with(named.clone(), json!({"RetentionPolicy": {"HomeEfsFileSystem": "Delete"}}))).await;
    assert_eq!(world.ok(&admin, "DescribeDomain", named.clone()).await["Status"], "Deleting");
    world.kernel.settle().await.unwrap();
    let error = world.refused(&admin, "DescribeDomain", named).await;
    assert_eq!(
        (&*error.code, error.message),
        ("ResourceNotFound", format!("Domain [{}] does not exist.", made["DomainArn"].as_str().unwrap()))
    );
    assert_eq!(world.kernel.store().tags(made["DomainArn"].as_str().unwrap()).await.unwrap(), []);
}

#[tokio::test]
async fn a_region_has_five_domains() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.ok(&admin, "CreateDomain", domain_request("DISABLED")).await["DomainId"].clone());
    }
    let error = world.refused(&admin, "CreateDomain", domain_request("DISABLED")).await;
    assert_eq!(
        (&*error.code, &*error.message),
        (
            "ResourceLimitExceeded",
            "The account-level service limit 'Total domains' is 5 Domains, with current utilization of 5 Domains and a request delta of 1 \
             Domains. Please contact AWS support to request an increase for this limit."
        )
    );
    world.kernel.settle().await.unwrap();
    world.ok(&admin, "DeleteDomain", json!({"DomainId": made[2]})).await;
    world.kernel.settle().await.unwrap();
    world.ok(&admin, "CreateDomain", domain_request("DISABLED")).await;
    assert_eq!(world.refused(&admin, "CreateDomain", domain_request("DISABLED")).await.code, "ResourceLimitExceeded");
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_by_name() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    for (more, named) in [
        (json!({"KmsKeyId": "alias/k"}), "KmsKeyId"),
        (json!({"HomeEfsFileSystemKmsKeyId": "alias/k"}), "HomeEfsFileSystemKmsKeyId"),
        (json!({"HomeEfsFileSystemCreation": "Enabled"}), "HomeEfsFileSystemCreation"),
        (json!({"TagPropagation": "ENABLED"}), "TagPropagation"),
        (json!({"DomainSettings": {"DockerSettings": {"EnableDockerAccess": "ENABLED"}}}), "DockerSettings"),
        (json!({"DomainSettings": {"TrustedIdentityPropagationSettings": {"Status": "ENABLED"}}}), "TrustedIdentityPropagationSettings"),
        (json!({"DefaultUserSettings": {"CustomFileSystemConfigs": []}}), "CustomFileSystemConfigs"),
        (json!({"DefaultUserSettings": {"AutoMountHomeEFS": "Enabled"}}), "AutoMountHomeEFS"),
        (json!({"VpcId": "vpc-none"}), "vpc-none"),
        (json!({"SubnetIds": ["sn-01234567"]}), "sn-01234567"),
        (json!({"DefaultUserSettings": {"SecurityGroups": ["default"]}}), "default"),
    ] {
        let error = world.refused(&admin, "CreateDomain", with(domain_request("DISABLED"), more)).await;
        assert!(error.code == "ValidationException" && error.message.contains(named), "{named}: {}", error.message);
    }
    let error = world.refused(&admin, "CreateDomain", with(domain_request("DISABLED"), json!({"VpcId": "vpc-0123456789abcdef01"}))).await;
    assert!(error.message.contains("vpc-0123456789abcdef01"), "18 digits are one too many: {}", error.message);
    assert_eq!(world.ok(&admin, "ListDomains", json!({})).await["Domains"], json!([]));
}

#[tokio::test]
async fn what_others_hang_on_stays() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let arn = |of: &str| format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:{of}");
    let error = world.refused(&admin, "DeleteDomain", json!({"DomainId": id})).await;
    let why = format!("Unable to delete Domain [{}] because UserProfile(s) are associated with it.", arn(&format!("domain/{id}")));
    assert_eq!((&*error.code, error.message), ("ResourceInUse", why));

    let app = with(of(&id, "alice"), json!({"AppType": "JupyterServer", "AppName": "default"}));
    world.ok(&admin, "CreateApp", app.clone()).await;
    let error = world.refused(&admin, "DeleteUserProfile", of(&id, "alice")).await;
    let profile = arn(&format!("user-profile/{id}/alice"));
    assert_eq!(error.message, format!("Unable to delete UserProfile [{profile}] because App(s) are associated with it."));
    // The app fails, and then it keeps nobody.
    world.kernel.settle().await.unwrap();
    let space = json!({
        "DomainId": id, "SpaceName": "own", "OwnershipSettings": {"OwnerUserProfileName": "alice"}, "SpaceSharingSettings": {"SharingType": "Private"},
    });
    world.ok(&admin, "CreateSpace", space).await;
    world.kernel.settle().await.unwrap();
    let error = world.refused(&admin, "DeleteUserProfile", of(&id, "alice")).await;
    assert_eq!(error.message, format!("Unable to delete UserProfile [{profile}] because Space(s) are associated with it."));
    world.ok(&admin, "DeleteSpace", json!({"DomainId": id, "SpaceName": "own"})).await;
    world.kernel.settle().await.unwrap();
    for user in ["alice", "bob"] {
        world.ok(&admin, "DeleteUserProfile", of(&id, user)).await;
    }
    world.kernel.settle().await.unwrap();
    assert_eq!(world.ok(&admin, "ListApps", json!({"DomainIdEquals": id})).await["Apps"], json!([]), "failed apps go with their profile");
    world.ok(&admin, "DeleteDomain", json!({"DomainId": id})).await;
    world.kernel.settle().await.unwrap();
    assert_eq!(world.ok(&admin, "ListDomains", json!({})).await["Domains"], json!([]));
}

/// Something that came to hang on a thing after its deletion was taken on keeps it.
#[tokio::test]
async fn a_deletion_looks_twice() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let store = world.kernel.store();
    let mut row = store.get(DOMAIN, &world.scope(), &id).await.unwrap().unwrap();
    row.status = "Deleting".to_owned();
    let mut batch = Batch::new();
    batch.update(row);
    batch.enqueue(DOMAIN.as_str(), tenantry_kernel::reconcile::key_of(&world.scope(), &id), world.kernel.now());
    store.commit(batch).await.unwrap();
    world.kernel.settle().await.unwrap();
    let shown = world.ok(&admin, "DescribeDomain", json!({"DomainId": id})).await;
    assert_eq!(shown["Status"], "Delete_Failed");
    assert!(shown["FailureReason"].as_str().unwrap().contains("because UserProfile(s) are associated with it"), "{shown}");
    let error = world.refused(&admin, "CreateUserProfile", of(&id, "carol")).await;
    assert_eq!(error.code, "ResourceInUse");
}

#[tokio::test]
async fn profiles() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let shown = world.ok(&admin, "DescribeUserProfile", of(&id, "bob")).await;
    assert_eq!((&shown["UserProfileName"], &shown["Status"], &shown["DomainId"]), (&json!("Bob"), &json!("InService"), &json!(id)));
    assert_eq!(shown["UserProfileArn"], format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:user-profile/{id}/bob"));
    let tags = world.ok(&admin, "ListTags", json!({"ResourceArn": shown["UserProfileArn"]})).await;
    assert_eq!(tags["Tags"], json!([{"Key": "userId", "Value": "Bob"}]));
    let error = world.refused(&admin, "CreateUserProfile", of(&id, "BOB")).await;
    assert_eq!((&*error.code, error.message.ends_with("already exists.")), ("ResourceInUse", true), "{}", error.message);
    let single = with(of(&id, "carol"), json!({"SingleSignOnUserIdentifier": "UserName", "SingleSignOnUserValue": "carol"}));
    assert_eq!(world.refused(&admin, "CreateUserProfile", single.clone()).await.code, "ValidationException");
    let names =
        |listed: &Value| listed["UserProfiles"].as_array().unwrap().iter().map(|one| one["UserProfileName"].clone()).collect::<Vec<_>>();
    let page = world.ok(&admin, "ListUserProfiles", json!({"DomainIdEquals": id, "MaxResults": 1})).await;
    let next = world.ok(&admin, "ListUserProfiles", json!({"DomainIdEquals": id, "MaxResults": 1, "NextToken": page["NextToken"]})).await;
    let mut all = [names(&page), names(&next)].concat();
    all.sort_by_key(|name| name.as_str().unwrap().to_lowercase());
    assert_eq!((all, next.get("NextToken")), (vec![json!("alice"), json!("Bob")], None));
    assert_eq!(names(&world.ok(&admin, "ListUserProfiles", json!({"UserProfileNameContains": "ali"})).await), ["alice"]);
    assert_eq!(names(&world.ok(&admin, "ListUserProfiles", json!({"DomainIdEquals": "d-other"})).await), [] as [Value; 0]);

    let sso = with(domain_request("DISABLED"), json!({"AuthMode": "SSO"}));
    let other = world.ok(&admin, "CreateDomain", sso).await["DomainId"].clone();
    world.kernel.settle().await.unwrap();
    let error = world.refused(&admin, "CreateUserProfile", json!({"DomainId": other, "UserProfileName": "carol"})).await;
    assert!(error.message.contains("required when the Domain's AuthMode is SSO"), "{}", error.message);
    world.ok(&admin, "CreateUserProfile", with(single, json!({"DomainId": other}))).await;
    world.kernel.settle().await.unwrap();
    let error = world.refused(&admin, "CreatePresignedDomainUrl", json!({"DomainId": other, "UserProfileName": "carol"})).await;
    assert!(error.message.contains("AuthMode is IAM"), "{}", error.message);
}

#[tokio::test]
async fn roles_must_be_passed() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:*","Resource":"*"}]}"#;
    let limited = world.role("limited", policy, &[]).await;
    let settings = json!({"ExecutionRole": ROLE});
    for (operation, request) in [
        ("CreateDomain", domain_request("DISABLED")),
        ("UpdateDomain", json!({"DomainId": id, "DefaultSpaceSettings": settings})),
        ("CreateUserProfile", with(of(&id, "carol"), json!({"UserSettings": settings}))),
        ("UpdateUserProfile", with(of(&id, "alice"), json!({"UserSettings": settings}))),
    ] {
        let error = world.refused(&limited, operation, request).await;
        assert!(error.message.contains(&format!("iam:PassRole on resource: {ROLE}")), "{operation}: {}", error.message);
    }
    world.ok(&limited, "CreateUserProfile", of(&id, "carol")).await;
    let foreign = json!({"UserSettings": {"ExecutionRole": "arn:aws:iam::444455556666:role/x"}});
    let error = world.refused(&admin, "UpdateUserProfile", with(of(&id, "alice"), foreign)).await;
    assert_eq!(error.message, "Cross-account pass role is not allowed.");
}

#[tokio::test]
async fn conditions_see_the_settings() {
    let world = World::new();
    let (_, id) = studio(&world, "DISABLED").await;
    let denied = |key: &str, value: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}},
            {{"Effect":"Deny","Action":"sagemaker:*","Resource":"*","Condition":{{"ForAnyValue:StringEquals":{{"{key}":"{value}"}}}}}}]}}"#
        )
    };
    let large = json!({"JupyterServerAppSettings": {"DefaultResourceSpec": {"InstanceType": "ml.p3.2xlarge"}}});
    let image = "arn:aws:sagemaker:us-east-1:111122223333:image/i";
    let image_settings = json!({"KernelGatewayAppSettings": {"DefaultResourceSpec": {"SageMakerImageArn": image}}});
    let domain = || domain_request("DISABLED");
    for (at, (key, value, operation, request)) in [
        ("sagemaker:InstanceTypes", "ml.p3.2xlarge", "CreateDomain", with(domain(), json!({"DefaultUserSettings": large}))),
        ("sagemaker:InstanceTypes", "ml.p3.2xlarge", "CreateUserProfile", with(of(&id, "c"), json!({"UserSettings": large}))),
        ("sagemaker:ImageArns", image, "UpdateUserProfile", with(of(&id, "alice"), json!({"UserSettings": image_settings}))),
        ("sagemaker:AppNetworkAccessType", "VpcOnly", "UpdateDomain", json!({"DomainId": id, "AppNetworkAccessType": "VpcOnly"})),
        ("sagemaker:VpcSubnets", "subnet-0123456789abcdef0", "CreateDomain", domain()),
        ("sagemaker:VpcSecurityGroupIds", "sg-01234567", "UpdateDomain", json!({"DomainId": id, "DefaultUserSettings": {"SecurityGroups": ["sg-01234567"]}})),
        ("sagemaker:VolumeKmsKey", "k", "CreateDomain", with(domain(), json!({"KmsKeyId": "k"}))),
        ("sagemaker:DomainSharingOutputKmsKey", "k", "CreateUserProfile", with(of(&id, "c"), json!({"UserSettings": {"SharingSettings": {"S3KmsKeyId": "k"}}}))),
        ("sagemaker:SpaceSharingType", "Shared", "CreateSpace", json!({"DomainId": id, "SpaceName": "s", "OwnershipSettings": {"OwnerUserProfileName": "alice"}, "SpaceSharingSettings": {"SharingType": "Shared"}})),
        ("aws:RequestTag/team", "b", "CreateDomain", with(domain(), json!({"Tags": [{"Key": "team", "Value": "b"}]}))),
    ]
    .into_iter()
    .enumerate()
    {
        let caller = world.role(&format!("r{at}"), &denied(key, value), &[]).await;
        let error = world.refused(&caller, operation, request.clone()).await;
        assert!(error.code == "AccessDeniedException" && error.message.contains("explicit deny"), "{key}: {} {}", error.code, error.message);
        let caller = world.role(&format!("o{at}"), &denied(key, "other"), &[]).await;
        if let Err(error) = world.call(&caller, operation, request).await {
            assert_ne!(error.code, "AccessDeniedException", "{key}: {}", error.message);
        }
    }
}

#[tokio::test]
async fn an_app_says_why_it_does_not_run() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let app = with(of(&id, "alice"), json!({"AppType": "JupyterServer", "AppName": "default"}));
    let made = world.ok(&admin, "CreateApp", with(app.clone(), json!({"Tags": [{"Key": "team", "Value": "a"}]}))).await;
    assert_eq!(made["AppArn"], format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:app/{id}/alice/JupyterServer/default"));
    assert_eq!(world.ok(&admin, "DescribeApp", app.clone()).await["Status"], "Pending");
    assert_eq!(world.refused(&admin, "CreateApp", app.clone()).await.code, "ResourceInUse");
    assert_eq!(world.ok(&admin, "ListTags", json!({"ResourceArn": made["AppArn"]})).await["Tags"][0]["Value"], "a");
    // While it may still come up, nobody changes whom sessions are known as.
    let change = json!({"DomainId": id, "DomainSettingsForUpdate": {"ExecutionRoleIdentityConfig": "USER_PROFILE_NAME"}});
    let error = world.refused(&admin, "UpdateDomain", change.clone()).await;
    assert!(error.code == "ResourceInUse" && error.message.contains("InService or Pending"), "{}", error.message);
    world.kernel.settle().await.unwrap();
    let shown = world.ok(&admin, "DescribeApp", app.clone()).await;
    assert_eq!(shown["Status"], "Failed");
    assert!(shown["FailureReason"].as_str().unwrap().contains("applications are not available on this instance yet"), "{shown}");
    world.ok(&admin, "UpdateDomain", change).await;
    world.kernel.settle().await.unwrap();

    world.ok(&admin, "DeleteApp", app.clone()).await;
    assert_eq!(world.ok(&admin, "DescribeApp", app.clone()).await["Status"], "Deleting");
    world.kernel.settle().await.unwrap();
    let listed = world.ok(&admin, "ListApps", json!({"DomainIdEquals": id, "UserProfileNameEquals": "alice"})).await;
    assert_eq!((listed["Apps"].as_array().unwrap().len(), &listed["Apps"][0]["Status"]), (1, &json!("Deleted")));
    assert_eq!(world.refused(&admin, "DeleteApp", app.clone()).await.code, "ResourceNotFound");
    world.ok(&admin, "CreateApp", app.clone()).await;
    world.kernel.settle().await.unwrap();
    world.ok(&admin, "DeleteApp", app.clone()).await;
    world.kernel.settle().await.unwrap();
    world.clock.advance_secs(24 * 3600 - 1);
    world.kernel.settle().await.unwrap();
    assert_eq!(world.ok(&admin, "DescribeApp", app.clone()).await["Status"], "Deleted");
    world.clock.advance_secs(2);
    world.kernel.settle().await.unwrap();
    assert_eq!(world.refused(&admin, "DescribeApp", app).await.code, "ResourceNotFound");
    assert!(world.kernel.store().list(&List::of(APP, &world.scope())).await.unwrap().is_empty());
}

/// More apps than one commit takes do not keep their domain.
#[tokio::test]
async fn many_failed_apps_go_with_their_profile() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    for number in 0..450 {
        let app = with(of(&id, "alice"), json!({"AppType": "KernelGateway", "AppName": format!("app-{number}")}));
        world.ok(&admin, "CreateApp", app).await;
    }
    world.kernel.settle().await.unwrap();
    world.ok(&admin, "DeleteUserProfile", of(&id, "alice")).await;
    world.kernel.settle().await.unwrap();
    assert_eq!(world.refused(&admin, "DescribeUserProfile", of(&id, "alice")).await.code, "ResourceNotFound");
    assert!(world.kernel.store().list(&List::of(APP, &world.scope())).await.unwrap().is_empty());
}

/// A space may be called like a profile. Their apps would have one ARN, so there is one of the two.
#[tokio::test]
async fn an_app_has_one_owner() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    world.ok(&admin, "CreateSpace", json!({"DomainId": id, "SpaceName": "alice"})).await;
    world.kernel.settle().await.unwrap();
    let app = json!({"AppType": "JupyterLab", "AppName": "default", "DomainId": id});
    world.ok(&admin, "CreateApp", with(app.clone(), json!({"SpaceName": "alice"}))).await;
    assert_eq!(world.refused(&admin, "CreateApp", with(app.clone(), json!({"UserProfileName": "alice"}))).await.code, "ResourceInUse");
    assert_eq!(world.refused(&admin, "DescribeApp", with(app.clone(), json!({"UserProfileName": "alice"}))).await.code, "ResourceNotFound");
    world.ok(&admin, "DescribeApp", with(app.clone(), json!({"SpaceName": "alice"}))).await;
    for names in [json!({}), json!({"SpaceName": "alice", "UserProfileName": "alice"})] {
        assert_eq!(world.refused(&admin, "CreateApp", with(app.clone(), names)).await.code, "ValidationException");
    }
}

#[tokio::test]
async fn spaces() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let owned = |name: &str, sharing: &str| json!({"DomainId": id, "SpaceName": name, "OwnershipSettings": {"OwnerUserProfileName": "alice"}, "SpaceSharingSettings": {"SharingType": sharing}});
    world.ok(&admin, "CreateSpace", with(owned("mine", "Private"), json!({"SpaceSettings": {"AppType": "JupyterLab"}}))).await;
    world.kernel.settle().await.unwrap();
    let named = json!({"DomainId": id, "SpaceName": "mine"});
    world.ok(&admin, "UpdateSpace", with(named.clone(), json!({"SpaceDisplayName": "Mine"}))).await;
    world.kernel.settle().await.unwrap();
    let shown = world.ok(&admin, "DescribeSpace", named.clone()).await;
    assert_eq!(
        (&shown["Status"], &shown["SpaceDisplayName"], &shown["SpaceSettings"]["AppType"]),
        (&json!("InService"), &json!("Mine"), &json!("JupyterLab"))
    );
    let listed = world.ok(&admin, "ListSpaces", json!({"DomainIdEquals": id, "SpaceNameContains": "min"})).await;
    assert_eq!(listed["Spaces"][0]["OwnershipSettingsSummary"]["OwnerUserProfileName"], "alice");
    for (request, why) in [
        (json!({"DomainId": id, "SpaceName": "s", "SpaceSharingSettings": {"SharingType": "Shared"}}), "must be specified together"),
        (with(owned("s", "Private"), json!({"SpaceSettings": {"RemoteAccess": "ENABLED"}})), "RemoteAccess"),
        (with(owned("s", "Private"), json!({"SpaceSettings": {"CustomFileSystems": []}})), "CustomFileSystems"),
    ] {
        let error = world.refused(&admin, "CreateSpace", request).await;
        assert!(error.message.contains(why), "{why}: {}", error.message);
    }
    let ghost = json!({"DomainId": id, "SpaceName": "s", "OwnershipSettings": {"OwnerUserProfileName": "ghost"}, "SpaceSharingSettings": {"SharingType": "Private"}});
    assert_eq!(world.refused(&admin, "CreateSpace", ghost).await.code, "ResourceNotFound");
    // Links to a private space are its owner's only.
    let link = |user: &str| json!({"DomainId": id, "UserProfileName": user, "SpaceName": "mine"});
    world.ok(&admin, "CreatePresignedDomainUrl", link("alice")).await;
    assert!(world.refused(&admin, "CreatePresignedDomainUrl", link("bob")).await.message.contains("private"));
}

#[tokio::test]
async fn lifecycle_configurations() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let create = json!({"StudioLifecycleConfigName": "Start", "StudioLifecycleConfigContent": "ZWNobw==", "StudioLifecycleConfigAppType": "JupyterServer"});
    let arn = world.ok(&admin, "CreateStudioLifecycleConfig", create.clone()).await["StudioLifecycleConfigArn"].clone();
    assert_eq!(world.refused(&admin, "CreateStudioLifecycleConfig", create.clone()).await.code, "ResourceInUse");
    let bad = with(create, json!({"StudioLifecycleConfigName": "x", "StudioLifecycleConfigContent": "not base64!"}));
    assert_eq!(world.refused(&admin, "CreateStudioLifecycleConfig", bad).await.code, "ValidationException");
    let named = json!({"StudioLifecycleConfigName": "start"});
    assert_eq!(world.ok(&admin, "DescribeStudioLifecycleConfig", named.clone()).await["StudioLifecycleConfigContent"], "ZWNobw==");
    let listed = world.ok(&admin, "ListStudioLifecycleConfigs", json!({"AppTypeEquals": "KernelGateway"})).await;
    assert_eq!(listed["StudioLifecycleConfigs"], json!([]));
    let used = json!({"UserSettings": {"JupyterServerAppSettings": {"LifecycleConfigArns": [arn]}}});
    world.ok(&admin, "UpdateUserProfile", with(of(&id, "alice"), used)).await;
    assert_eq!(world.refused(&admin, "DeleteStudioLifecycleConfig", named.clone()).await.code, "ResourceInUse");
    let unused = json!({"UserSettings": {"JupyterServerAppSettings": {"LifecycleConfigArns": []}}});
    world.kernel.settle().await.unwrap();
    world.ok(&admin, "UpdateUserProfile", with(of(&id, "alice"), unused)).await;
    world.ok(&admin, "DeleteStudioLifecycleConfig", named.clone()).await;
    assert_eq!(world.refused(&admin, "DescribeStudioLifecycleConfig", named).await.code, "ResourceNotFound");
}
