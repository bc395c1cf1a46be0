//! Retrying a step ("Retry Policy for Pipeline Steps").
//!
//! Due times are data: the machine says when it wants to be called again and never waits.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_core::Timestamp;

/// Why a step failed, as far as retrying is concerned. A failure that is none of these is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// `Step.SERVICE_FAULT`: the call that starts the step met an internal error.
    ServiceFault,
    /// `Step.THROTTLING`: the call that starts the step was throttled.
    Throttling,
    /// `SageMaker.JOB_INTERNAL_ERROR`: the job ended with InternalServerError.
    JobInternalError,
    /// `SageMaker.CAPACITY_ERROR`: no machine for the job.
    CapacityError,
    /// `SageMaker.RESOURCE_LIMIT`: a quota was reached.
    ResourceLimit,
}

impl FailureKind {
    fn from_type(text: &str) -> Option<Self> {
        Some(match text {
            "Step.SERVICE_FAULT" => Self::ServiceFault,
            "Step.THROTTLING" => Self::Throttling,
            "SageMaker.JOB_INTERNAL_ERROR" => Self::JobInternalError,
            "SageMaker.CAPACITY_ERROR" | "SageMaker.JOB_CAPACITY_ERROR" => Self::CapacityError,
            "SageMaker.RESOURCE_LIMIT" => Self::ResourceLimit,
            _ => return None,
        })
    }
}

impl FailureKind {
    /// From the error that the call starting a step answered: its code and its HTTP status.
    #[must_use]
    pub fn of_call(code: &str, status: u16) -> Option<Self> {
        match code {
            "ThrottlingException" | "Throttling" | "TooManyRequestsException" => Some(Self::Throttling),
            "ResourceLimitExceeded" => Some(Self::ResourceLimit),
            _ if status >= 500 => Some(Self::ServiceFault),
            _ => None,
        }
    }

    /// From the `FailureReason` that a job ended with, which starts with the name of its error.
    #[must_use]
    pub fn of_job(failure_reason: &str) -> Option<Self> {
        match failure_reason.split(':').next().unwrap_or_default() {
            "InternalServerError" => Some(Self::JobInternalError),
            "CapacityError" | "InsufficientCapacityError" => Some(Self::CapacityError),
            "ResourceLimitExceeded" => Some(Self::ResourceLimit),
            _ => None,
        }
    }
}

/// One of a step's `RetryPolicies`.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    kinds: Vec<FailureKind>,
    interval_secs: u32,
    backoff: f64,
    limit: Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Attempts(u32),
    Minutes(u32),
}

impl RetryPolicy {
    /// Reads an element of `RetryPolicies`.
    ///
    /// # Errors
    /// A sentence without period.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("a retry policy must be an object")?;
        if let Some(other) = object
            .keys()
            .find(|key| !matches!(key.as_str(), "ExceptionType" | "IntervalSeconds" | "BackoffRate" | "MaxAttempts" | "ExpireAfterMin"))
        {
            return Err(format!("extraneous key [{other}] is not permitted in [RetryPolicies]"));
        }
        let types = match object.get("ExceptionType") {
            Some(Value::Array(types)) if !types.is_empty() => types.clone(),
            Some(one @ Value::String(_)) => vec![one.clone()],
            _ => return Err("a retry policy needs a list of [ExceptionType]".into()),
        };
        let kinds = types
            .iter()
            .map(|text| {
                text.as_str()
                    .and_then(FailureKind::from_type)
                    .ok_or_else(|| format!("exception type {text} of a retry policy is not supported"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let number = |name: &str, max: u32| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) if number <= max => Ok(Some(number)),
                _ => Err(format!("[{name}] of a retry policy must be a whole number up to {max}, not [{value}]")),
            },
        };
        let backoff = match object.get("BackoffRate") {
            None | Some(Value::Null) => 2.0,
            Some(value) => value
                .as_f64()
                .filter(|rate| *rate >= 1.0)
                .ok_or_else(|| format!("[BackoffRate] of a retry policy must be at least 1, not [{value}]"))?,
        };
        let limit = match (number("MaxAttempts", 20)?, number("ExpireAfterMin", 14_400)?) {
            (Some(_), Some(_)) => return Err("a retry policy can have only one of [MaxAttempts] and [ExpireAfterMin]".into()),
            (None, Some(minutes)) => Limit::Minutes(minutes),
            (attempts, None) => Limit::Attempts(attempts.unwrap_or(5)),
        };
        Ok(Self { kinds, interval_secs: number("IntervalSeconds", 43_200)?.unwrap_or(1), backoff, limit })
    }

    /// What applies without a policy: faults and throttling of the starting call are always retried.
    fn standard() -> Self {
        Self { kinds: vec![FailureKind::ServiceFault, FailureKind::Throttling], interval_secs: 1, backoff: 2.0, limit: Limit::Attempts(5) }
    }

    /// When to retry after `retries` retries under this policy, of a step that first began at `start`.
    fn due(&self, retries: u32, start: Timestamp, now: Timestamp) -> Option<Timestamp> {
        /// No retry waits longer than the longest `ExpireAfterMin`, ten days.
        const LONGEST_MILLIS: f64 = 864_000_000.0;
        let more = match self.limit {
            Limit::Attempts(max) => retries < max,
            Limit::Minutes(minutes) => now < start.plus_secs(i64::from(minutes) * 60),
        };
        let factor = self.backoff.powi(i32::try_from(retries).unwrap_or(i32::MAX));
        let delay = (f64::from(self.interval_secs) * 1000.0 * factor).min(LONGEST_MILLIS);
        more.then(|| now.plus_millis(delay as i64))
    }
}

/// The due time of the next attempt of a step that failed, and the index of the policy that grants it;
/// `used` counts the retries each policy has granted so far, the standard one last.
#[must_use]
pub fn next_attempt(
    policies: &[RetryPolicy],
    used: &[u32],
    kind: FailureKind,
    start: Timestamp,
    now: Timestamp,
) -> Option<(Timestamp, usize)> {
    let (index, policy) = match policies.iter().enumerate().find(|(_, policy)| policy.kinds.contains(&kind)) {
        Some((index, policy)) => (index, policy.clone()),
        None => (policies.len(), RetryPolicy::standard()),
    };
    if !policy.kinds.contains(&kind) {
        return None;
    }
    policy.due(used.get(index).copied().unwrap_or(0), start, now).map(|due| (due, index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn intervals_grow_until_attempts_are_used_up() {
        let policies = [RetryPolicy::parse(
            &json!({"ExceptionType": ["SageMaker.CAPACITY_ERROR"], "IntervalSeconds": 10, "BackoffRate": 3, "MaxAttempts": 2}),
        )
        .unwrap()];
        let next = |used: u32| next_attempt(&policies, &[used], FailureKind::CapacityError, at(0), at(100));
        assert_eq!(next(0), Some((at(110), 0)));
        assert_eq!(next(1), Some((at(130), 0)));
        assert_eq!(next(2), None);
    }

    #[test]
    fn time_can_be_the_limit() {
        let policies = [RetryPolicy::parse(&json!({"ExceptionType": ["Step.THROTTLING"], "ExpireAfterMin": 1})).unwrap()];
        let next = |now: i64| next_attempt(&policies, &[0], FailureKind::Throttling, at(0), at(now));
        assert_eq!(next(59), Some((at(60), 0)));
        assert_eq!(next(60), None);
    }

    #[test]
    fn faults_are_retried_without_a_policy_and_job_errors_are_not() {
        assert_eq!(next_attempt(&[], &[], FailureKind::ServiceFault, at(0), at(0)), Some((at(1), 0)));
        assert_eq!(next_attempt(&[], &[5], FailureKind::ServiceFault, at(0), at(0)), None);
        assert_eq!(next_attempt(&[], &[], FailureKind::JobInternalError, at(0), at(0)), None);
        let never = [RetryPolicy::parse(&json!({"ExceptionType": ["Step.SERVICE_FAULT"], "MaxAttempts": 0})).unwrap()];
        assert_eq!(next_attempt(&never, &[], FailureKind::ServiceFault, at(0), at(0)), None);
    }

    #[test]
    fn failures_are_told_apart() {
        for (code, status, wanted) in [
            ("ThrottlingException", 400, Some(FailureKind::Throttling)),
            ("InternalFailure", 500, Some(FailureKind::ServiceFault)),
            ("ResourceLimitExceeded", 400, Some(FailureKind::ResourceLimit)),
            ("ValidationException", 400, None),
        ] {
            assert_eq!(FailureKind::of_call(code, status), wanted, "{code}");
        }
        assert_eq!(FailureKind::of_job("InternalServerError: We encountered an internal error"), Some(FailureKind::JobInternalError));
        assert_eq!(FailureKind::of_job("AlgorithmError: InternalServerError"), None);
    }

    #[test]
    fn delays_are_bounded() {
        let policies =
            [RetryPolicy::parse(&json!({"ExceptionType": ["Step.THROTTLING"], "BackoffRate": 1e300, "MaxAttempts": 20})).unwrap()];
        assert_eq!(next_attempt(&policies, &[19], FailureKind::Throttling, at(0), at(0)), Some((at(864_000), 0)));
    }

    #[test]
    fn bad_policies_are_refused() {
        for (policy, wanted) in [
            (json!([]), "must be an object"),
            (json!({}), "[ExceptionType]"),
            (json!({"ExceptionType": ["Nope"]}), "not supported"),
            (json!({"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": 21}), "up to 20"),
            (json!({"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": 1, "ExpireAfterMin": 1}), "only one of"),
            (json!({"ExceptionType": ["Step.THROTTLING"], "BackoffRate": 0}), "at least 1"),
            (json!({"ExceptionType": ["Step.THROTTLING"], "IntervalSeconds": 43_201}), "up to 43200"),
            (json!({"ExceptionType": ["Step.THROTTLING"], "Interval": 1}), "extraneous key [Interval]"),
        ] {
            let error = RetryPolicy::parse(&policy).unwrap_err();
            assert!(error.contains(wanted), "{policy}: {error}");
        }
    }
}
