//! Passwords of users.

use serde_json::{Value, json};
use tenantry_kernel::Caller;

use crate::world::{World, allow, trust_account};

async fn change(w: &World, caller: &Caller, old: &str, new: &str) -> Result<Value, String> {
    let input = json!({ "OldPassword": old, "NewPassword": new });
    w.call(caller, "iam", "ChangePassword", input).await.map_err(|error| format!("{} {}", error.code, error.message))
}

#[tokio::test]
async fn a_password_from_its_making_to_its_end() {
    let w = World::new().await;
    let ann = w.user("ann", Some(&allow("iam:ChangePassword", &w.arn("user/${aws:username}")))).await;
    let name = json!({ "UserName": "ann" });
    let error = w.refused("iam", "GetLoginProfile", name.clone()).await;
    assert_eq!((error.status, error.message.as_str()), (404, "Login Profile for User ann cannot be found."));
    let made = w.iam("CreateLoginProfile", json!({ "UserName": "ann", "Password": "First-pass1", "PasswordResetRequired": true })).await;
    let profile = json!({ "UserName": "ann", "CreateDate": w.kernel.now().secs(), "PasswordResetRequired": true });
    assert_eq!(made["LoginProfile"], profile);
    assert_eq!(w.iam("GetLoginProfile", name.clone()).await["LoginProfile"], profile);
    let error = w.refused("iam", "CreateLoginProfile", json!({ "UserName": "ann", "Password": "Other-pass1" })).await;
    assert_eq!((&*error.code, error.message.as_str()), ("EntityAlreadyExists", "Login Profile for user ann already exists."));

    assert_eq!(change(&w, &ann, "wrong", "Second-pass1").await.unwrap_err(), "AccessDenied The old password was incorrect.");
    change(&w, &ann, "First-pass1", "Second-pass1").await.unwrap();
    assert_eq!(w.iam("GetLoginProfile", name.clone()).await["LoginProfile"]["PasswordResetRequired"], false);
    change(&w, &ann, "First-pass1", "Third-pass1").await.unwrap_err();
    w.iam("UpdateLoginProfile", json!({ "UserName": "ann", "Password": "Reset-pass1", "PasswordResetRequired": true })).await;
    assert_eq!(w.iam("GetLoginProfile", name.clone()).await["LoginProfile"]["PasswordResetRequired"], true);
    change(&w, &ann, "Reset-pass1", "Fourth-pass1").await.unwrap();

    // The password is in no answer and in no event.
    for event in w.kernel.store().events(None, 1000, false).await.unwrap() {
        assert!(!event.json().unwrap().to_string().contains("-pass1"), "the audit trail has a password");
    }
    // A new name changes nothing.
    w.iam("UpdateUser", json!({ "UserName": "ann", "NewUserName": "bea" })).await;
    let bea = w.kernel.caller_of(&w.arn("user/bea")).await.unwrap();
    change(&w, &bea, "Fourth-pass1", "Fifth-pass1").await.unwrap();
    let without_policy = async || w.iam("DeleteUserPolicy", json!({ "UserName": "bea", "PolicyName": "p" })).await;
    without_policy().await;
    let error = w.refused("iam", "DeleteUser", json!({ "UserName": "bea" })).await;
    assert_eq!((&*error.code, error.message.as_str()), ("DeleteConflict", "Cannot delete entity, must delete login profile first."));
    w.iam("PutUserPolicy", json!({ "UserName": "bea", "PolicyName": "p", "PolicyDocument": allow("iam:ChangePassword", "*") })).await;
    w.iam("DeleteLoginProfile", json!({ "UserName": "bea" })).await;
    assert!(change(&w, &bea, "Fifth-pass1", "Sixth-pass1").await.unwrap_err().starts_with("NoSuchEntity "));
    without_policy().await;
    w.iam("DeleteUser", json!({ "UserName": "bea" })).await;
    w.role("R", &trust_account(w.account.as_str())).await;
    w.iam("PutRolePolicy", json!({ "RoleName": "R", "PolicyName": "p", "PolicyDocument": allow("*", "*") })).await;
    let role = w.assume(&w.admin, json!({ "RoleArn": w.arn("role/R"), "RoleSessionName": "s1" })).await.unwrap();
    assert_eq!(change(&w, &role, "x", "y").await.unwrap_err(), "InvalidUserType Only IAM Users can change their own password");
}

#[tokio::test]
async fn what_an_account_asks_of_passwords() {
    let w = World::new().await;
    let error = w.refused("iam", "GetAccountPasswordPolicy", json!({})).await;
    let none = format!("The Password Policy with domain name {} cannot be found.", w.account);
    assert_eq!((error.status, error.message.as_str()), (404, none.as_str()));
    let ann = w.user("ann", Some(&allow("iam:ChangePassword", "*"))).await;
    let create = |password: &str| json!({ "UserName": "ann", "Password": password });
    let error = w.refused("iam", "CreateLoginProfile", create("Short1!")).await;
    assert_eq!((error.status, &*error.code), (400, "PasswordPolicyViolation"));

    w.iam(
        "UpdateAccountPasswordPolicy",
        json!({ "MinimumPasswordLength": 12, "RequireSymbols": true, "PasswordReusePrevention": 2, "MaxPasswordAge": 90, "HardExpiry": true }),
    )
    .await;
    let policy = w.iam("GetAccountPasswordPolicy", json!({})).await["PasswordPolicy"].clone();
    assert_eq!(
        policy,
        json!({ "MinimumPasswordLength": 12, "RequireSymbols": true, "RequireNumbers": false, "RequireUppercaseCharacters": false,
            "RequireLowercaseCharacters": false, "AllowUsersToChangePassword": false, "MaxPasswordAge": 90, "PasswordReusePrevention": 2,
            "HardExpiry": true, "ExpirePasswords": true })
    );
    assert_eq!(w.refused("iam", "CreateLoginProfile", create("too-short")).await.message, "Password should have a minimum length of 12");
    assert_eq!(w.refused("iam", "CreateLoginProfile", create("without symbols")).await.message, "Password should have at least one symbol");
    w.iam("CreateLoginProfile", create("password-number-one")).await;
    // The last two are remembered, the one in force among them.
    let reused = "PasswordPolicyViolation Password should be none of the last 2";
    assert_eq!(change(&w, &ann, "password-number-one", "password-number-one").await.unwrap_err(), reused);
    change(&w, &ann, "password-number-one", "password-number-two").await.unwrap();
    assert_eq!(change(&w, &ann, "password-number-two", "password-number-one").await.unwrap_err(), reused);
    change(&w, &ann, "password-number-two", "password-number-three").await.unwrap();
    change(&w, &ann, "password-number-three", "password-number-one").await.unwrap();
    // After its time only an administrator sets another.
    w.clock.advance_secs(90 * 86_400 - 1);
    change(&w, &ann, "password-number-one", "password-number-four").await.unwrap();
    w.clock.advance_secs(90 * 86_400);
    assert!(change(&w, &ann, "password-number-four", "password-number-five").await.unwrap_err().contains("has expired"));

    w.iam("UpdateAccountPasswordPolicy", json!({})).await;
    assert_eq!(
        w.iam("GetAccountPasswordPolicy", json!({})).await["PasswordPolicy"]["MinimumPasswordLength"],
        6,
        "what is not named is the default"
    );
    w.iam("DeleteAccountPasswordPolicy", json!({})).await;
    assert_eq!(w.refused("iam", "DeleteAccountPasswordPolicy", json!({})).await.message, none);
}

#[tokio::test]
async fn guesses_at_a_password_are_bounded() {
    let w = World::new().await;
    let ann = w.user("ann", Some(&allow("iam:ChangePassword", "*"))).await;
    w.iam("CreateLoginProfile", json!({ "UserName": "ann", "Password": "First-pass1" })).await;
    for _ in 0..5 {
        assert!(change(&w, &ann, "wrong", "Second-pass1").await.unwrap_err().contains("The old password was incorrect"));
    }
    assert!(change(&w, &ann, "First-pass1", "Second-pass1").await.unwrap_err().contains("Try again in 60 seconds"));
    w.clock.advance_secs(60);
    change(&w, &ann, "First-pass1", "Second-pass1").await.unwrap();
}
