//! `cedar-policy`: requests and entities are made before the clock starts.

use std::{hint::black_box, time::Instant};

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};
use serde_json::json;

use crate::{
    Failure, Times,
    scene::{ACTIONS, Asked, Scene, prefix},
    timed,
};

fn policies(scene: &Scene) -> Result<PolicySet, Failure> {
    let actions = ACTIONS.map(|action| format!("Action::\"{action}\"")).join(", ");
    let policy = |team| {
        let prefix = prefix(team);
        format!(
            "permit(principal, action in [{actions}], resource) when {{ principal has team && resource has team && \
             principal.team == resource.team && resource.arn like \"{prefix}*\" }};\n"
        )
    };
    Ok((0..scene.size).map(policy).collect::<String>().parse()?)
}

fn request(asked: &Asked) -> Result<(Request, Entities), Failure> {
    let entities = json!([
        {"uid": {"type": "Role", "id": "Scientist"}, "attrs": {"team": asked.principal_team}, "parents": []},
        {"uid": {"type": "Endpoint", "id": asked.resource}, "attrs": {"team": asked.resource_team, "arn": asked.resource}, "parents": []},
    ]);
    let uid = |kind: &str, id: &str| -> Result<EntityUid, Failure> { Ok(format!("{kind}::\"{id}\"").parse()?) };
    let (principal, action) = (uid("Role", "Scientist")?, uid("Action", asked.action)?);
    let request = Request::new(principal, action, uid("Endpoint", &asked.resource)?, Context::empty(), None)?;
    Ok((request, Entities::from_json_value(entities, None)?))
}

pub(crate) fn run(scene: &Scene) -> Result<(Vec<bool>, Times), Failure> {
    let policies = policies(scene)?;
    let requests = scene.requests.iter().map(request).collect::<Result<Vec<_>, _>>()?;
    let authorizer = Authorizer::new();
    let rounds = (400_000 / scene.size).clamp(500, 50_000);
    let one = |round: usize| {
        let (request, entities) = &requests[round % requests.len()];
        let start = Instant::now();
        let response = authorizer.is_authorized(black_box(request), black_box(&policies), black_box(entities));
        let time = start.elapsed();
        (response.decision() == Decision::Allow, time.as_nanos() as u64)
    };
    let answers = (0..requests.len()).map(|at| one(at).0).collect();
    Ok((answers, timed(rounds, |round| one(round).1)))
}
