//! Which service a request is for, from how it was addressed.
//!
//! A host name of AWS says it outright, and then the credential scope must agree. An endpoint URL
//! says nothing, and then the credential scope decides (it is signed, so it cannot be swapped), with
//! `X-Amz-Target` telling apart services that sign with one name.

use tenantry_core::Region;

/// What a host name says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Address {
    /// The endpoint prefix: `api.sagemaker`, `sts`, `s3`.
    pub endpoint: Option<String>,
    /// The region in the name.
    pub region: Option<Region>,
    /// The bucket of a virtual-hosted S3 name.
    pub bucket: Option<String>,
}

/// The regions that exist. A credential scope with another is refused.
pub(crate) const REGIONS: [&str; 36] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "us-gov-west-1",
];

/// Whether a region of this name exists.
#[must_use]
pub fn is_region(name: &str) -> bool {
    REGIONS.contains(&name)
}

/// Reads a `Host` header, with or without a port.
pub(crate) fn read_host(host: &str) -> Address {
    let host = match host.strip_prefix('[') {
        Some(_) => return Address::default(),
        None => host.rsplit_once(':').map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }),
    }
    .to_ascii_lowercase();
    if let Some(bucket) = host.strip_suffix(".localhost") {
        return Address {
            endpoint: Some("s3".into()),
            region: None,
            bucket: Some(bucket.strip_suffix(".s3").unwrap_or(bucket).to_owned()),
        };
    }
    let Some(name) = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn")) else {
        return Address::default();
    };
    let mut labels: Vec<&str> = name.split('.').collect();
    let mut region = None;
    if let Some(last) = labels.last()
        && is_region(last)
    {
        region = labels.pop().map(Region::from);
    }
    if labels.last() == Some(&"dualstack") {
        labels.pop();
    }
    let Some(last) = labels.pop() else { return Address { region, ..Address::default() } };
    // `s3-us-west-2` is the older form of `s3.us-west-2`.
    let dashed = last.strip_prefix("s3-").filter(|r| is_region(r));
    if last == "s3" || last == "s3-fips" || dashed.is_some() {
        let bucket = (!labels.is_empty()).then(|| labels.join("."));
        return Address { endpoint: Some("s3".into()), region: region.or_else(|| dashed.map(Region::from)), bucket };
    }
    labels.push(last.strip_suffix("-fips").unwrap_or(last));
    Address { endpoint: Some(labels.join(".")), region, bucket: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(endpoint: &str, region: &str, bucket: &str) -> Address {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Address { endpoint: some(endpoint), region: some(region).map(Region::from), bucket: some(bucket) }
    }

    #[test]
    fn hosts() {
        for (host, endpoint, region, bucket) in [
            ("sts.us-east-1.amazonaws.com", "sts", "us-east-1", ""),
            ("sts.amazonaws.com:443", "sts", "", ""),
            ("api.sagemaker.eu-west-1.amazonaws.com", "api.sagemaker", "eu-west-1", ""),
            ("runtime.sagemaker.eu-west-1.amazonaws.com", "runtime.sagemaker", "eu-west-1", ""),
            ("S3.amazonaws.com", "s3", "", ""),
            ("s3.us-west-2.amazonaws.com", "s3", "us-west-2", ""),
            ("s3-us-west-2.amazonaws.com", "s3", "us-west-2", ""),
            ("my.dotted.bucket.s3.us-west-2.amazonaws.com", "s3", "us-west-2", "my.dotted.bucket"),
            ("b.s3.dualstack.us-west-2.amazonaws.com", "s3", "us-west-2", "b"),
            ("b.s3.amazonaws.com", "s3", "", "b"),
            ("bucket.localhost:4566", "s3", "", "bucket"),
            ("127.0.0.1:4566", "", "", ""),
            ("[::1]:4566", "", "", ""),
            ("localhost", "", "", ""),
            ("sts-fips.us-east-1.amazonaws.com", "sts", "us-east-1", ""),
        ] {
            assert_eq!(read_host(host), address(endpoint, region, bucket), "{host}");
        }
    }
}
