use serde_json::{Value, json};
use tenantry_kernel::Caller;

use crate::world::{World, allow};

/// A new member account.
pub async fn member(w: &World, email: &str) -> String {
    let asked = w.org("CreateAccount", json!({ "AccountName": "team", "Email": email })).await["CreateAccountStatus"].clone();
    assert_eq!((asked["State"].clone(), asked.get("AccountId")), (json!("IN_PROGRESS"), None));
    w.kernel.settle().await.unwrap();
    let status =
        w.org("DescribeCreateAccountStatus", json!({ "CreateAccountRequestId": asked["Id"] })).await["CreateAccountStatus"].clone();
    assert_eq!(status["State"], "SUCCEEDED", "{status}");
    status["AccountId"].as_str().unwrap().to_owned()
}

async fn enter(w: &World, account: &str) -> Caller {
    let role = format!("arn:aws:iam::{account}:role/OrganizationAccountAccessRole");
    w.assume(&w.admin, json!({ "RoleArn": role, "RoleSessionName": "admin" })).await.unwrap()
}

async fn root(w: &World) -> String {
    w.org("ListRoots", json!({})).await["Roots"][0]["Id"].as_str().unwrap().to_owned()
}

async fn unit(w: &World, parent: &str, name: &str) -> String {
    let made = w.org("CreateOrganizationalUnit", json!({ "ParentId": parent, "Name": name })).await;
    made["OrganizationalUnit"]["Id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_tree() {
    let w = World::new().await;
    let root = root(&w).await;
    let organization = w.org("DescribeOrganization", json!({})).await["Organization"].clone();
    assert_eq!(organization["MasterAccountId"], w.account.as_str());
    assert_eq!(&*w.refused("organizations", "CreateOrganization", json!({})).await.code, "AlreadyInOrganizationException");
    let dev = unit(&w, &root, "dev").await;
    let error = w.refused("organizations", "CreateOrganizationalUnit", json!({ "ParentId": root, "Name": "dev" })).await;
    assert_eq!(&*error.code, "DuplicateOrganizationalUnitException");
    let mut parent = dev.clone();
    for n in 2..=5 {
        parent = unit(&w, &parent, &format!("level{n}")).await;
    }
    let error = w.refused("organizations", "CreateOrganizationalUnit", json!({ "ParentId": parent, "Name": "level6" })).await;
    assert_eq!((&*error.code, error.details[0].1.as_str()), ("ConstraintViolationException", "OU_DEPTH_LIMIT_EXCEEDED"));

    let team = member(&w, "team@example.com").await;
    let other =
        w.org("CreateAccount", json!({ "AccountName": "again", "Email": "TEAM@example.com" })).await["CreateAccountStatus"]["Id"].clone();
    w.kernel.settle().await.unwrap();
    let failed = w.org("DescribeCreateAccountStatus", json!({ "CreateAccountRequestId": other })).await["CreateAccountStatus"].clone();
    assert_eq!((failed["State"].clone(), failed["FailureReason"].clone()), (json!("FAILED"), json!("EMAIL_ALREADY_EXISTS")));
    let states = w.org("ListCreateAccountStatus", json!({ "States": ["FAILED"] })).await;
    assert_eq!(states["CreateAccountStatuses"].as_array().unwrap().len(), 1);

    let accounts = |value: &Value| value["Accounts"].as_array().unwrap().len();
    assert_eq!(accounts(&w.org("ListAccounts", json!({})).await), 2);
    let move_it = |from: &str, to: &str| json!({ "AccountId": team, "SourceParentId": from, "DestinationParentId": to });
    assert_eq!(&*w.refused("organizations", "MoveAccount", move_it(&dev, &root)).await.code, "SourceParentNotFoundException");
    assert_eq!(&*w.refused("organizations", "MoveAccount", move_it(&root, &root)).await.code, "DuplicateAccountException");
    w.org("MoveAccount", move_it(&root, &dev)).await;
    assert_eq!(accounts(&w.org("ListAccountsForParent", json!({ "ParentId": dev })).await), 1);
    assert_eq!(w.org("ListParents", json!({ "ChildId": team })).await["Parents"], json!([{ "Id": dev, "Type": "ORGANIZATIONAL_UNIT" }]));
    assert_eq!(w.org("ListParents", json!({ "ChildId": dev })).await["Parents"], json!([{ "Id": root, "Type": "ROOT" }]));
    let children = w.org("ListChildren", json!({ "ParentId": dev, "ChildType": "ACCOUNT" })).await;
    assert_eq!(children["Children"], json!([{ "Id": team, "Type": "ACCOUNT" }]));
    assert_eq!(w.org("ListOrganizationalUnitsForParent", json!({ "ParentId": root })).await["OrganizationalUnits"][0]["Name"], "dev");
    w.org("UpdateOrganizationalUnit", json!({ "OrganizationalUnitId": dev, "Name": "test" })).await;
    assert_eq!(w.org("DescribeOrganizationalUnit", json!({ "OrganizationalUnitId": dev })).await["OrganizationalUnit"]["Name"], "test");
    assert_eq!(
        &*w.refused("organizations", "DeleteOrganizationalUnit", json!({ "OrganizationalUnitId": dev })).await.code,
        "OrganizationalUnitNotEmptyException"
    );
    w.org("DeleteOrganizationalUnit", json!({ "OrganizationalUnitId": parent })).await;
    assert_eq!(
        &*w.refused("organizations", "DescribeOrganizationalUnit", json!({ "OrganizationalUnitId": parent })).await.code,
        "OrganizationalUnitNotFoundException"
    );
    assert_eq!(&*w.refused("organizations", "DeleteOrganization", json!({})).await.code, "OrganizationNotEmptyException");

    let inside = enter(&w, &team).await;
    w.call(&inside, "organizations", "DescribeOrganization", json!({})).await.unwrap();
    let error = w.call(&inside, "organizations", "ListAccounts", json!({})).await.unwrap_err();
    assert_eq!((&*error.code, error.message.as_str()), ("AccessDeniedException", "You don't have permissions to access this resource."));
}

#[tokio::test]
async fn control_policies_bind_members_and_not_the_management_account() {
    let w = World::new().await;
    let root = root(&w).await;
    let team = member(&w, "team@example.com").await;
    let inside = enter(&w, &team).await;
    let deny =
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Action": "iam:CreateUser", "Resource": "*" }] }).to_string();
    let create = json!({ "Name": "no-users", "Description": "d", "Type": "SERVICE_CONTROL_POLICY", "Content": deny });
    let made = w.org("CreatePolicy", create.clone()).await["Policy"]["PolicySummary"]["Id"].as_str().unwrap().to_owned();
    assert_eq!(&*w.refused("organizations", "CreatePolicy", create).await.code, "DuplicatePolicyException");
    let attach = json!({ "PolicyId": made, "TargetId": root });
    assert_eq!(&*w.refused("organizations", "AttachPolicy", attach.clone()).await.code, "PolicyTypeNotEnabledException");
    let scp = json!({ "RootId": root, "PolicyType": "SERVICE_CONTROL_POLICY" });
    w.org("EnablePolicyType", scp.clone()).await;
    assert_eq!(&*w.refused("organizations", "EnablePolicyType", scp.clone()).await.code, "PolicyTypeAlreadyEnabledException");
    w.call(&inside, "iam", "CreateUser", json!({ "UserName": "before" })).await.expect("full access comes with the type");
    w.org("AttachPolicy", attach.clone()).await;
    assert_eq!(&*w.refused("organizations", "AttachPolicy", attach.clone()).await.code, "DuplicatePolicyAttachmentException");
    let error = w.call(&inside, "iam", "CreateUser", json!({ "UserName": "after" })).await.unwrap_err();
    assert!(error.message.contains("with an explicit deny in a service control policy"), "{}", error.message);
    w.iam("CreateUser", json!({ "UserName": "management-is-free" })).await;

    let listed = w.org("ListPoliciesForTarget", json!({ "TargetId": root, "Filter": "SERVICE_CONTROL_POLICY" })).await;
    assert_eq!(listed["Policies"].as_array().unwrap().len(), 2);
    assert_eq!(w.org("ListTargetsForPolicy", json!({ "PolicyId": made })).await["Targets"][0]["Type"], "ROOT");
    assert_eq!(w.org("ListTargetsForPolicy", json!({ "PolicyId": "p-FullAWSAccess" })).await["Targets"].as_array().unwrap().len(), 3);
    assert_eq!(&*w.refused("organizations", "DeletePolicy", json!({ "PolicyId": made })).await.code, "PolicyInUseException");
    let last = w.refused("organizations", "DetachPolicy", json!({ "PolicyId": "p-FullAWSAccess", "TargetId": team })).await;
    assert_eq!(last.details[0].1, "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED");
    let immutable = w.refused("organizations", "UpdatePolicy", json!({ "PolicyId": "p-FullAWSAccess", "Name": "x" })).await;
    assert_eq!(immutable.details[0].1, "IMMUTABLE_POLICY");
    w.org("UpdatePolicy", json!({ "PolicyId": made, "Content": deny.replace("CreateUser", "CreateGroup") })).await;
    w.call(&inside, "iam", "CreateUser", json!({ "UserName": "again" })).await.expect("the new text is in force");
    w.call(&inside, "iam", "CreateGroup", json!({ "GroupName": "g" })).await.unwrap_err();
    w.org("DetachPolicy", attach.clone()).await;
    assert_eq!(&*w.refused("organizations", "DetachPolicy", attach).await.code, "PolicyNotAttachedException");
    w.call(&inside, "iam", "CreateGroup", json!({ "GroupName": "g" })).await.unwrap();
    w.org("DisablePolicyType", scp).await;
    w.org("DeletePolicy", json!({ "PolicyId": made })).await;
    assert_eq!(&*w.refused("organizations", "DescribePolicy", json!({ "PolicyId": made })).await.code, "PolicyNotFoundException");
    let later = member(&w, "later@example.com").await;
    assert_eq!(
        w.org("ListPoliciesForTarget", json!({ "TargetId": later, "Filter": "SERVICE_CONTROL_POLICY" })).await["Policies"],
        json!([])
    );

    let bad = json!({ "Name": "bad", "Description": "", "Type": "SERVICE_CONTROL_POLICY", "Content": "{}" });
    assert_eq!(&*w.refused("organizations", "CreatePolicy", bad).await.code, "MalformedPolicyDocumentException");
    let other = json!({ "Name": "tags", "Description": "", "Type": "TAG_POLICY", "Content": "{\"tags\":{}}" });
    assert_eq!(&*w.refused("organizations", "CreatePolicy", other).await.code, "PolicyTypeNotAvailableForOrganizationException");
    let rcp = json!({ "RootId": root, "PolicyType": "RESOURCE_CONTROL_POLICY" });
    w.org("EnablePolicyType", rcp).await;
    let stays = w.refused("organizations", "DetachPolicy", json!({ "PolicyId": "p-RCPFullAWSAccess", "TargetId": root })).await;
    assert_eq!(stays.details[0].1, "NON_DETACHABLE_POLICY");
    assert_eq!(w.org("ListPolicies", json!({ "Filter": "RESOURCE_CONTROL_POLICY" })).await["Policies"][0]["Name"], "RCPFullAWSAccess");
}

#[tokio::test]
async fn accounts_come_and_go() {
    let w = World::new().await;
    let root = root(&w).await;
    let (closing, leaving) = (member(&w, "a@example.com").await, member(&w, "b@example.com").await);
    w.org("EnablePolicyType", json!({ "RootId": root, "PolicyType": "SERVICE_CONTROL_POLICY" })).await;
    w.org("CloseAccount", json!({ "AccountId": closing })).await;
    assert_eq!(w.org("DescribeAccount", json!({ "AccountId": closing })).await["Account"]["Status"], "SUSPENDED");
    assert_eq!(&*w.refused("organizations", "CloseAccount", json!({ "AccountId": closing })).await.code, "AccountAlreadyClosedException");
    let role = format!("arn:aws:iam::{closing}:role/OrganizationAccountAccessRole");
    w.assume(&w.admin, json!({ "RoleArn": role, "RoleSessionName": "admin" })).await.expect_err("a closed account lets nobody in");
    let own = w.refused("organizations", "CloseAccount", json!({ "AccountId": w.account })).await;
    assert_eq!(own.details[0].1, "CANNOT_CLOSE_MANAGEMENT_ACCOUNT");
    let inside = enter(&w, &leaving).await;
    w.org("RemoveAccountFromOrganization", json!({ "AccountId": leaving })).await;
    assert_eq!(&*w.refused("organizations", "DescribeAccount", json!({ "AccountId": leaving })).await.code, "AccountNotFoundException");
    let error = w.call(&inside, "organizations", "DescribeOrganization", json!({})).await.unwrap_err();
    assert_eq!(&*error.code, "AWSOrganizationsNotInUseException");
    w.call(&inside, "iam", "ListUsers", json!({})).await.expect("the account goes on by itself");
    assert_eq!(
        &*w.refused("organizations", "RemoveAccountFromOrganization", json!({ "AccountId": w.account })).await.code,
        "MasterCannotLeaveOrganizationException"
    );
}

#[tokio::test]
async fn tags_of_the_tree() {
    let w = World::new().await;
    let root = root(&w).await;
    let dev = unit(&w, &root, "dev").await;
    w.org("TagResource", json!({ "ResourceId": dev, "Tags": [{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }] })).await;
    w.org("TagResource", json!({ "ResourceId": dev, "Tags": [{ "Key": "a", "Value": "3" }] })).await;
    w.org("UntagResource", json!({ "ResourceId": dev, "TagKeys": ["b"] })).await;
    assert_eq!(w.org("ListTagsForResource", json!({ "ResourceId": dev })).await["Tags"], json!([{ "Key": "a", "Value": "3" }]));
    let many: Vec<Value> = (0..50).map(|n| json!({ "Key": format!("k{n}"), "Value": "" })).collect();
    let error = w.refused("organizations", "TagResource", json!({ "ResourceId": dev, "Tags": many })).await;
    assert_eq!(error.details[0].1, "MAX_TAG_LIMIT_EXCEEDED");
    assert_eq!(
        &*w.refused("organizations", "ListTagsForResource", json!({ "ResourceId": "ou-aaaa-bbbbbbbb" })).await.code,
        "TargetNotFoundException"
    );
}

#[tokio::test]
async fn delegated_administrators_may_look() {
    let w = World::new().await;
    let team = member(&w, "team@example.com").await;
    let inside = enter(&w, &team).await;
    let service = "member.org.stacksets.cloudformation.amazonaws.com";
    let register = json!({ "AccountId": team, "ServicePrincipal": service });
    let early = w.refused("organizations", "RegisterDelegatedAdministrator", register.clone()).await;
    assert_eq!(early.details[0].1, "SERVICE_ACCESS_NOT_ENABLED");
    w.org("EnableAWSServiceAccess", json!({ "ServicePrincipal": service })).await;
    let listed = w.org("ListAWSServiceAccessForOrganization", json!({})).await;
    assert_eq!(listed["EnabledServicePrincipals"][0]["ServicePrincipal"], service);
    w.call(&inside, "organizations", "ListAccounts", json!({})).await.unwrap_err();
    w.org("RegisterDelegatedAdministrator", register.clone()).await;
    assert_eq!(
        &*w.refused("organizations", "RegisterDelegatedAdministrator", register.clone()).await.code,
        "AccountAlreadyRegisteredException"
    );
    w.call(&inside, "organizations", "ListAccounts", json!({})).await.unwrap();
    w.call(&inside, "organizations", "CreateAccount", json!({ "AccountName": "x", "Email": "x@example.com" })).await.unwrap_err();
    assert_eq!(w.org("ListDelegatedAdministrators", json!({})).await["DelegatedAdministrators"][0]["Id"], team);
    assert_eq!(
        w.org("ListDelegatedServicesForAccount", json!({ "AccountId": team })).await["DelegatedServices"][0]["ServicePrincipal"],
        service
    );
    assert_eq!(&*w.refused("organizations", "CloseAccount", json!({ "AccountId": team })).await.code, "ConstraintViolationException");
    w.org("DeregisterDelegatedAdministrator", register).await;
    w.call(&inside, "organizations", "ListAccounts", json!({})).await.unwrap_err();
    w.org("DisableAWSServiceAccess", json!({ "ServicePrincipal": service })).await;
}

#[tokio::test]
async fn founded_anew() {
    let w = World::new().await;
    w.org("DeleteOrganization", json!({})).await;
    assert_eq!(&*w.refused("organizations", "DescribeOrganization", json!({})).await.code, "AWSOrganizationsNotInUseException");
    w.org("CreateOrganization", json!({ "FeatureSet": "ALL" })).await;
    member(&w, "team@example.com").await;
}

/// Actions are judged by the caller's own policies before anything is told.
#[tokio::test]
async fn permission_first() {
    let w = World::new().await;
    let ann = w.user("ann", Some(&allow("organizations:DescribeOrganization", "*"))).await;
    w.call(&ann, "organizations", "DescribeOrganization", json!({})).await.unwrap();
    let error = w.call(&ann, "organizations", "DescribeAccount", json!({ "AccountId": "999999999999" })).await.unwrap_err();
    assert_eq!(&*error.code, "AccessDeniedException");
    assert!(error.message.contains("organizations:DescribeAccount"), "{}", error.message);
}
