"""How the platform acts for a tenant: a session of a role, named and tagged after the tenant."""

import boto3


def for_tenant(role, tenant, duration=900):
    """A boto3 session of the role with the session tag TenantID."""
    answer = boto3.client("sts").assume_role(
        RoleArn=role, RoleSessionName=tenant, DurationSeconds=duration, Tags=[{"Key": "TenantID", "Value": tenant}]
    )
    print("Assumed role ARN:", answer["AssumedRoleUser"]["Arn"])
    given = answer["Credentials"]
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
