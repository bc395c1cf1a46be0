//! From an output [`Value`] to a response. Members that the model does not know are left out, so that nothing of
//! a handler's own state can leak; [`crate::check_output`] tells them in tests.

mod json;
mod rest;
mod xml;

use serde_json::{Map, Value};

use crate::model::{Operation, Protocol};

/// A response without its connection: the kernel adds `Date`, `Content-Length` and the raw body where
/// [`Operation::streaming_output`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case; values hold no control characters.
    pub headers: Vec<(String, String)>,
    /// Empty for raw bodies, which the kernel sends itself.
    pub body: Vec<u8>,
}

impl Encoded {
    pub(crate) fn header(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        // A line end in a value would begin another header.
        let value = if plain { value.to_owned() } else { value.chars().filter(|c| !c.is_control() || *c == '\t').collect() };
        self.headers.push((name.to_owned(), value));
    }
}

/// Encodes a good answer. `output` is an object with the model's member names, or null for none. `extra` headers
/// are appended as they are, except where a member has set the same one.
#[must_use]
pub fn encode(operation: &Operation, output: &Value, request_id: &str, extra: &[(String, String)]) -> Encoded {
    let service = operation.service;
    let nothing = Map::new();
    let members = output.as_object().unwrap_or(&nothing);
    let mut out = match service.protocol {
        Protocol::AwsJson => json::document(operation, members),
        Protocol::AwsQuery => xml::query(operation, members, request_id),
        Protocol::Ec2Query => xml::ec2(operation, members, request_id),
        Protocol::RestJson | Protocol::RestXml => rest::document(operation, members),
    };
    out.header(request_id_header(service.is_s3()), request_id);
    for (name, value) in extra {
        let name = name.to_ascii_lowercase();
        if !out.headers.iter().any(|(given, _)| *given == name) {
            out.header(&name, value);
        }
    }
    out
}

pub(crate) fn request_id_header(s3: bool) -> &'static str {
    if s3 { "x-amz-request-id" } else { "x-amzn-requestid" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service;
    use serde_json::json;

    fn run(name: &str, operation: &str, output: &Value) -> (Encoded, String) {
        let operation = service(name).unwrap().operation(operation).unwrap();
        let out = encode(operation, output, "id", &[("X-Extra".to_owned(), "e".to_owned())]);
        let body = String::from_utf8(out.body.clone()).unwrap();
        (out, body)
    }

    fn header<'e>(out: &'e Encoded, name: &str) -> Option<&'e str> {
        out.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn aws_json() {
        let output = json!({"PipelineArn": "a", "CreationTime": 1_795_356_377.25, "Tags": [], "Secret": "s", "RoleArn": null,
            "CreatedBy": {"DomainId": "d", "Other": 1}});
        let (out, body) = run("sagemaker", "DescribePipeline", &output);
        assert_eq!(body, r#"{"PipelineArn":"a","CreationTime":1795356377.25,"CreatedBy":{"DomainId":"d"}}"#);
        assert_eq!(header(&out, "content-type"), Some("application/x-amz-json-1.1"));
        assert_eq!((header(&out, "x-amzn-requestid"), header(&out, "x-extra")), (Some("id"), Some("e")));
        assert_eq!(run("sagemaker", "ListModels", &json!({"Models": []})).1, r#"{"Models":[]}"#);
        assert_eq!(run("sagemaker", "DeleteModel", &Value::Null).1, "");
        assert_eq!(run("logs", "DescribeLogGroups", &Value::Null).1, "{}");
    }

    #[test]
    fn aws_query() {
        let output = json!({"Role": {"RoleName": "r", "Path": "/", "Arn": "a<b", "CreateDate": 1_795_356_377,
            "Tags": [{"Key": "k", "Value": ""}], "Hidden": 1}});
        let (out, body) = run("iam", "GetRole", &output);
        assert_eq!(
            body,
            "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetRoleResult><Role><Path>/</Path><RoleName>r</RoleName>\
             <Arn>a&lt;b</Arn><CreateDate>2026-11-22T14:06:17Z</CreateDate><Tags><member><Key>k</Key><Value></Value></member></Tags></Role>\
             </GetRoleResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetRoleResponse>"
        );
        assert_eq!(header(&out, "content-type"), Some("text/xml"));
        let (_, body) = run("iam", "DeleteRole", &Value::Null);
        assert_eq!(
            body,
            "<DeleteRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ResponseMetadata><RequestId>id</RequestId>\
             </ResponseMetadata></DeleteRoleResponse>"
        );
        assert!(
            run("iam", "ListRoles", &json!({"Roles": [], "IsTruncated": false}))
                .1
                .contains("<Roles></Roles><IsTruncated>false</IsTruncated>")
        );
        let map = run("iam", "GetAccountSummary", &json!({"SummaryMap": {"Users": 3}})).1;
        assert!(map.contains("<SummaryMap><entry><key>Users</key><value>3</value></entry></SummaryMap>"), "{map}");
    }

    #[test]
    fn ec2_query() {
        let service = crate::load::load(
            r#"{"service":"ec2","metadata":{"protocol":"ec2","endpointPrefix":"ec2","apiVersion":"2016-11-15"},"operations":{
            "DescribeVpcs":{"method":"POST","uri":"/","output":"Out"},"DeleteVpc":{"method":"POST","uri":"/"}},
            "shapes":{"Out":{"type":"structure","members":{"Vpcs":{"shape":"Vpcs","locationName":"vpcSet"}}},
            "Vpcs":{"type":"list","member":{"shape":"Vpc","locationName":"item"}},
            "Vpc":{"type":"structure","members":{"VpcId":{"shape":"S","locationName":"vpcId"},"Default":{"shape":"B","locationName":"isDefault"}}},
            "S":{"type":"string"},"B":{"type":"boolean"}}}"#,
        );
        let output = json!({"Vpcs": [{"VpcId": "vpc-1", "Default": true}]});
        let out = encode(service.operation("DescribeVpcs").unwrap(), &output, "id", &[]);
        assert_eq!(
            String::from_utf8(out.body).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id</requestId>\
             <vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet></DescribeVpcsResponse>"
        );
        let out = encode(service.operation("DeleteVpc").unwrap(), &Value::Null, "id", &[]);
        assert!(String::from_utf8(out.body).unwrap().ends_with("<requestId>id</requestId><return>true</return></DeleteVpcResponse>"));
    }

    #[test]
    fn s3_documents() {
        let output = json!({"Name": "b", "KeyCount": 1, "IsTruncated": false, "CommonPrefixes": [{"Prefix": "p/"}],
            "Contents": [{"Key": "a&b", "LastModified": 1_795_356_377, "ETag": "\"e\"", "Size": 1}, {"Key": "c"}]});
        let (out, body) = run("s3", "ListObjectsV2", &output);
        assert_eq!(
            body,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <IsTruncated>false</IsTruncated><Contents><Key>a&amp;b</Key><LastModified>2026-11-22T14:06:17.000Z</LastModified>\
             <ETag>&quot;e&quot;</ETag><Size>1</Size></Contents><Contents><Key>c</Key></Contents><Name>b</Name>\
             <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes><KeyCount>1</KeyCount></ListBucketResult>"
        );
        assert_eq!((header(&out, "content-type"), header(&out, "x-amz-request-id")), (Some("application/xml"), Some("id")));
        let location = |output: &Value| run("s3", "GetBucketLocation", output).1;
        let prefix = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
        assert_eq!(location(&json!({"LocationConstraint": "eu-west-1"})), format!("{prefix}eu-west-1</LocationConstraint>"));
        assert_eq!(location(&json!({})), format!("{prefix}</LocationConstraint>"));
        let acl = run(
            "s3",
            "GetBucketAcl",
            &json!({"Owner": {"ID": "o"}, "Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": "o"}, "Permission": "READ"}]}),
        )
        .1;
        assert!(acl.contains("<AccessControlPolicy xmlns"), "{acl}");
        assert!(
            acl.contains(
                "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>o</ID></Grantee>"
            ),
            "{acl}"
        );
        let (out, body) = run("s3", "GetBucketPolicy", &json!({"Policy": "{}"}));
        assert_eq!((body.as_str(), header(&out, "content-type")), ("{}", Some("application/json")));
        let (_, body) = run("s3", "GetPublicAccessBlock", &json!({"PublicAccessBlockConfiguration": {"BlockPublicAcls": true}}));
        assert!(body.ends_with("<BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>"), "{body}");
    }

    #[test]
    fn s3_headers() {
        let output = json!({"ETag": "\"e\"", "ContentLength": 5, "ContentType": "text/x", "LastModified": 1_795_356_377,
            "Metadata": {"Owner": "me\r\nX-Bad: 1", "bad name": "x"}, "Body": "aGk="});
        let (out, body) = run("s3", "GetObject", &output);
        assert_eq!(body, "");
        assert_eq!(header(&out, "last-modified"), Some("Sun, 22 Nov 2026 14:06:17 GMT"));
        assert_eq!((header(&out, "etag"), header(&out, "content-type")), (Some("\"e\""), Some("text/x")));
        assert_eq!((header(&out, "content-length"), header(&out, "x-amz-meta-owner")), (Some("5"), Some("meX-Bad: 1")));
        assert_eq!(out.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta")).count(), 1);
        let (out, body) = run("s3", "DeleteObject", &json!({"VersionId": "v", "DeleteMarker": true}));
        assert_eq!((out.status, body.as_str(), header(&out, "x-amz-delete-marker")), (204, "", Some("true")));
    }

    #[test]
    fn rest_json() {
        let (out, body) = run("sagemaker-runtime", "InvokeEndpoint", &json!({"ContentType": "text/csv", "InvokedProductionVariant": "v"}));
        assert_eq!((body.as_str(), header(&out, "content-type")), ("", Some("text/csv")));
        assert_eq!(header(&out, "x-amzn-invoked-production-variant"), Some("v"));
        let (out, body) = run("sagemaker-runtime", "InvokeEndpointAsync", &json!({"InferenceId": "i", "OutputLocation": "s3://o"}));
        assert_eq!((out.status, body.as_str()), (202, r#"{"InferenceId":"i"}"#));
        assert_eq!(header(&out, "x-amzn-sagemaker-outputlocation"), Some("s3://o"));
        let stream = service("sagemaker-runtime").unwrap().operation("InvokeEndpointWithResponseStream").unwrap();
        assert!(stream.streaming_output() && stream.event_stream_output());
    }
}
