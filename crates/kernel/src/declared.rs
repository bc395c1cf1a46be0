//! Whether what a call asks policies for is what its row declares.
//!
//! The rows are facts that documentation, validation of policies and tests go by: resource types, condition
//! keys, dependent actions. So in debug builds, and with them in every test, a call whose checks are not what
//! its row says fails. Release builds do not look. What this cannot see is a declared key that is never set.
//!
//! Source of the facts: "Actions, resources, and condition keys for AWS services", Service Authorization Reference.

use crate::{
    access::{Check, Checks},
    operation::Access,
};

/// The ARN formats of resource types, as the reference writes them: service, type, format.
pub const ARN_FORMATS: &[(&str, &str, &str)] = &[
    ("cloudtrail", "trail", "arn:${Partition}:cloudtrail:${Region}:${Account}:trail/${TrailName}"),
    ("iam", "group", "arn:${Partition}:iam::${Account}:group/${GroupNameWithPath}"),
    ("iam", "instance-profile", "arn:${Partition}:iam::${Account}:instance-profile/${InstanceProfileNameWithPath}"),
    ("iam", "mfa", "arn:${Partition}:iam::${Account}:mfa/${MfaTokenIdWithPath}"),
    ("iam", "oidc-provider", "arn:${Partition}:iam::${Account}:oidc-provider/${OidcProviderName}"),
    ("iam", "policy", "arn:${Partition}:iam::${Account}:policy/${PolicyNameWithPath}"),
    ("iam", "role", "arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}"),
    ("iam", "saml-provider", "arn:${Partition}:iam::${Account}:saml-provider/${SamlProviderName}"),
    ("iam", "server-certificate", "arn:${Partition}:iam::${Account}:server-certificate/${CertificateNameWithPath}"),
    ("iam", "user", "arn:${Partition}:iam::${Account}:user/${UserNameWithPath}"),
    ("iam", "access-report", "arn:${Partition}:iam::${Account}:access-report/${EntityPath}"),
    ("logs", "log-group", "arn:${Partition}:logs:${Region}:${Account}:log-group:${LogGroupName}"),
    ("logs", "log-stream", "arn:${Partition}:logs:${Region}:${Account}:log-group:${LogGroupName}:log-stream:${LogStreamName}"),
    ("organizations", "account", "arn:${Partition}:organizations::${Account}:account/o-${OrganizationId}/${AccountId}"),
    ("organizations", "awspolicy", "arn:${Partition}:organizations::aws:policy/${PolicyType}/p-${PolicyId}"),
    ("organizations", "organization", "arn:${Partition}:organizations::${Account}:organization/o-${OrganizationId}"),
    ("organizations", "organizationalunit", "arn:${Partition}:organizations::${Account}:ou/o-${OrganizationId}/ou-${OrganizationalUnitId}"),
    ("organizations", "policy", "arn:${Partition}:organizations::${Account}:policy/o-${OrganizationId}/${PolicyType}/p-${PolicyId}"),
    (
        "organizations",
        "resourcepolicy",
        "arn:${Partition}:organizations::${Account}:resourcepolicy/o-${OrganizationId}/rp-${ResourcePolicyId}",
    ),
    ("organizations", "root", "arn:${Partition}:organizations::${Account}:root/o-${OrganizationId}/r-${RootId}"),
    ("s3", "bucket", "arn:${Partition}:s3:::${BucketName}"),
    ("s3", "object", "arn:${Partition}:s3:::${BucketName}/${ObjectName}"),
    ("sagemaker", "action", "arn:${Partition}:sagemaker:${Region}:${Account}:action/${ActionName}"),
    ("sagemaker", "app", "arn:${Partition}:sagemaker:${Region}:${Account}:app/${DomainId}/${UserProfileName}/${AppType}/${AppName}"),
    ("sagemaker", "app-image-config", "arn:${Partition}:sagemaker:${Region}:${Account}:app-image-config/${AppImageConfigName}"),
    ("sagemaker", "artifact", "arn:${Partition}:sagemaker:${Region}:${Account}:artifact/${HashOfArtifactSource}"),
    ("sagemaker", "code-repository", "arn:${Partition}:sagemaker:${Region}:${Account}:code-repository/${CodeRepositoryName}"),
    ("sagemaker", "context", "arn:${Partition}:sagemaker:${Region}:${Account}:context/${ContextName}"),
    ("sagemaker", "domain", "arn:${Partition}:sagemaker:${Region}:${Account}:domain/${DomainId}"),
    ("sagemaker", "endpoint", "arn:${Partition}:sagemaker:${Region}:${Account}:endpoint/${EndpointName}"),
    ("sagemaker", "endpoint-config", "arn:${Partition}:sagemaker:${Region}:${Account}:endpoint-config/${EndpointConfigName}"),
    ("sagemaker", "experiment", "arn:${Partition}:sagemaker:${Region}:${Account}:experiment/${ExperimentName}"),
    ("sagemaker", "experiment-trial", "arn:${Partition}:sagemaker:${Region}:${Account}:experiment-trial/${TrialName}"),
    (
        "sagemaker",
        "experiment-trial-component",
        "arn:${Partition}:sagemaker:${Region}:${Account}:experiment-trial-component/${TrialComponentName}",
    ),
    ("sagemaker", "image", "arn:${Partition}:sagemaker:${Region}:${Account}:image/${ImageName}"),
    ("sagemaker", "image-version", "arn:${Partition}:sagemaker:${Region}:${Account}:image-version/${ImageName}/${Version}"),
    ("sagemaker", "inference-component", "arn:${Partition}:sagemaker:${Region}:${Account}:inference-component/${InferenceComponentName}"),
    ("sagemaker", "model", "arn:${Partition}:sagemaker:${Region}:${Account}:model/${ModelName}"),
    ("sagemaker", "model-package", "arn:${Partition}:sagemaker:${Region}:${Account}:model-package/${ModelPackageName}"),
    ("sagemaker", "model-package-group", "arn:${Partition}:sagemaker:${Region}:${Account}:model-package-group/${ModelPackageGroupName}"),
    ("sagemaker", "notebook-instance", "arn:${Partition}:sagemaker:${Region}:${Account}:notebook-instance/${NotebookInstanceName}"),
    (
        "sagemaker",
        "notebook-instance-lifecycle-config",
        "arn:${Partition}:sagemaker:${Region}:${Account}:notebook-instance-lifecycle-config/${NotebookInstanceLifecycleConfigName}",
    ),
    ("sagemaker", "pipeline", "arn:${Partition}:sagemaker:${Region}:${Account}:pipeline/${PipelineName}"),
    (
        "sagemaker",
        "pipeline-execution",
        "arn:${Partition}:sagemaker:${Region}:${Account}:pipeline/${PipelineName}/execution/${RandomString}",
    ),
    ("sagemaker", "processing-job", "arn:${Partition}:sagemaker:${Region}:${Account}:processing-job/${ProcessingJobName}"),
    (
        "sagemaker",
        "hyper-parameter-tuning-job",
        "arn:${Partition}:sagemaker:${Region}:${Account}:hyper-parameter-tuning-job/${HyperParameterTuningJobName}",
    ),
    ("sagemaker", "space", "arn:${Partition}:sagemaker:${Region}:${Account}:space/${DomainId}/${SpaceName}"),
    (
        "sagemaker",
        "studio-lifecycle-config",
        "arn:${Partition}:sagemaker:${Region}:${Account}:studio-lifecycle-config/${StudioLifecycleConfigName}",
    ),
    ("sagemaker", "training-job", "arn:${Partition}:sagemaker:${Region}:${Account}:training-job/${TrainingJobName}"),
    ("sagemaker", "training-plan", "arn:${Partition}:sagemaker:${Region}:${Account}:training-plan/${TrainingPlanName}"),
    ("sagemaker", "transform-job", "arn:${Partition}:sagemaker:${Region}:${Account}:transform-job/${TransformJobName}"),
    ("sagemaker", "user-profile", "arn:${Partition}:sagemaker:${Region}:${Account}:user-profile/${DomainId}/${UserProfileName}"),
    ("servicequotas", "quota", "arn:${Partition}:servicequotas:${Region}:${Account}:${ServiceCode}/${QuotaCode}"),
    ("sts", "federated-user", "arn:${Partition}:sts::${Account}:federated-user/${FederatedUserName}"),
    ("sts", "role", "arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}"),
    ("sts", "root-user", "arn:${Partition}:iam::${Account}:root"),
    ("sts", "self-session", "arn:${Partition}:sts::${Account}:self"),
    ("sts", "user", "arn:${Partition}:iam::${Account}:user/${UserNameWithPath}"),
];

/// What is wrong with the checks of a call, where something is.
pub(crate) fn undeclared(access: &Access, checks: &Checks) -> Option<String> {
    let Access::Check { action, alternatives, resources, keys, dependent } = access else { return None };
    checks.iter().find_map(|check| {
        if check.action != *action && !alternatives.contains(&check.action) {
            let known = dependent.contains(&check.action);
            return (!known).then(|| format!("asks for {}, which its row does not declare", check.action));
        }
        let key = check.keys.iter().map(|(name, _)| name).find(|name| !of_the_resource(name) && !keys.iter().any(|key| is(key, name)));
        key.map(|key| format!("sets {key}, which its row does not declare")).or_else(|| misfit(check, resources))
    })
}

/// Keys of the resource's tags: every resource with tags has them.
fn of_the_resource(name: &str) -> bool {
    name.split_once(':').is_some_and(|(_, rest)| rest.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("ResourceTag/")))
}

/// Whether `name` is the key that the reference writes as `key`: `aws:RequestTag/${TagKey}`, `s3:ExistingObjectTag/<key>`.
fn is(key: &str, name: &str) -> bool {
    match key.find(['$', '<']) {
        Some(end) => name.get(..end).is_some_and(|start| start.eq_ignore_ascii_case(&key[..end])),
        None => key.eq_ignore_ascii_case(name),
    }
}

/// A resource that has the format of none of the row's types. Actions without a type may name what AWS names in its
/// refusals: `iam:ListUsers` a path.
fn misfit(check: &Check, types: &[&str]) -> Option<String> {
    if types == ["*"] {
        return None;
    }
    let arn = check.resource.as_ref()?.as_str();
    let service = check.action.split(':').next().unwrap_or_default();
    let fits = ARN_FORMATS.iter().filter(|(of, name, _)| *of == service && types.contains(name)).any(|(_, _, format)| fits(format, arn));
    (!fits).then(|| format!("names {arn}, which is none of the row's types {}", types.join(", ")))
}

/// Whether an ARN has a format: every `${…}` stands for at least one character, or for none before a colon.
fn fits(format: &str, arn: &str) -> bool {
    let Some(start) = format.find("${") else { return format == arn };
    let Some(rest) = arn.strip_prefix(&format[..start]) else { return false };
    let after = format[start..].find('}').map_or("", |end| &format[start + end + 1..]);
    if after.is_empty() {
        return !rest.is_empty();
    }
    let literal = &after[..after.find("${").unwrap_or(after.len())];
    let least = usize::from(!literal.starts_with(':'));
    let starts = rest.match_indices(literal).map(|(at, _)| at).filter(|at| *at >= least);
    starts.into_iter().any(|at| fits(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use tenantry_core::Arn;

    use super::*;

    const ROW: Access = Access::check_with("sagemaker:CreateModel", &["model"], &["sagemaker:VpcSubnets", "aws:RequestTag/${TagKey}"])
        .and(&["iam:PassRole"]);

    fn model() -> Check {
        Check::on("sagemaker:CreateModel", Arn::new("sagemaker", "us-east-1", "111122223333", "model/m"))
    }

    #[test]
    fn what_is_declared_may_be_asked_for() {
        let role = Arn::new("iam", "", "111122223333", "role/path/r");
        let check = model().key("sagemaker:vpcsubnets", "s").key("aws:RequestTag/Team", "a").key("sagemaker:ResourceTag/Team", "a");
        assert_eq!(undeclared(&ROW, &Checks::from(check).and(Check::pass_role(role, "sagemaker.amazonaws.com"))), None);
        assert_eq!(undeclared(&ROW, &Check::any("sagemaker:CreateModel").into()), None, "the call names none");
    }

    #[test]
    fn what_is_not_declared_may_not() {
        let says = |check: Check| undeclared(&ROW, &Checks::from(model()).and(check)).unwrap();
        assert_eq!(says(Check::any("sagemaker:AddTags")), "asks for sagemaker:AddTags, which its row does not declare");
        assert_eq!(says(model().key("sagemaker:VpcSubnet", "s")), "sets sagemaker:VpcSubnet, which its row does not declare");
        let endpoint = Arn::new("sagemaker", "us-east-1", "111122223333", "endpoint/e");
        assert!(
            says(Check::on("sagemaker:CreateModel", endpoint)).starts_with("names arn:aws:sagemaker:us-east-1:111122223333:endpoint/e")
        );
    }

    #[test]
    fn formats() {
        let group = "arn:${Partition}:logs:${Region}:${Account}:log-group:${LogGroupName}";
        assert!(fits(group, "arn:aws:logs:us-east-1:111122223333:log-group:/aws/sagemaker/TrainingJobs:*"));
        assert!(!fits(group, "arn:aws:logs:us-east-1:111122223333:destination:x"));
        let object = "arn:${Partition}:s3:::${BucketName}/${ObjectName}";
        assert!(fits(object, "arn:aws:s3:::bucket/a/b"));
        assert!(!fits(object, "arn:aws:s3:::bucket"));
        assert!(!fits(object, "arn:aws:s3:::bucket/"));
        let execution = "arn:${Partition}:sagemaker:${Region}:${Account}:pipeline/${PipelineName}/execution/${RandomString}";
        assert!(fits(execution, "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p/execution/e"));
        assert!(!fits(execution, "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p"));
    }
}
