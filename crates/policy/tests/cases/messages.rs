//! AWS's sentences of refusal.

use tenantry_policy::{Cause, Decision, Outcome};

#[test]
fn every_cause() {
    let who = "arn:aws:sts::111111111111:assumed-role/R/S";
    let say = |outcome: Outcome, cause: Cause| {
        let decision = Decision { outcome, cause, statement: None };
        decision.message(who, "s3:GetObject", Some("arn:aws:s3:::b/k"))
    };
    let head = format!("User: {who} is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/k");
    for (cause, implicit, explicit) in [
        (Cause::Identity, "no identity-based policy allows", "an identity-based policy"),
        (Cause::Resource, "no resource-based policy allows", "a resource-based policy"),
        (Cause::Boundary, "no permissions boundary allows", "a permissions boundary"),
        (Cause::Session, "no session policy allows", "a session policy"),
        (Cause::Endpoint, "no VPC endpoint policy allows", "a VPC endpoint policy"),
        (Cause::ServiceControl, "no service control policy allows", "a service control policy"),
        (Cause::ResourceControl, "no resource control policy allows", "a resource control policy"),
        (Cause::Trust, "no role trust policy allows", "the role trust policy"),
    ] {
        assert_eq!(say(Outcome::ImplicitDeny, cause), format!("{head} because {implicit} the s3:GetObject action"));
        assert_eq!(say(Outcome::ExplicitDeny, cause), format!("{head} with an explicit deny in {explicit}"));
    }
}

#[test]
fn optional_parts() {
    let decision = Decision { outcome: Outcome::ExplicitDeny, cause: Cause::ServiceControl, statement: None };
    assert_eq!(
        decision.message("arn:aws:iam::111111111111:root", "s3:ListAllMyBuckets", None),
        "User: arn:aws:iam::111111111111:root is not authorized to perform: s3:ListAllMyBuckets with an explicit deny in a service control policy"
    );
    let arn = "arn:aws:organizations::111111111111:policy/o-abc/service_control_policy/p-abc";
    assert!(decision.message_with("u", "s3:ListAllMyBuckets", None, Some(arn)).ends_with(&format!("in a service control policy: {arn}")));
    let implicit = Decision { outcome: Outcome::ImplicitDeny, ..decision };
    assert!(implicit.message_with("u", "a:B", None, Some(arn)).ends_with("because no service control policy allows the a:B action"));
}
