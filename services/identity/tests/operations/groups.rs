use serde_json::json;

use crate::world::{World, allow};

#[tokio::test]
async fn members_have_the_groups_permissions() {
    let w = World::new().await;
    let ann = w.user("ann", None).await;
    w.iam("CreateGroup", json!({ "GroupName": "Readers", "Path": "/g/" })).await;
    assert_eq!(&*w.refused("iam", "CreateGroup", json!({ "GroupName": "readers" })).await.code, "EntityAlreadyExists");
    w.iam("PutGroupPolicy", json!({ "GroupName": "Readers", "PolicyName": "p", "PolicyDocument": allow("iam:ListUsers", "*") })).await;
    w.call(&ann, "iam", "ListUsers", json!({})).await.unwrap_err();
    w.iam("AddUserToGroup", json!({ "GroupName": "Readers", "UserName": "ann" })).await;
    w.iam("AddUserToGroup", json!({ "GroupName": "Readers", "UserName": "ann" })).await;
    w.call(&ann, "iam", "ListUsers", json!({})).await.unwrap();
    w.iam("UpdateGroup", json!({ "GroupName": "Readers", "NewGroupName": "Lookers" })).await;
    w.call(&ann, "iam", "ListUsers", json!({})).await.expect("membership survives the new name");
    let got = w.iam("GetGroup", json!({ "GroupName": "Lookers" })).await;
    assert_eq!((got["Group"]["Arn"].clone(), got["Users"][0]["UserName"].clone()), (json!(w.arn("group/g/Lookers")), json!("ann")));
    assert_eq!(w.iam("ListGroups", json!({ "PathPrefix": "/g/" })).await["Groups"].as_array().unwrap().len(), 1);
    assert_eq!(w.iam("ListGroupPolicies", json!({ "GroupName": "Lookers" })).await["PolicyNames"], json!(["p"]));
    w.iam("GetGroupPolicy", json!({ "GroupName": "Lookers", "PolicyName": "p" })).await;
    w.iam("AttachGroupPolicy", json!({ "GroupName": "Lookers", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess" })).await;
    assert_eq!(
        w.iam("ListAttachedGroupPolicies", json!({ "GroupName": "Lookers" })).await["AttachedPolicies"].as_array().unwrap().len(),
        1
    );
    for (remedy, input) in [
        ("RemoveUserFromGroup", json!({ "GroupName": "Lookers", "UserName": "ann" })),
        ("DetachGroupPolicy", json!({ "GroupName": "Lookers", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess" })),
        ("DeleteGroupPolicy", json!({ "GroupName": "Lookers", "PolicyName": "p" })),
    ] {
        assert_eq!(&*w.refused("iam", "DeleteGroup", json!({ "GroupName": "Lookers" })).await.code, "DeleteConflict");
        w.iam(remedy, input).await;
    }
    w.call(&ann, "iam", "ListUsers", json!({})).await.unwrap_err();
    w.iam("DeleteGroup", json!({ "GroupName": "Lookers" })).await;
    assert_eq!(
        w.refused("iam", "GetGroup", json!({ "GroupName": "Lookers" })).await.message,
        "The group with name Lookers cannot be found."
    );
}

#[tokio::test]
async fn ten_groups_and_one_more() {
    let w = World::new().await;
    w.user("ann", None).await;
    for n in 0..=10 {
        w.iam("CreateGroup", json!({ "GroupName": format!("g{n}") })).await;
        let input = json!({ "GroupName": format!("g{n}"), "UserName": "ann" });
        if n < 10 {
            w.iam("AddUserToGroup", input).await;
        } else {
            assert_eq!(w.refused("iam", "AddUserToGroup", input).await.message, "Cannot exceed quota for GroupsPerUser: 10");
        }
    }
}
