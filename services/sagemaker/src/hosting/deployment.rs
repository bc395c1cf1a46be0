//! How traffic moves from the fleet that serves to the next one. Follows "Blue/Green Deployments" in the SageMaker
//! developer guide.
//!
//! The next fleet is complete before it gets a request. Then its share of the requests rises in steps, each of which lasts
//! the waiting time; if one of its instances is given up meanwhile, all traffic goes back. Alarms and rolling
//! updates are refused: what is accepted here is done.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_core::{Result, Timestamp};

use super::{container::refuse, record::Fleet};
use crate::error::validation;

/// A `DeploymentConfig`, read for a fleet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deployment {
    /// The next fleet's share of the requests, step by step; the last is all.
    shares: Vec<f64>,
    /// Seconds that each step but the last one takes.
    wait: i64,
    /// Seconds that the old fleet stays after the last step.
    stay: i64,
    /// Seconds that all of it may take.
    timeout: Option<i64>,
}

/// Where a deployment is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shift {
    step: usize,
    /// The next fleet's share of the requests.
    pub share: f64,
    /// When this step began.
    pub since: Timestamp,
    /// When the next one does.
    pub due: Timestamp,
}

/// What a deployment does now.
pub(super) enum Move {
    /// Begins a step.
    Step(Shift),
    /// Waits until then.
    Wait(Timestamp),
    /// The next fleet takes over.
    TakeOver,
}

impl Default for Deployment {
    fn default() -> Self {
        Self { shares: vec![1.0], wait: 0, stay: 0, timeout: None }
    }
}

impl Deployment {
    /// Reads a `DeploymentConfig` for the fleet that it is to bring.
    ///
    /// # Errors
    /// `ValidationException` for what is out of range or not supported.
    pub fn read(document: &Value, next: &Fleet) -> Result<Self> {
        let smallest = next.variants.iter().map(|variant| variant.desired).min().unwrap_or(1);
        Self::read_for(document, smallest.max(1))
    }

    fn read_for(document: &Value, instances: u64) -> Result<Self> {
        if !document.is_object() {
            return Ok(Self::default());
        }
        refuse(document, &["RollingUpdatePolicy", "AutoRollbackConfiguration"])?;
        let policy = &document["BlueGreenUpdatePolicy"];
        let routing = &policy["TrafficRoutingConfiguration"];
        let shares = match routing["Type"].as_str() {
            None | Some("ALL_AT_ONCE") => vec![1.0],
            Some("CANARY") => vec![size("CanarySize", &routing["CanarySize"], instances, 0.0)?, 1.0],
            Some("LINEAR") => {
                let step = size("LinearStepSize", &routing["LinearStepSize"], instances, 0.1)?;
                let mut shares: Vec<f64> = (1..10_u32).map(|count| step * f64::from(count)).take_while(|share| *share < 0.999).collect();
                shares.push(1.0);
                shares
            }
            Some(other) => return Err(validation(format!("Traffic routing {other} is not known: use ALL_AT_ONCE, CANARY or LINEAR."))),
        };
        let seconds = |value: &Value| value.as_i64().filter(|seconds| *seconds >= 0);
        let wait = seconds(&routing["WaitIntervalInSeconds"]).unwrap_or(0);
        let stay = seconds(&policy["TerminationWaitInSeconds"]).unwrap_or(0);
        let timeout = seconds(&policy["MaximumExecutionTimeoutInSeconds"]);
        let waits = wait * (i64::try_from(shares.len()).unwrap_or(1) - 1) + stay;
        if timeout.is_some_and(|timeout| timeout <= waits) {
            return Err(validation(format!(
                "MaximumExecutionTimeoutInSeconds must be larger than the total waiting time of the deployment, {waits} seconds."
            )));
        }
        Ok(Self { shares, wait, stay, timeout })
    }

    /// What is to be done now that the next fleet is ready.
    pub fn next(&self, shift: Option<&Shift>, now: Timestamp) -> Move {
        let step = match shift {
            Some(shift) if now < shift.due => return Move::Wait(shift.due),
            Some(shift) => shift.step + 1,
            None => 0,
        };
        let Some(share) = self.shares.get(step) else { return Move::TakeOver };
        let last = step + 1 == self.shares.len();
        if last && self.stay == 0 {
            return Move::TakeOver;
        }
        Move::Step(Shift { step, share: *share, since: now, due: now.plus_secs(if last { self.stay } else { self.wait }) })
    }

    /// Whether a deployment that began then has taken too long.
    pub fn is_late(&self, begun: Timestamp, now: Timestamp) -> Option<String> {
        let timeout = self.timeout.filter(|timeout| now > begun.plus_secs(*timeout))?;
        Some(format!("The deployment did not end within its MaximumExecutionTimeoutInSeconds of {timeout} seconds."))
    }
}

/// A step's share of a fleet: more than `least` and no more than half.
fn size(name: &str, size: &Value, instances: u64, least: f64) -> Result<f64> {
    let Some(value) = size["Value"].as_u64() else {
        return Err(validation(format!("{name} is required in TrafficRoutingConfiguration of this type.")));
    };
    let share = if size["Type"] == "INSTANCE_COUNT" { value as f64 / instances as f64 } else { value as f64 / 100.0 };
    if share <= 0.0 || share < least || share > 0.5 {
        let range = if least > 0.0 { "10% to 50%" } else { "at most 50%" };
        return Err(validation(format!("{name} must be {range} of a variant's instances, which are {instances}.")));
    }
    Ok(share)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(kind: &str, more: Value) -> Value {
        let mut routing = json!({"Type": kind, "WaitIntervalInSeconds": 60});
        for (name, value) in more.as_object().unwrap() {
            routing[name] = value.clone();
        }
        json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 30}})
    }

    fn size_of(kind: &str, value: u64) -> Value {
        json!({"Type": kind, "Value": value})
    }

    /// Shares and seconds of the steps until the next fleet takes over.
    fn steps(document: &Value, instances: u64) -> Vec<(f64, i64)> {
        let deployment = Deployment::read_for(document, instances).unwrap();
        let (mut now, mut shift, mut seen) = (Timestamp::from_secs(1000), None::<Shift>, Vec::new());
        loop {
            match deployment.next(shift.as_ref(), now) {
                Move::TakeOver => return seen,
                Move::Wait(due) => {
                    assert!(due > now);
                    now = due;
                }
                Move::Step(step) => {
                    seen.push((step.share, step.due.secs() - now.secs()));
                    shift = Some(step);
                }
            }
        }
    }

    #[test]
    fn shares_rise_in_steps() {
        assert!(steps(&Value::Null, 1).is_empty());
        assert_eq!(steps(&policy("ALL_AT_ONCE", json!({})), 1), [(1.0, 30)]);
        assert_eq!(steps(&policy("CANARY", json!({"CanarySize": size_of("CAPACITY_PERCENT", 10)})), 1), [(0.1, 60), (1.0, 30)]);
        assert_eq!(steps(&policy("CANARY", json!({"CanarySize": size_of("INSTANCE_COUNT", 1)})), 4), [(0.25, 60), (1.0, 30)]);
        let linear = steps(&policy("LINEAR", json!({"LinearStepSize": size_of("CAPACITY_PERCENT", 33)})), 1);
        assert_eq!(linear.len(), 4);
        assert!(linear.windows(2).all(|pair| pair[0].0 < pair[1].0) && linear[3] == (1.0, 30), "{linear:?}");
        assert_eq!(steps(&policy("LINEAR", json!({"LinearStepSize": size_of("CAPACITY_PERCENT", 10)})), 1).len(), 10);
        assert_eq!(steps(&policy("LINEAR", json!({"LinearStepSize": size_of("INSTANCE_COUNT", 1)})), 2), [(0.5, 60), (1.0, 30)]);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let mut late = policy("CANARY", json!({"CanarySize": size_of("CAPACITY_PERCENT", 10)}));
        late["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = json!(90);
        for (document, why) in [
            (policy("CANARY", json!({})), "CanarySize is required"),
            (policy("LINEAR", json!({})), "LinearStepSize is required"),
            (policy("CANARY", json!({"CanarySize": size_of("CAPACITY_PERCENT", 51)})), "at most 50%"),
            (policy("CANARY", json!({"CanarySize": size_of("INSTANCE_COUNT", 1)})), "which are 1"),
            (policy("LINEAR", json!({"LinearStepSize": size_of("CAPACITY_PERCENT", 9)})), "10% to 50%"),
            (late, "larger than the total waiting time of the deployment, 90 seconds"),
            (json!({"RollingUpdatePolicy": {"MaximumBatchSize": {}}}), "RollingUpdatePolicy is not supported"),
            (json!({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}), "AutoRollbackConfiguration is not supported"),
        ] {
            let error = Deployment::read_for(&document, 1).unwrap_err();
            assert!(error.message.contains(why), "{document}: {error}");
        }
    }

    #[test]
    fn a_deployment_can_be_late() {
        let mut document = policy("ALL_AT_ONCE", json!({}));
        document["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = json!(600);
        let deployment = Deployment::read_for(&document, 1).unwrap();
        let at = Timestamp::from_secs;
        assert!(deployment.is_late(at(0), at(600)).is_none());
        assert!(deployment.is_late(at(0), at(601)).unwrap().contains("600 seconds"));
        assert!(Deployment::default().is_late(at(0), at(i64::from(u32::MAX))).is_none());
    }
}
