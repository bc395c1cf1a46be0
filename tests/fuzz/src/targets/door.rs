//! The platform as a whole: signed requests to every service, browsers' forms, and raw bytes on a connection.
//!
//! Held: every request is answered, in time, in AWS's form, and never with 500: nothing is wrong inside, only with what came.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tenantry_front::{Authority, Egress, Front};
use tenantry_kernel::Arrival;
use tenantry_sigv4::{Signer, sha256_hex, sign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    MEMORY,
    http::Plain,
    seeds,
    world::{ACCESS_KEY, REGION, SECRET, START, World},
};
use crate::{
    engine::{Run, Target},
    mutate::{Form, Grammar},
};

pub(super) fn targets() -> Vec<Target> {
    let target = |name, what, tokens, renew, make: fn() -> Run, seeds| Target {
        name,
        what,
        grammar: Grammar { head: false, form: Form::Http, tokens, longest: 32 << 10 },
        memory: MEMORY,
        renew,
        make,
        seeds,
    };
    vec![
        target(
            "request",
            "signed requests to any operation of any service: routed, authorized, handled, answered",
            TOKENS,
            4000,
            requests,
            request_seeds,
        ),
        target("form", "browsers' uploads: multipart forms, signed policies and their conditions", FORM, 4000, forms, form_seeds),
        target("connection", "raw bytes on a connection, to the listener, the proxy and the kernel behind", RAW, 4000, connections, || {
            seeds(&[
                "GET / HTTP/1.1\r\nHost: sts.amazonaws.com\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: sts.amazonaws.com\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n1b\r\nAction=GetCallerIdentity&V=\r\n0\r\n\r\nGET /b/k HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
                "CONNECT s3.us-east-1.amazonaws.com:443 HTTP/1.1\r\nHost: s3.us-east-1.amazonaws.com:443\r\n\r\n\x16\x03\x01\x00\x05hello",
                "GET http://bucket.s3.amazonaws.com/key HTTP/1.1\r\nHost: other\r\nConnection: keep-alive\r\n\r\n",
                "GET http://example.invalid/ HTTP/1.1\r\nHost: example.invalid\r\nUpgrade: websocket\r\n\r\n",
            ])
        }),
    ]
}

const TOKENS: &[&str] = &[
    "host: s3.us-east-1.amazonaws.com",
    "host: iam.amazonaws.com",
    "host: sts.us-east-1.amazonaws.com",
    "host: logs.us-east-1.amazonaws.com",
    "host: api.sagemaker.us-east-1.amazonaws.com",
    "host: fuzz-bucket.s3.amazonaws.com",
    "x-amz-target: SageMaker.CreateTrainingJob",
    "x-amz-target: SageMaker.CreatePipeline",
    "x-amz-target: SageMaker.Search",
    "x-amz-target: Logs_20140328.FilterLogEvents",
    "x-amz-target: SageMaker.UpdateTrialComponent",
    "x-amz-target: AWSOrganizationsV20161128.CreatePolicy",
    "Action=SimulateCustomPolicy",
    "Action=AssumeRole",
    "Action=PutRolePolicy",
    "Action=CreateOpenIDConnectProvider",
    "Action=UploadSSHPublicKey",
    "Action=UploadSigningCertificate",
    "Action=CreateSAMLProvider",
    "/fuzz-bucket/key",
    "/fuzz-bucket",
    "?uploads",
    "?tagging",
    "?policy",
    "?lifecycle",
    "?versions",
    "?acl",
    "?cors",
    "range: bytes=0-1",
    "if-match: *",
    "x-amz-copy-source: /fuzz-bucket/key",
    "x-amz-checksum-crc32: AAAAAA==",
    "x-amz-content-sha256: UNSIGNED-PAYLOAD",
    "\"NextToken\":\"",
    "\"filterPattern\":\"{ $.level = \\\"ERROR\\\" && $.n > 1 }\"",
    "[a, b=x*, ...]",
    "?ERROR -debug",
    "%ERROR.*%",
    "\"MaxResults\":1",
    "arn:aws:iam::123456789012:role/worker",
    "arn:aws:sagemaker:us-east-1:123456789012:",
    "Version=2010-05-08",
    "&Marker=",
    "partNumber=1&uploadId=",
    "\u{202e}",
];
const FORM: &[&str] = &[
    "--b",
    "\r\n",
    "--",
    "Content-Disposition: form-data; name=\"",
    "\"; filename=\"",
    "key",
    "policy",
    "x-amz-signature",
    "success_action_status",
    "success_action_redirect",
    "tagging",
    "acl",
    "${filename}",
    "[\"starts-with\", \"$key\", \"\"]",
    "[\"content-length-range\", 0, 10]",
    "{\"bucket\":\"fuzz-bucket\"}",
    "\"expiration\":\"2026-11-23T00:00:00Z\"",
    "\"conditions\":[",
    "boundary=",
    "boundary=\"",
    "Content-Type: application/octet-stream",
    "x-amz-meta-a",
    "201",
    "http://example.com/?a",
];
const RAW: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "Content-Length: ",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Expect: 100-continue",
    "Connection: close",
    "Upgrade: h2c",
    "CONNECT ",
    "OPTIONS * ",
    "Host: ",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    ";ext=\"",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\u{0}",
    " ",
    "\t",
    "http://",
    "[::1]:80",
    "169.254.170.2",
    "s3.amazonaws.com:443",
    "localhost:0",
    "x-amz-target: SageMaker.CreateModel",
    "Authorization: AWS4-HMAC-SHA256 ",
];

fn arrival() -> Arrival {
    Arrival { peer: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))), secure: true, ..Arrival::default() }
}

/// What a host name signs for.
fn service_of(plain: &Plain) -> &'static str {
    let host = plain.header("host").unwrap_or_default();
    let known = [
        ("iam.", "iam"),
        ("sts.", "sts"),
        ("logs.", "logs"),
        ("sagemaker", "sagemaker"),
        ("organizations.", "organizations"),
        ("cloudtrail.", "cloudtrail"),
        ("access-analyzer.", "access-analyzer"),
        ("tenantry.", "tenantry"),
    ];
    known.iter().find(|(part, _)| host.contains(part)).map_or("s3", |(_, service)| service)
}

fn requests() -> Run {
    let world = World::new();
    Box::new(move |input| {
        let mut plain = Plain::read(input);
        let presents = plain.header("authorization").is_some() || plain.query.contains("X-Amz-") || plain.query.contains("AWSAccessKeyId");
        if !presents {
            plain.headers.retain(|(name, _)| name != "x-amz-date");
            let claimed = plain.header("x-amz-content-sha256").map(str::to_owned);
            plain.headers.retain(|(name, _)| name != "x-amz-content-sha256");
            let payload = claimed.unwrap_or_else(|| sha256_hex(&plain.body));
            let signer = Signer { access_key: ACCESS_KEY, secret: SECRET, token: None, region: REGION, service: service_of(&plain) };
            let added = plain.with_parts(|parts| sign(parts, &payload, &signer, START));
            plain.headers.extend(added);
        }
        answer(&world, &plain);
    })
}

fn answer(world: &World, plain: &Plain) {
    let Some(request) = plain.request() else { return };
    world.runtime.block_on(async {
        let response = world.kernel.serve(request, arrival()).await;
        let (parts, body) = response.into_parts();
        let body = tenantry_kernel::collect(body, 8 << 20).await.ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
        // 501 and 503 are words of AWS's; 500 says that something is wrong here.
        assert!(parts.status.as_u16() != 500, "answered 500: {text}");
        assert!(parts.status.as_u16() < 400 || body.len() < 256 << 10, "an error of {} bytes", body.len());
        world.kernel.flush_audit().await;
    });
}

fn request_seeds() -> Vec<Vec<u8>> {
    let json = |target: &str, host: &str, body: &str| {
        format!("POST / HTTP/1.1\nhost: {host}.us-east-1.amazonaws.com\ncontent-type: application/x-amz-json-1.1\nx-amz-target: {target}\n\n{body}").into_bytes()
    };
    let sagemaker = |name: &str, body: &str| json(&format!("SageMaker.{name}"), "api.sagemaker", body);
    let mut all = vec![
        sagemaker(
            "CreatePipeline",
            r#"{"PipelineName":"p","ClientRequestToken":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","RoleArn":"arn:aws:iam::123456789012:role/worker","PipelineDefinition":"{\"Version\":\"2020-12-01\",\"Steps\":[{\"Name\":\"a\",\"Type\":\"Training\",\"Arguments\":{}}]}"}"#,
        ),
        sagemaker(
            "StartPipelineExecution",
            r#"{"PipelineName":"pipeline","ClientRequestToken":"zxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","PipelineParameters":[{"Name":"a","Value":"b"}],"SelectiveExecutionConfig":{"SelectedSteps":[{"StepName":"a"}]}}"#,
        ),
        sagemaker(
            "CreateTrainingJob",
            r#"{"TrainingJobName":"j2","RoleArn":"arn:aws:iam::123456789012:role/worker","AlgorithmSpecification":{"TrainingImage":"683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1","TrainingInputMode":"File","MetricDefinitions":[{"Name":"m","Regex":"m=([0-9]+)"}]},"InputDataConfig":[{"ChannelName":"train","DataSource":{"S3DataSource":{"S3DataType":"S3Prefix","S3Uri":"s3://fuzz-bucket/key"}}}],"OutputDataConfig":{"S3OutputPath":"s3://fuzz-bucket/out"},"ResourceConfig":{"InstanceType":"ml.m5.large","InstanceCount":1,"VolumeSizeInGB":1},"StoppingCondition":{"MaxRuntimeInSeconds":60},"VpcConfig":{"SecurityGroupIds":["sg-1"],"Subnets":["subnet-1"]}}"#,
        ),
        sagemaker(
            "Search",
            r#"{"Resource":"ExperimentTrialComponent","SearchExpression":{"Filters":[{"Name":"Parameters.a","Operator":"GreaterThan","Value":"1"}],"NestedFilters":[],"Operator":"And"},"SortBy":"CreationTime","MaxResults":2}"#,
        ),
        sagemaker(
            "ListTrainingJobs",
            r#"{"NameContains":"j","CreationTimeAfter":1.7e9,"SortBy":"Status","SortOrder":"Ascending","MaxResults":1,"NextToken":"x"}"#,
        ),
        sagemaker(
            "UpdateTrialComponent",
            r#"{"TrialComponentName":"component","Parameters":{"a":{"StringValue":"x"}},"ParametersToRemove":["a"],"Status":{"PrimaryStatus":"Completed"},"EndTime":1.8e9}"#,
        ),
        sagemaker(
            "CreateEndpointConfig",
            r#"{"EndpointConfigName":"c2","ProductionVariants":[{"VariantName":"v","ModelName":"model","InitialInstanceCount":1,"InstanceType":"ml.m5.large","InitialVariantWeight":0.5}],"DataCaptureConfig":{"EnableCapture":true,"InitialSamplingPercentage":50,"DestinationS3Uri":"s3://fuzz-bucket/c","CaptureOptions":[{"CaptureMode":"Input"}]},"AsyncInferenceConfig":{"OutputConfig":{"S3OutputPath":"s3://fuzz-bucket/o"}}}"#,
        ),
        sagemaker(
            "CreateModelPackage",
            r#"{"ModelPackageGroupName":"group","ModelApprovalStatus":"Approved","InferenceSpecification":{"Containers":[{"Image":"i","ModelDataUrl":"s3://fuzz-bucket/m"}],"SupportedContentTypes":["a"],"SupportedResponseMIMETypes":["b"]}}"#,
        ),
        sagemaker(
            "AddTags",
            r#"{"ResourceArn":"arn:aws:sagemaker:us-east-1:123456789012:pipeline/pipeline","Tags":[{"Key":"a","Value":"b"}]}"#,
        ),
        sagemaker(
            "CreateDomain",
            r#"{"DomainName":"d","AuthMode":"IAM","DefaultUserSettings":{"ExecutionRole":"arn:aws:iam::123456789012:role/worker"},"SubnetIds":["subnet-1"],"VpcId":"vpc-1"}"#,
        ),
        json(
            "Logs_20140328.FilterLogEvents",
            "logs",
            r#"{"logGroupName":"group","filterPattern":"{ ($.level = \"ERROR\") && ($.n > 1 || $.a[0].b IS NULL) }","limit":3,"startTime":0}"#,
        ),
        json(
            "Logs_20140328.FilterLogEvents",
            "logs",
            r#"{"logGroupName":"group","filterPattern":"[w1=ERROR, w2!=\"a b\", ..., n>=3]","logStreamNamePrefix":"s"}"#,
        ),
        json(
            "Logs_20140328.PutLogEvents",
            "logs",
            r#"{"logGroupName":"group","logStreamName":"stream","logEvents":[{"timestamp":1795348800000,"message":"m"}]}"#,
        ),
        json(
            "Logs_20140328.GetLogEvents",
            "logs",
            r#"{"logGroupName":"group","logStreamName":"stream","nextToken":"f/00000000000000000000000000000000000000000000000000000001","startFromHead":true}"#,
        ),
        json(
            "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
            "cloudtrail",
            r#"{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"CreateModel"}],"StartTime":0}"#,
        ),
        json(
            "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.PutEventSelectors",
            "cloudtrail",
            r#"{"TrailName":"trail","EventSelectors":[{"ReadWriteType":"All","IncludeManagementEvents":true,"DataResources":[{"Type":"AWS::S3::Object","Values":["arn:aws:s3:::fuzz-bucket/"]}]}]}"#,
        ),
        json("AWSOrganizationsV20161128.ListPolicies", "organizations", r#"{"Filter":"SERVICE_CONTROL_POLICY"}"#),
    ];
    let form = |host: &str, body: &str| {
        format!("POST / HTTP/1.1\nhost: {host}.amazonaws.com\ncontent-type: application/x-www-form-urlencoded\n\n{body}").into_bytes()
    };
    let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";
    all.extend([
        form("iam", &format!("Action=PutRolePolicy&Version=2010-05-08&RoleName=worker&PolicyName=p&PolicyDocument={policy}")),
        form("iam", &format!("Action=SimulateCustomPolicy&Version=2010-05-08&PolicyInputList.member.1={policy}&ActionNames.member.1=s3%3AGetObject&ResourceArns.member.1=arn%3Aaws%3As3%3A%3A%3Ab%2Fk&ContextEntries.member.1.ContextKeyName=aws%3ASourceIp&ContextEntries.member.1.ContextKeyType=ip&ContextEntries.member.1.ContextKeyValues.member.1=10.0.0.1")),
        form("iam", "Action=ListUsers&Version=2010-05-08&MaxItems=1&Marker=x&PathPrefix=%2F"),
        form("iam", "Action=CreateUser&Version=2010-05-08&UserName=bob&Path=%2Fa%2F&Tags.member.1.Key=k&Tags.member.1.Value=v&PermissionsBoundary=arn%3Aaws%3Aiam%3A%3A123456789012%3Apolicy%2Fpolicy"),
        form("iam", "Action=CreateOpenIDConnectProvider&Version=2010-05-08&Url=https%3A%2F%2Fidp.example.com&ClientIDList.member.1=app&ThumbprintList.member.1=0000000000000000000000000000000000000000"),
        form("iam", "Action=UploadSSHPublicKey&Version=2010-05-08&UserName=ann&SSHPublicKeyBody=ssh-rsa+AAAAB3NzaC1yc2EAAAADAQABAAAAgQ%3D%3D"),
        form("iam", "Action=UploadSigningCertificate&Version=2010-05-08&UserName=ann&CertificateBody=-----BEGIN+CERTIFICATE-----%0AMIIB%0A-----END+CERTIFICATE-----"),
        form("iam", "Action=EnableMFADevice&Version=2010-05-08&UserName=ann&SerialNumber=arn%3Aaws%3Aiam%3A%3A123456789012%3Amfa%2Fdevice&AuthenticationCode1=123456&AuthenticationCode2=654321"),
        form("sts", "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fworker&RoleSessionName=s&DurationSeconds=900&Tags.member.1.Key=a&Tags.member.1.Value=b&ExternalId=x"),
        form("sts", "Action=GetFederationToken&Version=2011-06-15&Name=n&Policy=%7B%7D"),
        form("sts", "Action=DecodeAuthorizationMessage&Version=2011-06-15&EncodedMessage=AAAA"),
        form("sts", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fworker&RoleSessionName=s&WebIdentityToken=e30.e30.AA"),
    ]);
    let s3 = "host: s3.us-east-1.amazonaws.com";
    all.extend(
        [
            format!("GET /fuzz-bucket/key HTTP/1.1\n{s3}\nrange: bytes=1-2\nif-match: \"x\"\nif-modified-since: Sun, 22 Nov 2026 12:00:00 GMT\n\n"),
            format!("PUT /fuzz-bucket/new HTTP/1.1\n{s3}\nx-amz-meta-a: b\nx-amz-tagging: a=b\nx-amz-checksum-crc32: AAAAAA==\nif-none-match: *\ncontent-md5: XUFAKrxLKna5cZ2REBfFkg==\n\nhello"),
            format!("PUT /fuzz-bucket/copy HTTP/1.1\n{s3}\nx-amz-copy-source: fuzz-bucket/key\nx-amz-copy-source-if-match: *\nx-amz-metadata-directive: REPLACE\n\n"),
            format!("GET /fuzz-bucket?list-type=2&prefix=k&delimiter=%2F&max-keys=1&encoding-type=url&start-after=a HTTP/1.1\n{s3}\n\n"),
            format!("GET /fuzz-bucket?versions&key-marker=a&version-id-marker=null HTTP/1.1\n{s3}\n\n"),
            format!("POST /fuzz-bucket?delete HTTP/1.1\n{s3}\ncontent-md5: x\n\n<Delete><Object><Key>key</Key></Object><Object><Key>b</Key><VersionId>null</VersionId></Object></Delete>"),
            format!("POST /fuzz-bucket/parts?uploads HTTP/1.1\n{s3}\nx-amz-checksum-algorithm: SHA256\n\n"),
            format!("POST /fuzz-bucket/parts?uploadId=x HTTP/1.1\n{s3}\n\n<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag></Part></CompleteMultipartUpload>"),
            format!("PUT /fuzz-bucket?lifecycle HTTP/1.1\n{s3}\n\n<LifecycleConfiguration><Rule><ID>r</ID><Filter><Prefix>p</Prefix></Filter><Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>"),
            format!("PUT /fuzz-bucket?policy HTTP/1.1\n{s3}\n\n{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::fuzz-bucket/*\"}}]}}"),
            "POST /endpoints/endpoint/invocations HTTP/1.1\nhost: runtime.sagemaker.us-east-1.amazonaws.com\ncontent-type: text/csv\nx-amzn-sagemaker-target-variant: v\n\n1,2,3".to_owned(),
            "POST /policy/validation HTTP/1.1\nhost: access-analyzer.us-east-1.amazonaws.com\n\n{\"policyDocument\":\"{\\\"Version\\\":\\\"2012-10-17\\\",\\\"Statement\\\":[]}\",\"policyType\":\"IDENTITY_POLICY\"}".to_owned(),
        ]
        .map(String::into_bytes),
    );
    all
}

fn form_seeds() -> Vec<Vec<u8>> {
    let field = |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let policy = r#"{"expiration":"2026-11-23T00:00:00Z","conditions":[{"bucket":"fuzz-bucket"},["starts-with","$key","up"],{"acl":"private"},["content-length-range",1,100],["eq","$Content-Type","text/plain"],{"success_action_status":"201"},["starts-with","$x-amz-meta-a",""]]}"#;
    let fields = [
        ("key", "up/${filename}"),
        ("acl", "private"),
        ("Content-Type", "text/plain"),
        ("success_action_status", "201"),
        ("x-amz-meta-a", "b"),
        ("policy", policy),
    ];
    let fields: String = fields.iter().map(|(name, value)| field(name, value)).collect();
    let head = "POST / HTTP/1.1\nhost: fuzz-bucket.s3.amazonaws.com\ncontent-type: multipart/form-data; boundary=b\n\n";
    let file =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n";
    let plain =
        [field("key", "k"), field("tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>")].concat();
    vec![format!("{head}{fields}{file}").into_bytes(), format!("{head}{plain}{file}").into_bytes()]
}

/// A form whose field `policy` is plain JSON is sent with that in base64, and signed.
fn forms() -> Run {
    let world = World::new();
    Box::new(move |input| {
        let mut plain = Plain::read(input);
        let body = String::from_utf8_lossy(&plain.body).into_owned();
        let mark = "name=\"policy\"\r\n\r\n";
        if let Some((before, rest)) = body.split_once(mark)
            && let Some((policy, behind)) = rest.split_once("\r\n--")
        {
            let boundary = before.lines().next().unwrap_or("--b").trim_start_matches('-').to_owned();
            let packed = STANDARD.encode(policy);
            let date = START.basic();
            let credential = format!("{ACCESS_KEY}/{}/{REGION}/s3/aws4_request", &date[..8]);
            let mut more = String::new();
            for (name, value) in [
                ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
                ("x-amz-credential", &credential),
                ("x-amz-date", &date),
                ("x-amz-signature", &signature(&packed, &date[..8])),
            ] {
                more += &format!("\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
            }
            plain.body = format!("{before}{mark}{packed}{more}\r\n--{behind}").into_bytes();
        }
        answer(&world, &plain);
    })
}

fn signature(policy: &str, day: &str) -> String {
    use ring::hmac::{HMAC_SHA256, Key, sign};
    let step = |key: &[u8], text: &str| sign(&Key::new(HMAC_SHA256, key), text.as_bytes());
    let mut tag = step(format!("AWS4{SECRET}").as_bytes(), day);
    for part in [REGION, "s3", "aws4_request", policy] {
        tag = step(tag.as_ref(), part);
    }
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn connections() -> Run {
    let world = World::new();
    let authority = Arc::new(Authority::open(&world.dir, Vec::new()).expect("an authority is made"));
    // Nothing leaves: what the proxy is asked for is refused before a name is looked up.
    let front = Front::new(world.kernel.clone(), authority, Egress::Closed);
    Box::new(move |input| {
        let input = input.to_vec();
        world.runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            let served = tokio::spawn(front.clone().serve(server, Some(IpAddr::V4(Ipv4Addr::LOCALHOST))));
            let (mut reader, mut writer) = tokio::io::split(&mut client);
            let write = async {
                // The server may hang up first.
                let _gone = writer.write_all(&input).await;
                let _gone = writer.shutdown().await;
            };
            let mut answer = Vec::new();
            let read = async {
                let _gone = reader.read_to_end(&mut answer).await;
            };
            tokio::join!(write, read);
            drop(client);
            served.await.expect("a connection ends without a panic");
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1."),
                "answered {:?}",
                String::from_utf8_lossy(&answer[..answer.len().min(100)])
            );
            assert!(!answer.windows(13).any(|window| window == b"HTTP/1.1 500 "), "answered 500");
            world.kernel.flush_audit().await;
        });
    })
}
