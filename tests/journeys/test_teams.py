"""SageMaker for several users and teams: domains, profiles with tags, links by tag, team roles, source identity.

Policies have the form that platform engineers give them: a tag on the profile, compared with the user's name or session tag.
"""

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import REGION
from tenants import denial, policy, refused, script_image
from test_federation import Account

NETWORK = {"VpcId": "vpc-0123456789abcdef0", "SubnetIds": ["subnet-0123456789abcdef0"]}

CREATE_PROFILES = {
    "Sid": "CreateSageMakerStudioUserProfilePolicy",
    "Effect": "Allow",
    "Action": "sagemaker:CreateUserProfile",
    "Resource": "*",
    "Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": ["userId"]}},
}


def link_policy(tag, variable):
    return {
        "Sid": "AmazonSageMakerPresignedUrlPolicy",
        "Effect": "Allow",
        "Action": ["sagemaker:CreatePresignedDomainUrl"],
        "Resource": "*",
        "Condition": {"StringEquals": {f"sagemaker:ResourceTag/{tag}": variable}},
    }


READ_ONLY = [
    {
        "Sid": "AmazonSageMakerListandSearchOnlyPolicy",
        "Effect": "Allow",
        "Action": ["sagemaker:GetSearchSuggestions", "sagemaker:List*"],
        "Resource": "*",
    },
    {
        "Sid": "AmazonSageMakerUIandMetricsOnlyPolicy",
        "Effect": "Allow",
        "Action": ["sagemaker:*App", "sagemaker:Search", "sagemaker:RenderUiTemplate", "sagemaker:BatchGetMetrics"],
        "Resource": "*",
    },
    {
        "Sid": "AmazonSageMakerEC2ReadOnlyPolicy",
        "Effect": "Allow",
        "Action": [
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcEndpoints",
            "ec2:DescribeVpcs",
        ],
        "Resource": "*",
    },
    {"Sid": "AmazonSageMakerIAMReadOnlyPolicy", "Effect": "Allow", "Action": ["iam:ListRoles"], "Resource": "*"},
]

# What the document describes without printing it: a team makes things with its tag and the maker's name, everybody
# of the team looks at them, and only the maker changes them.
TEAM = [
    {
        "Sid": "CreateWithTheTeamsTag",
        "Effect": "Allow",
        "Action": [
            "sagemaker:CreateExperiment",
            "sagemaker:CreateTrial",
            "sagemaker:CreateTrialComponent",
            "sagemaker:CreateModelPackageGroup",
            "sagemaker:CreatePipeline",
            "sagemaker:CreateTrainingJob",
            "sagemaker:CreateProcessingJob",
            "sagemaker:CreateModel",
            "sagemaker:CreateEndpointConfig",
            "sagemaker:CreateEndpoint",
        ],
        "Resource": "*",
        "Condition": {
            "StringEquals": {"aws:RequestTag/team": "${aws:PrincipalTag/team}", "aws:RequestTag/owner": "${aws:SourceIdentity}"}
        },
    },
    {
        # While a thing is made, not later: else whoever may tag takes over what is another's.
        "Sid": "TagWhatIsMade",
        "Effect": "Allow",
        "Action": "sagemaker:AddTags",
        "Resource": "*",
        "Condition": {
            "Null": {"sagemaker:TaggingAction": "false"},
            "StringEquals": {"aws:RequestTag/team": "${aws:PrincipalTag/team}", "aws:RequestTag/owner": "${aws:SourceIdentity}"},
        },
    },
    {
        "Sid": "ReadTheTeams",
        "Effect": "Allow",
        "Action": ["sagemaker:Describe*", "sagemaker:ListTags"],
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}},
    },
    {
        "Sid": "ChangeOnesOwn",
        "Effect": "Allow",
        "Action": ["sagemaker:Update*", "sagemaker:Delete*", "sagemaker:Stop*"],
        "Resource": "*",
        "Condition": {
            "StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}", "aws:ResourceTag/owner": "${aws:SourceIdentity}"}
        },
    },
    {
        "Sid": "TagsStay",
        "Effect": "Deny",
        "Action": "sagemaker:DeleteTags",
        "Resource": "*",
        "Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": ["team", "owner"]}},
    },
]


def tags(**values):
    return [{"Key": key, "Value": value} for key, value in values.items()]


def make_user(instance, name, *statements):
    """An IAM user with one inline policy and a key, as credentials."""
    iam = instance.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"], "SessionToken": None}


def user_arn(instance, name):
    return f"arn:aws:iam::{instance.account}:user/{name}"


def make_team_role(instance, team, *statements):
    """A team's role: SageMaker and the account's own principals may assume it with tags and a source identity."""
    iam = instance.client("iam")
    principals = {"Service": "sagemaker.amazonaws.com", "AWS": f"arn:aws:iam::{instance.account}:root"}
    trust = {"Effect": "Allow", "Principal": principals, "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"]}
    name = f"Team{team.upper()}Role"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    iam.tag_role(RoleName=name, Tags=tags(team=f"team-{team}"))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
    return role


@pytest.fixture(scope="module")
def admin(instance):
    return instance.client("sagemaker")


@pytest.fixture(scope="module")
def roles(instance):
    return {team: make_team_role(instance, team, *READ_ONLY, *TEAM) for team in ("a", "b")}


@pytest.fixture(scope="module")
def domain(instance, admin, roles, tmp_path_factory):
    """Made by the AWS CLI as the document has it."""
    made = json.loads(
        instance.cli(
            "sagemaker", "create-domain", "--domain-name", "teams", "--auth-mode", "IAM",
            "--default-user-settings", json.dumps({"ExecutionRole": roles["a"]}),
            "--subnet-ids", *NETWORK["SubnetIds"], "--vpc-id", NETWORK["VpcId"],
            "--tags", "Key=team,Value=platform", "--app-network-access-type", "VpcOnly",
            "--domain-settings", "ExecutionRoleIdentityConfig=USER_PROFILE_NAME",
        ).stdout
    )
    assert made["Url"] == f"https://{made['DomainId']}.studio.{REGION}.sagemaker.aws"
    in_service(admin, made["DomainId"])
    return made["DomainId"]


def poll(probe, until):
    """The first answer that will do; what settles here does so in moments."""
    import time

    for _ in range(200):
        answer = probe()
        if until(answer):
            return answer
        time.sleep(0.05)
    raise AssertionError(answer)


def in_service(client, domain, profile=None):
    """Waits for a domain or a profile."""
    if profile is None:
        return poll(lambda: client.describe_domain(DomainId=domain), lambda shown: shown["Status"] == "InService")
    probe = lambda: client.describe_user_profile(DomainId=domain, UserProfileName=profile)  # noqa: E731
    return poll(probe, lambda shown: shown["Status"] == "InService")


@pytest.fixture(scope="module")
def profiles(instance, admin, domain, roles):
    """Profiles of alice, bob and carol, made by an administrator whose policy wants the userId tag."""
    passing = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": list(roles.values())}
    tagging = {"Effect": "Allow", "Action": "sagemaker:AddTags", "Resource": "*"}
    keys = make_user(instance, "profile-admin", CREATE_PROFILES, passing, tagging)
    made = {}
    for user, team in [("alice", "a"), ("bob", "a"), ("carol", "b")]:
        answer = instance.cli(
            "sagemaker", "create-user-profile", "--domain-id", domain, "--user-profile-name", user,
            "--tags", f"Key=userId,Value={user}", f"Key=studiouserid,Value={user}", f"Key=team,Value=team-{team}",
            "--user-settings", f"ExecutionRole={roles[team]}",
            credentials=keys | {"SessionToken": ""},
        )
        made[user] = json.loads(answer.stdout)["UserProfileArn"]
        in_service(admin, domain, user)
    return {"keys": keys, "arns": made}


def test_a_domain_with_source_identity(admin, domain):
    shown = admin.describe_domain(DomainId=domain)
    assert shown["DomainSettings"] == {"ExecutionRoleIdentityConfig": "USER_PROFILE_NAME"}
    assert shown["AppNetworkAccessType"] == "VpcOnly" and "HomeEfsFileSystemId" not in shown
    times = [name for name, value in shown.items() if hasattr(value, "isoformat")]
    assert sorted(times) == ["CreationTime", "LastModifiedTime"], "scripts print the rest as JSON"
    assert admin.list_domains()["Domains"][0]["DomainId"] == domain


def test_source_identity_is_turned_on_later(instance, admin, roles):
    made = admin.create_domain(DomainName="later", AuthMode="IAM", DefaultUserSettings={"ExecutionRole": roles["a"]}, **NETWORK)
    later = made["DomainArn"].split("/")[-1]
    assert "DomainSettings" not in in_service(admin, later)
    instance.cli(
        "sagemaker", "update-domain", "--domain-id", later,
        "--domain-settings-for-update", "ExecutionRoleIdentityConfig=USER_PROFILE_NAME",
    )
    assert in_service(admin, later)["DomainSettings"]["ExecutionRoleIdentityConfig"] == "USER_PROFILE_NAME"
    admin.delete_domain(DomainId=later, RetentionPolicy={"HomeEfsFileSystem": "Delete"})
    poll(admin.list_domains, lambda listed: later not in [one["DomainId"] for one in listed["Domains"]])
    error = refused(admin.describe_domain, DomainId=later)
    assert error.response["Error"] == {"Code": "ResourceNotFound", "Message": f"Domain [{made['DomainArn']}] does not exist."}


def test_what_others_hang_on_is_not_deleted(admin, domain, profiles):
    arn = admin.describe_domain(DomainId=domain)["DomainArn"]
    error = refused(admin.delete_domain, DomainId=domain)
    assert error.response["Error"]["Code"] == "ResourceInUse"
    assert error.response["Error"]["Message"] == f"Unable to delete Domain [{arn}] because UserProfile(s) are associated with it."


def test_profiles_are_made_with_a_user_id_only(instance, domain, profiles):
    client = instance.client("sagemaker", profiles["keys"])
    resource = f"arn:aws:sagemaker:{REGION}:{instance.account}:user-profile/{domain}/dave"
    for given in ({}, {"Tags": tags(team="team-a")}, {"Tags": tags(userid="dave")}):
        error = refused(client.create_user_profile, DomainId=domain, UserProfileName="dave", **given)
        wanted = denial("CreateUserProfile", user_arn(instance, "profile-admin"), "sagemaker:CreateUserProfile", resource)
        assert str(error) == wanted, given
    error = refused(client.create_user_profile, DomainId=domain, UserProfileName="dave", Tags=tags(userId="dave"), UserSettings={
        "ExecutionRole": f"arn:aws:iam::{instance.account}:role/Administrators"})
    assert "iam:PassRole on resource" in str(error)
    error = refused(client.describe_user_profile, DomainId=domain, UserProfileName="alice")
    assert error.response["Error"]["Code"] == "AccessDeniedException", "creating is all that the policy allows"


def opened(instance, url):
    """What a browser behind the instance's proxy sees: status and page."""
    environment = instance.environment()
    context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    proxy = urllib.request.ProxyHandler({"https": environment["HTTPS_PROXY"]})
    opener = urllib.request.build_opener(proxy, urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_links_of_iam_users(instance, domain, profiles):
    """A user of IAM gets a link to the profile whose userId is the user's name."""
    keys = make_user(instance, "alice", link_policy("userId", "${aws:username}"))
    answer = instance.cli(
        "sagemaker", "create-presigned-domain-url", "--domain-id", domain, "--user-profile-name", "alice",
        "--expires-in-seconds", "20", credentials=keys | {"SessionToken": ""},
    )
    url = json.loads(answer.stdout)["AuthorizedUrl"]
    assert url.startswith(f"https://{domain}.studio.{REGION}.sagemaker.aws/auth?token=")
    status, page = opened(instance, url)
    assert status == 200 and "User profile: alice" in page and domain in page and "No application runs" in page
    status, page = opened(instance, url)
    assert status == 403 and "Auth token containing insufficient permissions" in page, "a link opens once"
    trail = instance.client("cloudtrail")
    find = lambda name: trail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}])["Events"]  # noqa: E731
    signed_in = [json.loads(event["CloudTrailEvent"]) for event in find("StudioSignIn")]
    assert [event["serviceEventDetails"]["linkRequestedBy"] for event in signed_in] == [user_arn(instance, "alice")]
    asked = json.loads(find("CreatePresignedDomainUrl")[0]["CloudTrailEvent"])
    assert urllib.parse.urlparse(url).query.split("=")[1] not in json.dumps(asked), "the trail lets nobody in"

    client = instance.client("sagemaker", keys)
    for other in ("bob", "nobody"):
        error = refused(client.create_presigned_domain_url, DomainId=domain, UserProfileName=other)
        resource = f"arn:aws:sagemaker:{REGION}:{instance.account}:user-profile/{domain}/{other}"
        wanted = denial("CreatePresignedDomainUrl", user_arn(instance, "alice"), "sagemaker:CreatePresignedDomainUrl", resource)
        assert str(error) == wanted, "who may not look does not learn who is there"
    for seconds in (4, 301):
        error = refused(client.create_presigned_domain_url, DomainId=domain, UserProfileName="alice", ExpiresInSeconds=seconds)
        assert error.response["Error"]["Code"] == "ValidationException"


def test_links_of_federated_users(instance, domain, profiles):
    """What federation does to a session, done by AssumeRole: its tag studiouserid decides."""
    iam = instance.client("iam")
    tagged = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{instance.account}:root"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    untagged = tagged | {"Action": "sts:AssumeRole"}
    statement = link_policy("studiouserid", "${aws:PrincipalTag/studiouserid}")
    for name, trust in (("StudioUsers", tagged), ("NoTags", untagged)):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(statement))
    keys = make_user(instance, "portal", {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*"})
    sts = instance.client("sts", keys)
    role = lambda name: f"arn:aws:iam::{instance.account}:role/{name}"  # noqa: E731
    session = sts.assume_role(RoleArn=role("StudioUsers"), RoleSessionName="bob", Tags=tags(studiouserid="bob"), TransitiveTagKeys=["studiouserid"])
    client = instance.client("sagemaker", session["Credentials"])
    assert "token=" in client.create_presigned_domain_url(DomainId=domain, UserProfileName="bob")["AuthorizedUrl"]
    error = refused(client.create_presigned_domain_url, DomainId=domain, UserProfileName="alice")
    assert error.response["Error"]["Code"] == "AccessDeniedException"
    error = refused(sts.assume_role, RoleArn=role("NoTags"), RoleSessionName="bob", Tags=tags(studiouserid="bob"))
    assert error.response["Error"]["Code"] == "AccessDenied" and "sts:TagSession" in error.response["Error"]["Message"]
    plain = sts.assume_role(RoleArn=role("NoTags"), RoleSessionName="bob")["Credentials"]
    error = refused(instance.client("sagemaker", plain).create_presigned_domain_url, DomainId=domain, UserProfileName="bob")
    assert error.response["Error"]["Code"] == "AccessDeniedException", "no tag is nobody's tag"


def test_links_of_people_who_sign_in_with_saml(instance, domain, profiles):
    """Step by step with the CLI: what the provider says of somebody decides whose Studio opens."""
    company = Account(instance, "company")
    statement = link_policy("studiouserid", "${aws:PrincipalTag/studiouserid}")
    responses = {}
    for name, more in (("FederatedStudioUsers", [company.tag_statement("studiouserid")]), ("FederatedWithoutTags", [])):
        role = company.role(name, company.trust(*more))
        instance.client("iam").put_role_policy(RoleName=name, PolicyName="links", PolicyDocument=policy(statement))
        attributes = company.attributes(role, "bob", tags={"studiouserid": "bob"}, transitive=["studiouserid"])
        responses[name] = (role, company.idp.response(attributes), company.idp.response(company.attributes(role, "bob")))

    def sign_in(role, response):
        words = ("--role-arn", role, "--principal-arn", company.provider, "--saml-assertion", response)
        return instance.cli("sts", "assume-role-with-saml", *words, check=False)

    def link(credentials, profile):
        words = ("--domain-id", domain, "--user-profile-name", profile)
        return instance.cli("sagemaker", "create-presigned-domain-url", *words, credentials=credentials, check=False)

    role, tagged, untagged = responses["FederatedStudioUsers"]
    bob = json.loads(sign_in(role, tagged).stdout)["Credentials"]
    url = json.loads(link(bob, "bob").stdout)["AuthorizedUrl"]
    status, page = opened(instance, url)
    assert status == 200 and "User profile: bob" in page
    user = f"arn:aws:sts::{instance.account}:assumed-role/FederatedStudioUsers/bob"
    other = f"arn:aws:sagemaker:{REGION}:{instance.account}:user-profile/{domain}/alice"
    refusal = link(bob, "alice")
    assert refusal.returncode != 0 and denial("CreatePresignedDomainUrl", user, "sagemaker:CreatePresignedDomainUrl", other) in refusal.stderr
    # Without tags nobody's Studio opens, and without the statement for tags an assertion that brings some is refused.
    plain = json.loads(sign_in(role, untagged).stdout)["Credentials"]
    assert "AccessDeniedException" in link(plain, "bob").stderr
    role, tagged, untagged = responses["FederatedWithoutTags"]
    refusal = sign_in(role, tagged)
    assert refusal.returncode != 0 and "(AccessDenied) when calling the AssumeRoleWithSAML operation" in refusal.stderr
    assert sign_in(role, untagged).returncode == 0


@pytest.fixture(scope="module")
def users(instance, roles):
    """Sessions of the teams' roles by three people, named by their source identity, as the platform's sessions are."""
    keys = make_user(instance, "studio", {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"], "Resource": "*"})
    made = {}
    for user, team in [("alice", "a"), ("bob", "a"), ("carol", "b")]:
        answer = instance.cli(
            "sts", "assume-role", "--role-arn", roles[team], "--role-session-name", "SageMaker", "--source-identity", user,
            credentials=keys | {"SessionToken": ""},
        )
        made[user] = json.loads(answer.stdout)["Credentials"]
    return made


def session_arn(instance, team):
    return f"arn:aws:sts::{instance.account}:assumed-role/Team{team.upper()}Role/SageMaker"


def creations(role):
    """Every artefact that a team makes: how it is made, read and deleted, and its ARN's type and name."""
    named = lambda noun: {f"{noun}Name": f"of-bob-{noun.lower()}"}  # noqa: E731
    stop = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "nothing to do"}}
    definition = json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": [stop]})
    return [
        ("experiment", named("Experiment"), "experiment", {}),
        ("trial_component", named("TrialComponent"), "experiment-trial-component", {}),
        ("model_package_group", named("ModelPackageGroup"), "model-package-group", {}),
        ("pipeline", named("Pipeline"), "pipeline", {"PipelineDefinition": definition, "RoleArn": role, "ClientRequestToken": "t" * 32}),
    ]


def call(client, verb, noun, **arguments):
    return getattr(client, f"{verb}_{noun}")(**arguments)


def operation_name(verb, noun):
    return (verb + "_" + noun).title().replace("_", "")


def test_a_team_makes_things_with_its_own_tag(instance, roles, users):
    bob = instance.client("sagemaker", users["bob"])
    own = tags(team="team-a", owner="bob")
    # Pipelines hand on a role.
    instance.client("iam").put_role_policy(RoleName="TeamARole", PolicyName="pass", PolicyDocument=policy(
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": roles["a"]}))
    for noun, name, of_type, more in creations(roles["a"]):
        resource = f"arn:aws:sagemaker:{REGION}:{instance.account}:{of_type}/{next(iter(name.values()))}"
        for wrong in ({}, {"Tags": tags(team="team-b", owner="bob")}, {"Tags": tags(team="team-a", owner="alice")}, {"Tags": tags(team="team-a")}):
            error = refused(call, client=bob, verb="create", noun=noun, **name, **more, **wrong)
            operation = operation_name("create", noun)
            assert str(error) == denial(operation, session_arn(instance, "a"), f"sagemaker:{operation}", resource), (noun, wrong)
        call(bob, "create", noun, **name, **more, Tags=own)
        assert call(bob, "describe", noun, **name)


def test_a_team_reads_and_the_owner_changes(instance, roles, users, admin):
    alice, bob, carol = (instance.client("sagemaker", users[user]) for user in ("alice", "bob", "carol"))
    for noun, name, of_type, _ in creations(roles["a"]):
        resource = f"arn:aws:sagemaker:{REGION}:{instance.account}:{of_type}/{next(iter(name.values()))}"
        assert call(alice, "describe", noun, **name)
        error = refused(call, client=carol, verb="describe", noun=noun, **name)
        operation = operation_name("describe", noun)
        assert str(error) == denial(operation, session_arn(instance, "b"), f"sagemaker:{operation}", resource), "the other team's"
        verbs = ["delete"] if noun == "model_package_group" else ["update", "delete"]
        for verb in verbs:
            operation = operation_name(verb, noun)
            arguments = name | ({"ClientRequestToken": "d" * 32} if (noun, verb) == ("pipeline", "delete") else {})
            for other, team in ((alice, "a"), (carol, "b")):
                error = refused(call, client=other, verb=verb, noun=noun, **arguments)
                assert str(error) == denial(operation, session_arn(instance, team), f"sagemaker:{operation}", resource), (noun, verb)
            call(bob, verb, noun, **arguments)
    # The owner's tag is not taken over, nor taken off.
    bob.create_experiment(ExperimentName="kept", Tags=tags(team="team-a", owner="bob"))
    arn = bob.describe_experiment(ExperimentName="kept")["ExperimentArn"]
    assert alice.describe_experiment(ExperimentName="kept")["CreatedBy"]["IamIdentity"]["SourceIdentity"] == "bob"
    error = refused(alice.add_tags, ResourceArn=arn, Tags=tags(team="team-a", owner="alice"))
    assert str(error) == denial("AddTags", session_arn(instance, "a"), "sagemaker:AddTags", arn)
    error = refused(alice.delete_tags, ResourceArn=arn, TagKeys=["owner"])
    assert "with an explicit deny in an identity-based policy" in str(error)
    assert [one["ExperimentName"] for one in carol.list_experiments()["ExperimentSummaries"]] == ["kept"], "lists have no resource to be tagged"


def test_the_trail_names_the_user(instance, users):
    """Calls of one role's sessions are told apart by their source identity."""
    bob = instance.client("sagemaker", users["bob"])
    bob.create_experiment(ExperimentName="trailed", Tags=tags(team="team-a", owner="bob"))
    assert bob.describe_experiment(ExperimentName="trailed")["CreatedBy"]["IamIdentity"] == {
        "Arn": session_arn(instance, "a"),
        "PrincipalId": instance.client("sts", users["bob"]).get_caller_identity()["UserId"],
        "SourceIdentity": "bob",
    }
    named = [{"AttributeKey": "EventName", "AttributeValue": "CreateExperiment"}]
    for event in instance.client("cloudtrail").lookup_events(LookupAttributes=named)["Events"]:
        event = json.loads(event["CloudTrailEvent"])
        if event["requestParameters"].get("experimentName") == "trailed":
            break
    assert event["requestParameters"]["experimentName"] == "trailed"
    assert event["userIdentity"]["sessionContext"]["sourceIdentity"] == "bob"


JOB = (
    "import boto3, json, os; boto3.client('sagemaker', 'us-east-1')"
    ".create_experiment(ExperimentName='from-the-job', Tags=json.loads(os.environ['TAGS']))"
)


def test_jobs_carry_the_user_on(instance, roles, users, admin, wait):
    """A job that bob starts acts as bob too: the team's policy lets it make what bears bob's name."""
    bob = instance.client("sagemaker", users["bob"])
    request = {
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.t3.medium", "InstanceCount": 1, "VolumeSizeInGB": 30}},
        "AppSpecification": {"ImageUri": script_image(), "ContainerEntrypoint": ["python3", "-c", JOB]},
        "Environment": {"TAGS": json.dumps(tags(team="team-a", owner="bob"))},
        "Tags": tags(team="team-a", owner="bob"),
    }
    bob.create_processing_job(ProcessingJobName="of-bob", RoleArn=roles["a"], **request)
    described = wait(lambda: bob.describe_processing_job(ProcessingJobName="of-bob"), lambda job: job["ProcessingJobStatus"] in ("Completed", "Failed"))
    assert described["ProcessingJobStatus"] == "Completed", described
    made = admin.describe_experiment(ExperimentName="from-the-job")["CreatedBy"]["IamIdentity"]
    assert made["SourceIdentity"] == "bob" and made["Arn"] == session_arn(instance, "a")

    # A role that does not let SageMaker say for whom is not assumed for bob, and is for nobody in particular.
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = instance.client("iam")
    quiet = iam.create_role(RoleName="Quiet", AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="TeamARole", PolicyName="pass", PolicyDocument=policy(
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": [roles["a"], quiet]}))
    error = refused(bob.create_processing_job, ProcessingJobName="quiet", RoleArn=quiet, **request)
    assert error.response["Error"]["Code"] == "ValidationException" and "Could not assume role" in error.response["Error"]["Message"]
    admin.create_processing_job(ProcessingJobName="quiet", RoleArn=quiet, **request)
    admin.stop_processing_job(ProcessingJobName="quiet")


def test_read_only(instance, domain, profiles, admin):
    """The list and search policy: what begins with List, Search and suggestions, every `*App`; nothing else."""
    keys = make_user(instance, "reader", *READ_ONLY)
    client, reader = instance.client("sagemaker", keys), user_arn(instance, "reader")
    assert len(client.list_user_profiles(DomainIdEquals=domain)["UserProfiles"]) == 3
    assert client.list_domains()["Domains"] and client.list_apps()["Apps"] == [] and client.list_spaces()["Spaces"] == []
    client.list_experiments(), client.list_training_jobs(), client.list_models(), client.list_endpoints(), client.list_pipelines()
    client.search(Resource="Experiment"), client.get_search_suggestions(Resource="Experiment")
    assert instance.client("iam", keys).list_roles()["Roles"]

    app = {"DomainId": domain, "UserProfileName": "alice", "AppType": "JupyterServer", "AppName": "default"}
    client.create_app(**app)
    shown = poll(lambda: client.describe_app(**app), lambda shown: shown["Status"] != "Pending")
    assert shown["Status"] == "Failed" and "applications are not available on this instance yet" in shown["FailureReason"]
    client.delete_app(**app)
    poll(lambda: client.describe_app(**app), lambda shown: shown["Status"] == "Deleted")
    assert [one["Status"] for one in client.list_apps(DomainIdEquals=domain)["Apps"]] == ["Deleted"]

    arn = lambda resource: f"arn:aws:sagemaker:{REGION}:{instance.account}:{resource}"  # noqa: E731
    for operation, arguments, resource in [
        ("DescribeDomain", {"DomainId": domain}, f"domain/{domain}"),
        ("DeleteDomain", {"DomainId": domain}, f"domain/{domain}"),
        ("UpdateDomain", {"DomainId": domain}, f"domain/{domain}"),
        ("CreateUserProfile", {"DomainId": domain, "UserProfileName": "x"}, f"user-profile/{domain}/x"),
        ("DeleteUserProfile", {"DomainId": domain, "UserProfileName": "alice"}, f"user-profile/{domain}/alice"),
        ("CreatePresignedDomainUrl", {"DomainId": domain, "UserProfileName": "alice"}, f"user-profile/{domain}/alice"),
        ("CreateSpace", {"DomainId": domain, "SpaceName": "x"}, f"space/{domain}/x"),
        ("CreateExperiment", {"ExperimentName": "x"}, "experiment/x"),
        ("DescribeExperiment", {"ExperimentName": "x"}, "experiment/x"),
        ("UpdateExperiment", {"ExperimentName": "x"}, "experiment/x"),
        ("DeleteExperiment", {"ExperimentName": "x"}, "experiment/x"),
        ("DeleteModel", {"ModelName": "x"}, "model/x"),
        ("DeleteEndpoint", {"EndpointName": "x"}, "endpoint/x"),
    ]:
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        error = refused(getattr(client, method), **arguments)
        assert str(error) == denial(operation, reader, f"sagemaker:{operation}", arn(resource))
    error = refused(client.create_domain, DomainName="x", AuthMode="IAM", DefaultUserSettings={}, **NETWORK)
    assert "sagemaker:CreateDomain on resource: " + arn("domain/d-") in str(error)


def test_what_is_not_there_is_refused_by_name(admin, roles):
    for member, value in [
        ("KmsKeyId", "alias/studio"),
        ("HomeEfsFileSystemKmsKeyId", "alias/studio"),
        ("DomainSettings", {"DockerSettings": {"EnableDockerAccess": "ENABLED"}}),
    ]:
        error = refused(admin.create_domain, **{"DomainName": "x", "AuthMode": "IAM", "DefaultUserSettings": {}, **NETWORK, member: value})
        assert error.response["Error"]["Code"] == "ValidationException"
        assert (next(iter(value)) if isinstance(value, dict) else member) in error.response["Error"]["Message"]
