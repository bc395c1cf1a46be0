//! Attribute-based access for teams: each policy lets members of a team use the endpoints whose
//! names begin with the team's, where principal and resource carry the same tag.

use serde_json::{Value, json};

pub(crate) const ACCOUNT: &str = "111111111111";
pub(crate) const ROLE: &str = "arn:aws:iam::111111111111:role/teams/Scientist";
pub(crate) const ACTIONS: [&str; 3] = ["sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint", "sagemaker:UpdateEndpoint"];
const REQUESTS: usize = 64;

/// What is asked.
pub(crate) struct Asked {
    pub action: &'static str,
    pub resource: String,
    pub principal_team: String,
    pub resource_team: String,
}

/// Policies and requests, every other one granted.
pub(crate) struct Scene {
    pub size: usize,
    pub requests: Vec<Asked>,
}

impl Scene {
    pub(crate) fn new(size: usize) -> Self {
        let asked = |at: usize| {
            let team = at * 37 % size;
            Asked {
                action: ACTIONS[at % ACTIONS.len()],
                resource: format!("{}model-{at}", prefix(team)),
                principal_team: format!("team-{team}"),
                resource_team: if at.is_multiple_of(2) { format!("team-{team}") } else { "somebody else".to_owned() },
            }
        };
        Self { size, requests: (0..REQUESTS).map(asked).collect() }
    }

    /// The documents.
    pub(crate) fn policies(&self) -> Vec<Value> {
        let document = |team| {
            json!({"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow",
                "Action": ACTIONS,
                "Resource": format!("{}*", prefix(team)),
                "Condition": {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}},
            }]})
        };
        (0..self.size).map(document).collect()
    }
}

pub(crate) fn prefix(team: usize) -> String {
    format!("arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/team-{team}-")
}
