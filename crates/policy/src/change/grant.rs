//! Ways to an Allow where none applies: that one which nearly does applies, that it is widened, that one is added.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::caller::PrincipalKind;
use crate::context::Context;
use crate::decision::Cause;
use crate::explain::Stage;
use crate::explain::lens::{Fit, Layer};
use crate::explain::place::Outline;
use crate::layers::{Attached, Attachment};
use crate::policy::Policy;
use crate::statement::Effect;

use super::condition::{Setting, resource_settings, settings};
use super::edit;
use super::scene::{Scene, editable, kind_of};
use super::search::Step;
use super::{Change, ChangeKind, Patch};

/// Statements that nearly apply and are looked at.
const NEAR: usize = 8;

/// Ways to open the layer that allows nothing.
pub(super) fn ways<'a>(scene: &Scene<'a>, cause: Cause) -> Vec<Step<'a>> {
    let mut ways = Vec::new();
    let layers = scene.of(cause);
    // Of several levels the first that is closed: the others have their turn when it is open.
    let closed =
        layers.iter().find(|layer| scene.lens().fits(layer.policies, Effect::Allow, layer.named).iter().all(|fit| fit.stage.is_some()));
    if let Some(layer) = closed {
        near(scene, layer, &mut ways);
        ways.extend(add(scene, layer.cause, layer.level, layer.policies));
    } else if layers.is_empty() {
        ways.extend(add(scene, cause, None, &[]));
    }
    // In the resource's own account its policy may grant what identity policies do not.
    if cause == Cause::Identity && scene.same_account() {
        for layer in scene.of(scene.resource_cause()) {
            near(scene, &layer, &mut ways);
        }
    }
    ways
}

fn near<'a>(scene: &Scene<'a>, layer: &Layer<'_>, ways: &mut Vec<Step<'a>>) {
    let mut fits = scene.lens().fits(layer.policies, Effect::Allow, layer.named);
    fits.retain(|fit| fit.stage.is_some_and(|stage| stage > Stage::Action) || layer.cause == Cause::Trust);
    fits.sort_by_key(|fit| (std::cmp::Reverse(fit.stage), fit.failing));
    for fit in fits.iter().take(NEAR) {
        met(scene, fit, ways);
        if editable(&fit.attached.id) {
            ways.extend(widened(scene, layer, fit));
        }
    }
}

/// The request, the caller or the resource is such that the statement applies.
fn met<'a>(scene: &Scene<'a>, fit: &Fit<'_>, ways: &mut Vec<Step<'a>>) {
    let none = (0, Vec::new(), scene.context.clone());
    match fit.stage {
        Some(Stage::Condition) => ways.extend(conditions_met(scene, fit, none)),
        Some(Stage::Resource) => {
            for setting in resource_settings(&fit.statement.resources, scene.resource, &scene.context) {
                let Some(so_far) = made(scene, &none, &setting) else { continue };
                let lens = scene.lens();
                if lens.within(&so_far.2).covers_resource(fit.statement) {
                    ways.extend(conditions_met(scene, fit, so_far));
                    break;
                }
            }
        }
        _ => {}
    }
}

/// Cost, changes, and the condition keys with them.
type Made = (u32, Vec<Change>, Context);

fn made(scene: &Scene<'_>, so_far: &Made, setting: &Setting) -> Option<Made> {
    let (cost, change) = setting.change(&so_far.2, scene.principal)?;
    let context = setting.with_consequences(scene.action, &so_far.2);
    Some((so_far.0 + cost, so_far.1.iter().cloned().chain([change]).collect(), context))
}

/// All conditions of a statement made to hold, one after another; of each the cheapest ways.
fn conditions_met<'a>(scene: &Scene<'a>, fit: &Fit<'_>, so_far: Made) -> Vec<Step<'a>> {
    let variables = Outline::of(fit.attached.policy.text()).variables;
    let mut open = vec![so_far];
    for clause in &fit.statement.conditions {
        let mut next: Vec<Made> = Vec::new();
        for so_far in &open {
            if clause.holds(&so_far.2, Effect::Allow) {
                next.push(so_far.clone());
                continue;
            }
            let settings = settings(clause, Effect::Allow, true, &so_far.2, variables);
            next.extend(settings.iter().filter_map(|setting| made(scene, so_far, setting)));
        }
        next.sort_by_key(|made| made.0);
        next.truncate(3);
        open = next;
    }
    let holds = |made: &Made| !made.1.is_empty() && fit.statement.conditions_hold(&made.2);
    open.into_iter().filter(holds).map(|(cost, changes, context)| Step { cost, changes, scene: scene.with_context(context) }).collect()
}

/// The statement, changed so that it applies.
fn widened<'a>(scene: &Scene<'a>, layer: &Layer<'_>, fit: &Fit<'_>) -> Option<Step<'a>> {
    let json = edit::json_of(fit.attached, fit.index)?;
    let sid = fit.statement.sid.as_deref().filter(|sid| !sid.is_empty());
    let name = sid.map_or_else(|| format!("statement {}", fit.index + 1), |sid| format!("statement {sid}"));
    let of = &fit.attached.id;
    let one_action = json["Action"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(scene.action));
    let attempt = |cost: u32, patches: &[Patch], text: String| -> Option<Step<'a>> {
        let (document, patch) = edit::statement(fit.attached, fit.index, patches)?;
        let changed = scene.with_text(fit.attached, &document)?;
        let applies = changed.of(layer.cause).iter().any(|new| {
            let fits = changed.lens().fits(new.policies, Effect::Allow, new.named);
            fits.iter().any(|new| new.attached.id == fit.attached.id && new.index == fit.index && new.stage.is_none())
        });
        let change = Change {
            layer: Some(layer.cause),
            level: layer.level,
            policy: Some(of.to_string()),
            attachment: Some(fit.attached.what),
            statement: Some(fit.index),
            patch,
            document: Some(document),
            ..Change::new(ChangeKind::ChangeStatement, text)
        };
        applies.then_some(Step { cost, changes: vec![change], scene: changed })
    };
    match fit.stage? {
        Stage::Action => {
            let patch = edit::add_text(&json, "/Action", scene.action)?;
            attempt(3, &[patch], format!("add {} to {name} of {of}", scene.action))
        }
        Stage::Resource if scene.resource != "*" => {
            let patch = edit::add_text(&json, "/Resource", scene.resource)?;
            attempt(if one_action { 4 } else { 5 }, &[patch], format!("add {} to the resources of {name} of {of}", scene.resource))
        }
        Stage::Resource => None,
        Stage::Principal => {
            let (kind, arn) = principal(scene)?;
            let patch = match json.pointer(&format!("/Principal/{kind}")) {
                Some(_) => edit::add_text(&json, &format!("/Principal/{kind}"), &arn)?,
                None => edit::patch("add", &format!("/Principal/{kind}"), Some(json!(arn))),
            };
            attempt(3, &[patch], format!("add {arn} to the principals of {name} of {of}"))
        }
        Stage::Condition => {
            let widen = loosened(scene, fit, &json, false);
            let told = |what: &str| format!("{what} of {name} of {of}");
            widen
                .and_then(|(patches, text)| attempt(5, &patches, told(&text)))
                .or_else(|| loosened(scene, fit, &json, true).and_then(|(patches, text)| attempt(7, &patches, told(&text))))
        }
    }
}

/// Patches of the conditions that do not hold: what the request has is added to what is asked for, or (`drop`)
/// the condition goes.
fn loosened(scene: &Scene<'_>, fit: &Fit<'_>, json: &Value, drop: bool) -> Option<(Vec<Patch>, String)> {
    let mut patches = Vec::new();
    let mut words = Vec::new();
    for clause in fit.statement.conditions.iter().filter(|clause| !clause.holds(&scene.context, Effect::Allow)) {
        let (operator, key) = (&clause.operator_text, &clause.key_text);
        let path = format!("/Condition/{}/{}", edit::escaped(operator), edit::escaped(key));
        if drop {
            let alone = json.pointer(&format!("/Condition/{}", edit::escaped(operator)))?.as_object()?.len() == 1;
            let whole = format!("/Condition/{}", edit::escaped(operator));
            patches.push(edit::patch("remove", if alone { &whole } else { &path }, None));
            words.push(format!("remove the condition {operator} {key}"));
            continue;
        }
        let held = clause.actual(&scene.context)?;
        let actual = held.as_slice().first()?;
        let name = operator.to_ascii_lowercase();
        if name.contains("numeric") || name.contains("date") {
            let inclusive = name.ends_with("equals") || name.ends_with("equalsifexists");
            let limit = if inclusive { actual.clone() } else { beyond(actual, name.contains("lessthan"))? };
            words.push(format!("let the condition {operator} {key} be {limit}"));
            patches.push(edit::patch("replace", &path, Some(json!(limit))));
        } else {
            words.push(format!("let the condition {operator} {key} also take {actual}"));
            patches.push(edit::add_text(json, &path, actual)?);
        }
    }
    let text = words.join(" and ");
    (!patches.is_empty()).then_some((patches, text))
}

/// A limit on the other side of a number; dates have no next one that reads well.
fn beyond(text: &str, up: bool) -> Option<String> {
    let number: i64 = text.parse().ok()?;
    Some(number.checked_add(if up { 1 } else { -1 })?.to_string())
}

/// How a resource's policy names the caller.
fn principal(scene: &Scene<'_>) -> Option<(&'static str, String)> {
    let who = scene.principal;
    match who.kind {
        PrincipalKind::AssumedRole => who.role_arn.clone().map(|arn| ("AWS", arn)),
        PrincipalKind::User => who.user_arn.clone().map(|arn| ("AWS", arn)),
        PrincipalKind::Root => Some(("AWS", format!("arn:aws:iam::{}:root", who.account))),
        PrincipalKind::FederatedUser => Some(("AWS", who.arn.clone())),
        PrincipalKind::Service => who.service_names.first().map(|name| ("Service", name.clone())),
        PrincipalKind::Provider => who.provider.clone().map(|name| ("Federated", name)),
        PrincipalKind::Anonymous => None,
    }
}

/// A new statement for exactly this: in a policy that is there, or in a new one.
fn add<'a>(scene: &Scene<'a>, cause: Cause, level: Option<usize>, policies: &[Attached]) -> Option<Step<'a>> {
    let mut statement = json!({"Effect": "Allow"});
    match cause {
        Cause::Resource | Cause::Trust | Cause::Endpoint => {
            statement["Principal"] = match principal(scene) {
                Some((kind, name)) => json!({ kind: name }),
                None => json!("*"),
            }
        }
        Cause::ResourceControl => statement["Principal"] = json!("*"),
        _ => {}
    }
    statement["Action"] = json!(scene.action);
    if cause != Cause::Trust {
        statement["Resource"] = json!(scene.resource);
    }
    let what = format!("{} on {}", scene.action, scene.resource);
    // A group's or a shared policy would give it to others too.
    let own = |attached: &&Attached| match cause {
        Cause::Identity => attached.what == Attachment::Inline,
        _ => editable(&attached.id),
    };
    let cost = match cause {
        Cause::Session => 3,
        Cause::Boundary | Cause::ServiceControl | Cause::ResourceControl => 5,
        _ => 4,
    };
    if let Some(attached) = policies.iter().filter(|attached| editable(&attached.id)).find(own) {
        let (document, patch) = edit::appended(attached, &statement)?;
        let change = Change {
            layer: Some(cause),
            level,
            policy: Some(attached.id.to_string()),
            attachment: Some(attached.what),
            patch,
            document: Some(document.clone()),
            ..Change::new(ChangeKind::AddStatement, format!("add a statement to {} that allows {what}", attached.id))
        };
        return Some(Step { cost, changes: vec![change], scene: scene.with_text(attached, &document)? });
    }
    let document = match (cause, policies.first()) {
        (Cause::Boundary, Some(boundary)) => edit::appended(boundary, &statement)?.0,
        _ => json!({"Version": "2012-10-17", "Statement": [statement]}).to_string(),
    };
    let policy = Arc::new(Policy::parse(&document, kind_of(cause)).ok()?);
    let place = match (cause, level) {
        (Cause::Boundary, _) => "set a permissions boundary that also".to_owned(),
        (_, Some(level)) => format!("attach a {} at level {} that", cause.noun(), level + 1),
        (Cause::Identity, _) => format!("give {} a policy that", principal(scene).map_or(String::new(), |(_, name)| name)),
        _ => format!("set a {} that", cause.noun()),
    };
    let change = Change {
        layer: Some(cause),
        level,
        document: Some(document),
        ..Change::new(ChangeKind::AddPolicy, format!("{place} allows {what}"))
    };
    let scene = scene.with_policy(cause, level, Attached::inline("added", policy))?;
    Some(Step { cost: cost + u32::from(cause == Cause::Boundary), changes: vec![change], scene })
}
