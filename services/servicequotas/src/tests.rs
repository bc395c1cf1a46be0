//! Quotas as they are listed, asked for and granted.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_compute::quota::{DEFAULT_JOB_INSTANCES, MOST_INSTANCES, Use, quotas};
use tenantry_core::{AccountId, Arn, AwsError, Region, Timestamp};
use tenantry_kernel::{
    Ids, Kernel,
    directory::{Policies, Role},
    role_caller,
};
use tenantry_store::{Memory, Store};

const ACCOUNT: &str = "123456789012";

struct World {
    kernel: Kernel,
    dir: std::path::PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

impl World {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("tenantry-quotas-{}-{}", std::process::id(), Ids::lower(12)));
        let kernel =
            Kernel::builder(Arc::new(Memory::new()) as Arc<dyn Store>, Blobs::open(&dir).unwrap()).service(&crate::table()).build();
        Self { kernel, dir }
    }

    /// As a role whose policy has a statement.
    async fn call_as(&self, statement: &str, operation: &str, input: Value) -> Result<Value, AwsError> {
        let role = Role {
            id: "AROAEXAMPLEEXAMPLE000".into(),
            name: "admin".into(),
            path: "/".into(),
            arn: Arn::parse(format!("arn:aws:iam::{ACCOUNT}:role/admin")).unwrap(),
            created: Timestamp::default(),
            description: String::new(),
            trust: "{}".into(),
            trusted_ids: BTreeMap::new(),
            max_session: 3600,
            policies: Policies {
                inline: BTreeMap::from([("p".to_owned(), format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#))]),
                attached: Vec::new(),
            },
            boundary: None,
            tags: Vec::new(),
            last_used: None,
            linked_service: None,
        };
        let scope = tenantry_core::Scope::global(ACCOUNT);
        let mut batch = tenantry_store::Batch::new();
        let row = tenantry_store::Row::new(tenantry_kernel::directory::kind::ROLE, &scope, "admin", Timestamp::default());
        batch.put(row.with(&role).unwrap(), tenantry_store::Expect::Any);
        self.kernel.store().commit(batch).await.unwrap();
        let caller = role_caller(&role, &AccountId::from(ACCOUNT), "tester");
        let reply = self.kernel.call(&caller, &Region::from("us-east-1"), "service-quotas", operation, input).await?;
        let faults =
            tenantry_wire::check_output(tenantry_wire::service("service-quotas").unwrap().operation(operation).unwrap(), &reply.output);
        assert!(faults.is_empty(), "{faults:?}");
        Ok(reply.output)
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.call_as(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#, operation, input).await
    }
}

#[tokio::test]
async fn all_pages_have_every_quota_once() {
    let world = World::new();
    for operation in ["ListServiceQuotas", "ListAWSDefaultServiceQuotas"] {
        let (mut names, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut input = json!({"ServiceCode": "sagemaker", "MaxResults": 99});
            if !token.is_null() {
                input["NextToken"] = token;
            }
            let page = world.call(operation, input).await.unwrap();
            names.extend(page["Quotas"].as_array().unwrap().iter().map(|quota| quota["QuotaName"].as_str().unwrap().to_owned()));
            token = page["NextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert!(names.iter().eq(quotas().iter().map(|quota| &quota.name)), "{operation}");
        let error = world.call(operation, json!({"ServiceCode": "sagemaker", "NextToken": "bm90aGluZw=="})).await.unwrap_err();
        assert_eq!(error.code, "InvalidPaginationTokenException");
        assert_eq!(world.call(operation, json!({"ServiceCode": "ec2"})).await.unwrap_err().code, "NoSuchResourceException");
    }
    assert_eq!(world.call("ListServices", json!({})).await.unwrap()["Services"][0]["ServiceCode"], "sagemaker");
}

#[tokio::test]
async fn more_is_granted_up_to_a_limit_and_recorded() {
    let world = World::new();
    let code = Use::Training.quota("ml.m5.xlarge").code;
    let named = json!({"ServiceCode": "sagemaker", "QuotaCode": code});
    let value = async || world.call("GetServiceQuota", named.clone()).await.unwrap()["Quota"]["Value"].as_u64().unwrap();
    let ask = async |desired: Value| {
        let mut input = named.clone();
        input["DesiredValue"] = desired;
        world.call("RequestServiceQuotaIncrease", input).await
    };
    assert_eq!(value().await, DEFAULT_JOB_INSTANCES);
    for wrong in [json!(DEFAULT_JOB_INSTANCES), json!(0), json!(2000.5)] {
        assert_eq!(ask(wrong).await.unwrap_err().code, "IllegalArgumentException");
    }
    let asked = ask(json!(MOST_INSTANCES)).await.unwrap()["RequestedQuota"].clone();
    assert_eq!((&asked["Status"], value().await), (&json!("APPROVED"), MOST_INSTANCES));
    assert_eq!(asked["QuotaArn"], format!("arn:aws:servicequotas:us-east-1:{ACCOUNT}:sagemaker/{code}"));
    let refused = ask(json!(MOST_INSTANCES + 1)).await.unwrap()["RequestedQuota"].clone();
    assert_eq!((&refused["Status"], value().await), (&json!("NOT_APPROVED"), MOST_INSTANCES));
    let default = world.call("GetAWSDefaultServiceQuota", named.clone()).await.unwrap();
    assert_eq!(default["Quota"]["Value"], DEFAULT_JOB_INSTANCES);
    let history = world.call("ListRequestedServiceQuotaChangeHistoryByQuota", named.clone()).await.unwrap();
    assert_eq!(history["RequestedQuotas"].as_array().unwrap().len(), 2);
    let history = world.call("ListRequestedServiceQuotaChangeHistory", json!({"Status": "APPROVED"})).await.unwrap();
    assert_eq!(history["RequestedQuotas"], json!([asked]));
    let one = world.call("GetRequestedServiceQuotaChange", json!({"RequestId": refused["Id"]})).await.unwrap();
    assert_eq!(one["RequestedQuota"], refused);
    assert_eq!(
        world.call("GetRequestedServiceQuotaChange", json!({"RequestId": "none"})).await.unwrap_err().code,
        "NoSuchResourceException"
    );
}

#[tokio::test]
async fn policies_can_name_quotas() {
    let world = World::new();
    let (mine, other) = (Use::Training.quota("ml.m5.xlarge").code, Use::Training.quota("ml.m5.large").code);
    let statement = format!(
        r#"{{"Effect":"Allow","Action":"servicequotas:RequestServiceQuotaIncrease","Resource":"arn:aws:servicequotas:*:*:sagemaker/{mine}","Condition":{{"StringEquals":{{"servicequotas:service":"sagemaker"}}}}}}"#
    );
    let input = |code: &str| json!({"ServiceCode": "sagemaker", "QuotaCode": code, "DesiredValue": 2000});
    world.call_as(&statement, "RequestServiceQuotaIncrease", input(&mine)).await.unwrap();
    assert_eq!(world.call_as(&statement, "RequestServiceQuotaIncrease", input(&other)).await.unwrap_err().code, "AccessDeniedException");
}
