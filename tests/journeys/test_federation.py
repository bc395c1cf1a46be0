"""Signing in with other identity providers: SAML responses and OpenID Connect tokens become role sessions.

A provider's keys are made here and its statements are signed by other people's code (signxml, cryptography). Each
refusal is checked by AWS's code.
"""

import base64
import hashlib
import json
import sys
import pathlib
import time

import botocore.exceptions
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "assets"))

import providers
from conftest import start
from providers import ATTRIBUTES, OidcIssuer, SamlProvider, encoded



def refused(call, code, text=""):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] == code and text in error["Message"], error


class Account:
    """The management account with a SAML provider, a role that trusts it and a bucket."""

    def __init__(self, instance, name):
        self.instance, self.name = instance, name
        self.account = instance.account
        self.iam = instance.client("iam")
        self.idp = SamlProvider(f"https://idp.example.com/{name}")
        self.provider = self.iam.create_saml_provider(
            Name=name, SAMLMetadataDocument=self.idp.metadata(), Tags=[{"Key": "team", "Value": "platform"}]
        )["SAMLProviderArn"]

    def trust(self, *more, conditions=None):
        enter = {"Effect": "Allow", "Principal": {"Federated": self.provider}, "Action": "sts:AssumeRoleWithSAML"}
        enter["Condition"] = conditions or {"StringEquals": {"SAML:aud": providers.SIGN_IN}}
        return json.dumps({"Version": "2012-10-17", "Statement": [enter, *more]})

    def tag_statement(self, *keys):
        """The statement of the tutorial on transitive tags."""
        return {
            "Sid": "IdentifyTransitiveTags",
            "Effect": "Allow",
            "Principal": {"Federated": self.provider},
            "Action": "sts:TagSession",
            "Condition": {"ForAllValues:StringEquals": {"sts:TransitiveTagKeys": list(keys)}},
        }

    def identity_statement(self):
        return {"Effect": "Allow", "Principal": {"Federated": self.provider}, "Action": "sts:SetSourceIdentity"}

    def role(self, name, trust, **more):
        return self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, **more)["Role"]["Arn"]

    def attributes(self, role, session="alice", tags=None, transitive=(), identity=None):
        found = {f"{ATTRIBUTES}/Role": [f"{role},{self.provider}"], f"{ATTRIBUTES}/RoleSessionName": [session]}
        for key, value in (tags or {}).items():
            found[f"{ATTRIBUTES}/PrincipalTag:{key}"] = [value]
        if transitive:
            found[f"{ATTRIBUTES}/TransitiveTagKeys"] = list(transitive)
        if identity:
            found[f"{ATTRIBUTES}/SourceIdentity"] = [identity]
        return found

    def assume(self, role, response, **more):
        # No keys: the client does not sign this call.
        return self.instance.client("sts").assume_role_with_saml(
            RoleArn=role, PrincipalArn=self.provider, SAMLAssertion=response, **more
        )


@pytest.fixture(scope="module")
def red(instance):
    return Account(instance, "red")


def test_saml_providers_are_kept(red):
    shown = red.iam.get_saml_provider(SAMLProviderArn=red.provider)
    assert shown["SAMLMetadataDocument"] == red.idp.metadata() and shown["Tags"] == [{"Key": "team", "Value": "platform"}]
    assert shown["ValidUntil"].year > 2100
    red.iam.tag_saml_provider(SAMLProviderArn=red.provider, Tags=[{"Key": "TEAM", "Value": "x"}, {"Key": "cost", "Value": "1"}])
    red.iam.untag_saml_provider(SAMLProviderArn=red.provider, TagKeys=["cost"])
    assert red.iam.list_saml_provider_tags(SAMLProviderArn=red.provider)["Tags"] == [{"Key": "TEAM", "Value": "x"}]
    assert red.provider in [one["Arn"] for one in red.iam.list_saml_providers()["SAMLProviderList"]]
    document = red.idp.metadata()
    refused(lambda: red.iam.create_saml_provider(Name="red", SAMLMetadataDocument=document), "EntityAlreadyExists")
    refused(lambda: red.iam.create_saml_provider(Name="x", SAMLMetadataDocument="<" + "a" * 1000), "InvalidInput", "Could not parse metadata")
    missing = red.provider + "-not"
    refused(lambda: red.iam.get_saml_provider(SAMLProviderArn=missing), "NoSuchEntity", f"Manifest not found for arn {missing}")
    statement = {"Effect": "Allow", "Principal": {"Federated": missing}, "Action": "sts:AssumeRoleWithSAML"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    refused(lambda: red.role("nobody", trust), "MalformedPolicyDocument", "Invalid principal in policy")
    made = red.iam.create_saml_provider(Name="short-lived", SAMLMetadataDocument=document)["SAMLProviderArn"]
    red.iam.update_saml_provider(SAMLProviderArn=made, SAMLMetadataDocument=SamlProvider().metadata())
    red.iam.delete_saml_provider(SAMLProviderArn=made)
    refused(lambda: red.iam.delete_saml_provider(SAMLProviderArn=made), "NoSuchEntity")


@pytest.fixture(scope="module")
def role(red):
    """A role whose people see what carries their name."""
    trust = red.trust(red.tag_statement("userId"), red.identity_statement())
    arn = red.role("studio", trust, MaxSessionDuration=7200, Tags=[{"Key": "team", "Value": "red"}, {"Key": "userid", "Value": "nobody"}])
    own = {
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:GetObject"],
        "Resource": "arn:aws:s3:::red-homes/${aws:PrincipalTag/userId}/*",
        "Condition": {
            "StringEquals": {"aws:FederatedProvider": red.provider, "saml:sub": "alice@example.com", "saml:sub_type": "persistent"},
            "StringLike": {"aws:userid": "*:alice"},
        },
    }
    chain = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"], "Resource": "*"}
    red.iam.put_role_policy(
        RoleName="studio", PolicyName="own", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [own, chain]})
    )
    red.instance.client("s3").create_bucket(Bucket="red-homes")
    return arn


def test_a_signed_response_becomes_a_session(red, role):
    attributes = red.attributes(role, tags={"userId": "alice"}, transitive=["userId"], identity="alice")
    answer = red.assume(role, red.idp.response(attributes), DurationSeconds=7200)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{red.account}:assumed-role/studio/alice"
    assert answer["Subject"] == "alice@example.com" and answer["SubjectType"] == "persistent"
    assert answer["Issuer"] == red.idp.entity and answer["Audience"] == providers.SIGN_IN
    assert answer["SourceIdentity"] == "alice" and answer["PackedPolicySize"] > 0
    qualifier = hashlib.sha1(f"{red.idp.entity}{red.account}/red".encode()).digest()
    assert base64.b64decode(answer["NameQualifier"]) == qualifier
    assert 7100 < answer["Credentials"]["Expiration"].timestamp() - time.time() <= 7200
    me = red.instance.client("sts", answer["Credentials"]).get_caller_identity()
    assert me["Arn"] == answer["AssumedRoleUser"]["Arn"] and me["UserId"].endswith(":alice")
    s3 = red.instance.client("s3", answer["Credentials"])
    s3.put_object(Bucket="red-homes", Key="alice/notes", Body=b"mine")
    refused(lambda: s3.put_object(Bucket="red-homes", Key="bob/notes", Body=b"his"), "AccessDenied")
    refused(lambda: s3.put_object(Bucket="red-homes", Key="nobody/notes", Body=b"of the role's own tag"), "AccessDenied")
    for other in [{"name": "bob@example.com"}]:
        credentials = red.assume(role, red.idp.response(attributes, **other))["Credentials"]
        s3 = red.instance.client("s3", credentials)
        refused(lambda: s3.put_object(Bucket="red-homes", Key="alice/notes", Body=b"x"), "AccessDenied")


def test_the_command_line_signs_in(red, role):
    response = red.idp.response(red.attributes(role))
    done = red.instance.cli(
        "sts", "assume-role-with-saml", "--role-arn", role, "--principal-arn", red.provider, "--saml-assertion", response
    )
    credentials = json.loads(done.stdout)["Credentials"]
    done = red.instance.cli("sts", "get-caller-identity", credentials=credentials)
    assert json.loads(done.stdout)["Arn"].endswith(":assumed-role/studio/alice")
    done = red.instance.cli(
        "sts", "assume-role-with-saml", "--role-arn", role, "--principal-arn", red.provider, "--saml-assertion", response, check=False
    )
    assert done.returncode != 0 and "(InvalidIdentityToken) when calling the AssumeRoleWithSAML operation" in done.stderr


@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
@pytest.mark.parametrize("algorithm,digest", [("rsa-sha256", "sha256"), ("rsa-sha384", "sha384"), ("rsa-sha512", "sha512")])
def test_signatures_of_another_implementation(red, role, sign, algorithm, digest):
    red.assume(role, red.idp.response(red.attributes(role), sign, algorithm, digest))
    for inclusive in (["xs"], ["saml", "samlp", "xsi", "absent"]):
        red.assume(role, red.idp.response(red.attributes(role), sign, inclusive=inclusive))


def test_elliptic_keys_and_a_key_change(red, role):
    from cryptography.hazmat.primitives.asymmetric import ec

    for curve, algorithm in ((ec.SECP256R1(), "ecdsa-sha256"), (ec.SECP384R1(), "ecdsa-sha384")):
        other = SamlProvider(red.idp.entity, ec.generate_private_key(curve))
        response = lambda: other.response(red.attributes(role), algorithm=algorithm)
        refused(lambda: red.assume(role, response()), "InvalidIdentityToken", "Response signature invalid")
        red.iam.update_saml_provider(SAMLProviderArn=red.provider, SAMLMetadataDocument=other.metadata())
        red.assume(role, response())
    red.iam.update_saml_provider(SAMLProviderArn=red.provider, SAMLMetadataDocument=red.idp.metadata())


def test_responses_that_are_refused(red, role):
    attributes = red.attributes(role)
    sign = lambda **what: red.idp.response(attributes, **what)
    no = lambda response, code, text: refused(lambda: red.assume(role, response), code, text)
    good = red.idp.signed(red.idp.tree(attributes))
    altered = good.replace(">alice<", ">admin<")
    assert altered != good
    no(encoded(altered), "InvalidIdentityToken", "Response signature invalid")
    no(SamlProvider(red.idp.entity).response(attributes), "InvalidIdentityToken", "Response signature invalid")
    no(encoded(red.idp.signed(red.idp.tree(attributes), sign="nothing")), "InvalidIdentityToken", "Response signature invalid")
    no(sign(issued=-301), "ExpiredTokenException", "Response must be used within 5 minutes of issuance")
    no(sign(issued=600), "InvalidIdentityToken", "future")
    no(sign(audience="https://example.com"), "InvalidIdentityToken", "Response does not contain the required audience")
    no(sign(recipient="https://example.com/saml"), "InvalidIdentityToken", "recipient")
    no(sign(issuer="https://other.example.com"), "InvalidIdentityToken", "Issuer not present in specified provider")
    no(base64.b64encode(b"<not-saml/>").decode(), "InvalidIdentityToken", "Invalid SAMLResponse")
    no("%%%%", "InvalidIdentityToken", "Invalid base64 SAMLResponse")
    entity = '<!DOCTYPE x [<!ENTITY who "admin">]>' + good
    no(encoded(entity), "InvalidIdentityToken", "document types are not taken")
    nameless = {key: value for key, value in attributes.items() if not key.endswith("RoleSessionName")}
    no(red.idp.response(nameless), "InvalidIdentityToken", "RoleSessionName is required in AuthnResponse")
    elsewhere = attributes | {f"{ATTRIBUTES}/Role": [f"{role}x,{red.provider}"]}
    no(red.idp.response(elsewhere), "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML")
    swapped = attributes | {f"{ATTRIBUTES}/Role": [f"{red.provider}, {role}"]}
    red.assume(role, red.idp.response(swapped))
    refused(lambda: red.assume(role, sign(), DurationSeconds=7201), "ValidationError", "MaxSessionDuration")
    other = lambda: red.instance.client("sts").assume_role_with_saml(RoleArn=role, PrincipalArn=red.provider + "x", SAMLAssertion=sign())
    refused(other, "InvalidIdentityToken", "Specified provider doesn't exist")


def test_wrapped_signatures_are_refused(red, role):
    good = red.idp.signed(red.idp.tree(red.attributes(role)))
    start, end = good.index("<saml:Assertion"), good.index("</saml:Assertion>") + len("</saml:Assertion>")
    assertion = good[start:end]
    signature = assertion[assertion.index("<ds:Signature") : assertion.index("</ds:Signature>") + len("</ds:Signature>")]
    evil = assertion.replace(signature, "").replace("alice", "admin")
    renamed = evil.replace('ID="_', 'ID="_evil-')
    for wrapped in [
        good[:start] + renamed + good[start:],
        good[:end] + renamed + good[end:],
        good[:start] + evil + good[start:],
        good[:start] + f"<samlp:Extensions>{assertion}</samlp:Extensions>" + renamed + good[end:],
        good[:start] + renamed.replace("</saml:Assertion>", f"{signature}</saml:Assertion>") + good[end:],
        good[:start]
        + renamed.replace(
            "</saml:Assertion>",
            signature.replace("</ds:Signature>", f"<ds:Object>{assertion.replace(signature, '')}</ds:Object></ds:Signature>") + "</saml:Assertion>",
        )
        + good[end:],
    ]:
        assert wrapped != good
        refused(lambda: red.assume(role, encoded(wrapped)), "InvalidIdentityToken")
    # A comment changes nothing that is signed, and nothing that is read.
    tree = red.idp.tree(red.attributes(role), name="alice@example.com.evil.example")
    commented = red.idp.signed(tree).replace("alice@example.com.evil", "alice@example.com<!-- -->.evil")
    assert red.assume(role, encoded(commented))["Subject"] == "alice@example.com.evil.example"


def test_a_response_is_good_for_one_session(red, role):
    response = red.idp.response(red.attributes(role))
    refused(lambda: red.assume(role, response, DurationSeconds=7201), "ValidationError")
    red.assume(role, response)
    refused(lambda: red.assume(role, response), "InvalidIdentityToken", "already been used")


def test_a_used_response_stays_used_after_a_restart(own_instance):
    blue = Account(own_instance, "blue")
    role = blue.role("r", blue.trust())
    response = blue.idp.response(blue.attributes(role))
    blue.assume(role, response)
    own_instance.kill()
    own_instance.restart()
    refused(lambda: blue.assume(role, response), "InvalidIdentityToken", "already been used")


def test_tags_need_the_statement_of_the_trust_policy(red):
    """J18: without IdentifyTransitiveTags, an assertion with tags is rejected."""
    role = red.role("untagged", red.trust())
    tagged = lambda keys: red.idp.response(red.attributes(role, tags={"userId": "alice", "team": "red"}, transitive=keys))
    red.assume(role, red.idp.response(red.attributes(role)))
    refused(lambda: red.assume(role, tagged(["userId"])), "AccessDenied", "Not authorized to perform sts:TagSession")
    red.iam.update_assume_role_policy(RoleName="untagged", PolicyDocument=red.trust(red.tag_statement("userId")))
    red.assume(role, tagged(["userId"]))
    red.assume(role, tagged([]))
    refused(lambda: red.assume(role, tagged(["userId", "team"])), "AccessDenied", "Not authorized to perform sts:TagSession")
    identity = red.idp.response(red.attributes(role, identity="alice"))
    refused(lambda: red.assume(role, identity), "AccessDenied", "Not authorized to perform sts:SetSourceIdentity")
    lost = red.idp.response(red.attributes(role, tags={"userId": "alice"}, transitive=["team"]))
    refused(lambda: red.assume(role, lost), "InvalidIdentityToken", "must be included in the requested tags")


def test_conditions_on_what_the_provider_says(red):
    role = red.role("conditional", red.trust())
    said = {"urn:oid:1.3.6.1.4.1.5923.1.1.1.1": ["staff", "member"], "urn:oid:0.9.2342.19200300.100.1.1": ["alice"]}
    response = lambda: red.idp.response(red.attributes(role) | said)
    good = {
        "StringEquals": {
            "saml:aud": providers.SIGN_IN,
            "SAML:iss": red.idp.entity,
            "saml:SUB": "alice@example.com",
            "saml:sub_type": "persistent",
            "saml:doc": f"{red.account}/red",
            "saml:uid": "alice",
            "sts:RoleSessionName": "alice",
        },
        "ForAnyValue:StringEquals": {"saml:edupersonaffiliation": "staff"},
    }
    set_to = lambda conditions: red.iam.update_assume_role_policy(
        RoleName="conditional", PolicyDocument=red.trust(conditions=conditions)
    )
    set_to(good)
    red.assume(role, response())
    for key in good["StringEquals"]:
        set_to(good | {"StringEquals": good["StringEquals"] | {key: "other"}})
        refused(lambda: red.assume(role, response()), "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML")
    set_to(good | {"ForAnyValue:StringEquals": {"saml:edupersonaffiliation": "faculty"}})
    refused(lambda: red.assume(role, response()), "AccessDenied")


def test_chained_roles_keep_tags_and_source_identity(red, role):
    """Transitive tags and the source identity go on to the next role and cannot be changed."""
    principal = {"AWS": role}
    statements = [{"Effect": "Allow", "Principal": principal, "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]}]
    next_role = red.role("next", json.dumps({"Version": "2012-10-17", "Statement": statements}), MaxSessionDuration=7200)
    home = {
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::red-homes/${aws:PrincipalTag/userId}/*",
        "Condition": {"StringEquals": {"aws:SourceIdentity": "alice"}, "Null": {"aws:PrincipalTag/team": "true", "aws:FederatedProvider": "true"}},
    }
    red.iam.put_role_policy(RoleName="next", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [home]}))
    attributes = red.attributes(role, tags={"userId": "alice", "team": "red"}, transitive=["userId"], identity="alice")
    first = red.assume(role, red.idp.response(attributes))["Credentials"]
    sts = red.instance.client("sts", first)
    assume = lambda **more: sts.assume_role(RoleArn=next_role, RoleSessionName="second", **more)
    second = assume()
    assert second["SourceIdentity"] == "alice"
    red.instance.client("s3", second["Credentials"]).put_object(Bucket="red-homes", Key="alice/chained", Body=b"x")
    refused(lambda: assume(SourceIdentity="bob"), "AccessDenied")
    refused(lambda: assume(Tags=[{"Key": "USERID", "Value": "bob"}]), "ValidationError")
    refused(lambda: assume(DurationSeconds=3601), "ValidationError", "1 hour session limit for roles assumed by role chaining")
    statements[0]["Action"] = ["sts:AssumeRole", "sts:TagSession"]
    red.iam.update_assume_role_policy(RoleName="next", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    refused(assume, "AccessDenied", "sts:SetSourceIdentity")


def test_session_policies_and_other_accounts(red, role):
    nothing = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:*", "Resource": "*"}]})
    attributes = red.attributes(role, tags={"userId": "alice"}, transitive=["userId"])
    credentials = red.assume(role, red.idp.response(attributes), Policy=nothing)["Credentials"]
    s3 = red.instance.client("s3", credentials)
    refused(lambda: s3.put_object(Bucket="red-homes", Key="alice/x", Body=b""), "AccessDenied", "no session policy allows")
    refused(lambda: red.assume(role, red.idp.response(attributes), Policy="{"), "MalformedPolicyDocument")
    foreign = role.replace(red.account, "999999999999")
    response = red.idp.response(red.attributes(foreign))
    refused(lambda: red.assume(foreign, response), "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML")
    gone = role.replace("studio", "gone")
    refused(lambda: red.assume(gone, red.idp.response(red.attributes(gone))), "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML")


# OpenID Connect


@pytest.fixture(scope="module")
def instance():
    """A server whose operator lets it ask issuers on this machine."""
    running = start("--egress", "localhost,127.0.0.1")
    yield running
    assert running.stop() == 0


@pytest.fixture
def issuer(tmp_path):
    running = OidcIssuer(tmp_path, path="/realms/red")
    yield running
    running.close()


class Realm:
    def __init__(self, instance, issuer, role, **more):
        self.instance, self.issuer = instance, issuer
        self.iam = instance.client("iam")
        settings = {"ThumbprintList": [issuer.thumbprint], "ClientIDList": ["tenantry-app"]} | more
        self.provider = self.iam.create_open_id_connect_provider(Url=issuer.url, **settings)["OpenIDConnectProviderArn"]
        self.name = role
        self.role = self.iam.create_role(RoleName=role, AssumeRolePolicyDocument=self.trust())["Role"]["Arn"]

    def trust(self, *more, **conditions):
        enter = {"Effect": "Allow", "Principal": {"Federated": self.provider}, "Action": "sts:AssumeRoleWithWebIdentity"}
        enter["Condition"] = conditions or {
            "StringEquals": {f"{self.issuer.name}:aud": "tenantry-app"},
            "StringLike": {f"{self.issuer.name}:sub": "job:red:*"},
        }
        return json.dumps({"Version": "2012-10-17", "Statement": [enter, *more]})

    def assume(self, token, **more):
        return self.instance.client("sts").assume_role_with_web_identity(
            RoleArn=self.role, RoleSessionName="job", WebIdentityToken=token, **more
        )


def test_oidc_providers_are_kept(instance, issuer):
    realm = Realm(instance, issuer, "kept", Tags=[{"Key": "a", "Value": "b"}])
    iam, arn = realm.iam, realm.provider
    assert arn == f"arn:aws:iam::{instance.account}:oidc-provider/{issuer.name}"
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="second")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="tenantry-app")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["A" * 40])
    shown = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert shown["Url"] == issuer.name and shown["ClientIDList"] == ["second"] and shown["ThumbprintList"] == ["a" * 40]
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["a"])
    assert iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    assert {"Arn": arn} in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    refused(lambda: iam.create_open_id_connect_provider(Url=issuer.url), "EntityAlreadyExists")
    refused(lambda: iam.create_open_id_connect_provider(Url="http://idp.example.com"), "ValidationError")
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    refused(lambda: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn), "NoSuchEntity", arn)
    refused(lambda: realm.assume(issuer.token()), "InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {issuer.url}")


def test_a_token_becomes_a_session(instance, issuer):
    realm = Realm(instance, issuer, "jobs")
    answer = realm.assume(issuer.token(), DurationSeconds=900)
    assert answer["SubjectFromWebIdentityToken"] == "job:red:train" and answer["Audience"] == "tenantry-app"
    assert answer["Provider"] == issuer.url
    assert answer["AssumedRoleUser"]["Arn"].endswith(":assumed-role/jobs/job")
    for algorithm in ("RS384", "RS512", "PS256", "ES256", "ES384"):
        realm.assume(issuer.token(algorithm))
    assert len(issuer.asked) == 2, "discovery and keys, once"
    condition = {"StringEquals": {"aws:FederatedProvider": realm.provider, f"{issuer.name}:sub": "job:red:train"}}
    policy = {"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*", "Condition": condition}
    realm.iam.put_role_policy(RoleName="jobs", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [policy]}))
    instance.client("iam", answer["Credentials"]).list_roles()
    other = realm.assume(issuer.token(sub="job:red:other"))["Credentials"]
    refused(lambda: instance.client("iam", other).list_roles(), "AccessDenied")
    # The command line takes the token from a file, as in a pod.
    done = instance.cli(
        "sts", "assume-role-with-web-identity", "--role-arn", realm.role, "--role-session-name", "cli", "--web-identity-token", issuer.token()
    )
    assert json.loads(done.stdout)["AssumedRoleUser"]["Arn"].endswith("/cli")


def test_tokens_that_are_refused(instance, issuer, tmp_path):
    realm = Realm(instance, issuer, "strict")
    now = int(time.time())
    no = lambda token, code, text="": refused(lambda: realm.assume(token), code, text)
    no(issuer.token(exp=now - 10), "ExpiredTokenException", "Token expired: current date/time")
    no(issuer.token(aud="other-app"), "InvalidIdentityToken", "Incorrect token audience")
    no(issuer.token(azp="other-app"), "InvalidIdentityToken", "Incorrect token audience")
    no(issuer.token(iat=now + 600), "InvalidIdentityToken")
    no(issuer.token(nbf=now + 600), "InvalidIdentityToken")
    for claim in ("sub", "aud", "exp", "iat"):
        no(issuer.token(**{claim: None}), "InvalidIdentityToken", f"Missing a required claim: {claim}")
    for algorithm in ("none", "HS256"):
        header = {"alg": algorithm}
        no(issuer.token("RS256", header=header), "InvalidIdentityToken")
    no(issuer.token("none"), "InvalidIdentityToken")
    no("no-token-at-all", "InvalidIdentityToken", "The ID Token provided is not a valid JWT")
    stranger = OidcIssuer(tmp_path)
    no(issuer.token(key=stranger.rsa), "InvalidIdentityToken")
    no(stranger.token(), "InvalidIdentityToken", "No OpenIDConnect provider found in your account for")
    stranger.close()
    no(issuer.token(sub="job:blue:train"), "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    head, claims, made = issuer.token().split(".")
    changed = providers.b64url(json.dumps(issuer.claims(sub="job:red:admin")).encode())
    no(f"{head}.{changed}.{made}", "InvalidIdentityToken")
    realm.assume(issuer.token(aud=["other", "tenantry-app"]))
    realm.assume(issuer.token(azp="tenantry-app", aud="other"))


def test_new_keys_of_an_issuer(instance, issuer):
    from cryptography.hazmat.primitives.asymmetric import rsa

    realm = Realm(instance, issuer, "rotating")
    realm.assume(issuer.token())
    issuer.rsa, issuer.names["rsa"] = rsa.generate_private_key(65537, 2048), "rsa-2"
    realm.assume(issuer.token())
    assert len(issuer.asked) == 4
    # Keys that nobody has make the instance ask a few times and then no more.
    for attempt in range(8):
        token = issuer.token(header={"kid": f"unknown-{attempt}"})
        refused(lambda: realm.assume(token), "InvalidIdentityToken")
    assert len(issuer.asked) == 10
    realm.assume(issuer.token())


def test_issuers_that_cannot_be_used(instance, tmp_path):
    def realm(name, change=lambda issuer: None, **more):
        issuer = OidcIssuer(tmp_path)
        change(issuer)
        return Realm(instance, issuer, name, **more)

    def no(realm, code, text=""):
        refused(lambda: realm.assume(realm.issuer.token()), code, text)
        realm.issuer.close()

    thumbprint = "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"
    no(realm("unnamed", ThumbprintList=[]), "InvalidIdentityToken", thumbprint)
    no(realm("misnamed", ThumbprintList=["0" * 40]), "InvalidIdentityToken", thumbprint)
    key = "Couldn't retrieve verification key from your identity provider"
    discovery = "/.well-known/openid-configuration"
    other = lambda issuer: {"issuer": "https://other.example.com", "jwks_uri": f"{issuer.url}/keys"}
    put = lambda path, status, body: lambda issuer: issuer.documents.update({path: (status, body(issuer))})
    no(realm("elsewhere", put(discovery, 302, lambda issuer: b"/moved")), "InvalidIdentityToken", key)
    no(realm("missing", put("/keys", 404, lambda issuer: b"")), "InvalidIdentityToken", key)
    no(realm("other", put(discovery, 200, lambda issuer: json.dumps(other(issuer)).encode())), "InvalidIdentityToken", key)
    no(realm("huge", put("/keys", 200, lambda issuer: b" " * 300_000 + b'{"keys":[]}')), "InvalidIdentityToken", key)
    no(realm("garbage", put("/keys", 200, lambda issuer: b"no json")), "InvalidIdentityToken", key)
    inside = lambda issuer: json.dumps({"issuer": issuer.url, "jwks_uri": "https://169.254.169.254/keys"}).encode()
    no(realm("inside", put(discovery, 200, inside)), "InvalidIdentityToken", key)
    plain = lambda issuer: json.dumps({"issuer": issuer.url, "jwks_uri": issuer.url.replace("https", "http") + "/keys"}).encode()
    no(realm("plain", put(discovery, 200, plain)), "InvalidIdentityToken", key)
    down = realm("down")
    down.issuer.close()
    refused(lambda: down.assume(down.issuer.token()), "IDPCommunicationError")


def test_loopback_is_the_operators(own_instance, tmp_path):
    """Nobody who may make a provider learns what listens beside the server."""
    issuer = OidcIssuer(tmp_path)
    realm = Realm(own_instance, issuer, "beside")
    answers = []
    for _ in range(2):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            realm.assume(issuer.token())
        answers.append(caught.value.response["Error"])
        # Open the first time, closed the second.
        issuer.close()
    assert answers[0] == answers[1] and answers[0]["Code"] == "InvalidIdentityToken", answers


def test_tags_and_source_identity_of_a_token(instance, issuer):
    realm = Realm(instance, issuer, "tagged")
    tags = {"principal_tags": {"userId": ["alice"]}, "transitive_tag_keys": ["userId"]}
    token = lambda: issuer.token(**{"https://aws.amazon.com/tags": tags, "https://aws.amazon.com/source_identity": "alice"})
    statement = lambda action, **more: {"Effect": "Allow", "Principal": {"Federated": realm.provider}, "Action": action, **more}
    put = lambda *more: realm.iam.update_assume_role_policy(RoleName="tagged", PolicyDocument=realm.trust(*more))
    refused(lambda: realm.assume(token()), "AccessDenied", "Not authorized to perform sts:TagSession")
    named = {"ForAllValues:StringEquals": {"sts:TransitiveTagKeys": ["userId"]}, "StringEquals": {"aws:RequestTag/userId": "alice"}}
    put(statement("sts:TagSession", Condition=named))
    refused(lambda: realm.assume(token()), "AccessDenied", "Not authorized to perform sts:SetSourceIdentity")
    put(statement("sts:TagSession", Condition=named), statement("sts:SetSourceIdentity", Condition={"StringEquals": {"sts:SourceIdentity": "alice"}}))
    assert realm.assume(token())["SourceIdentity"] == "alice"
    tags["principal_tags"]["userId"] = ["bob"]
    refused(lambda: realm.assume(token()), "AccessDenied", "Not authorized to perform sts:TagSession")
