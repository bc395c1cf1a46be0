//! Ways past a Deny: that it does not apply, that it makes an exception, that it goes.

use serde_json::{Value, json};

use crate::decision::{Cause, Decision};
use crate::explain::lens::Layer;
use crate::explain::place::Outline;
use crate::layers::Attached;
use crate::statement::{Effect, Statement};

use super::condition::settings;
use super::edit;
use super::scene::{Scene, editable};
use super::search::Step;
use super::{Change, ChangeKind, Patch};

/// The Deny that decided, where it stands.
struct Denial<'s> {
    layer: Cause,
    level: Option<usize>,
    attached: &'s Attached,
    index: usize,
    statement: &'s Statement,
    json: Value,
}

/// Ways to undo the Deny that decided.
pub(super) fn ways<'a>(scene: &Scene<'a>, decision: &Decision) -> Vec<Step<'a>> {
    let layers = scene.of(decision.cause);
    let Some(denial) = layers.iter().find_map(|layer| find(scene, layer)) else { return Vec::new() };
    let mut ways = unmet(scene, &denial);
    if editable(&denial.attached.id) {
        ways.extend(exceptions(scene, &denial));
    }
    ways.extend(gone(scene, &denial));
    // A copy that is denied by the same statement still is no way.
    ways.retain(|way| {
        let next = way.scene.decide();
        next.allowed() || next.statement != decision.statement
    });
    ways
}

fn find<'s>(scene: &Scene<'_>, layer: &Layer<'s>) -> Option<Denial<'s>> {
    let fits = scene.lens().fits(layer.policies, Effect::Deny, layer.named);
    let fit = fits.into_iter().find(|fit| fit.stage.is_none())?;
    let json = edit::json_of(fit.attached, fit.index)?;
    Some(Denial { layer: layer.cause, level: layer.level, attached: fit.attached, index: fit.index, statement: fit.statement, json })
}

impl Denial<'_> {
    fn change(&self, kind: ChangeKind, text: String) -> Change {
        Change {
            layer: Some(self.layer),
            level: self.level,
            policy: Some(self.attached.id.to_string()),
            attachment: Some(self.attached.what),
            statement: Some(self.index),
            ..Change::new(kind, text)
        }
    }

    fn name(&self) -> String {
        let sid = self.statement.sid.as_deref().filter(|sid| !sid.is_empty());
        sid.map_or_else(|| format!("statement {}", self.index + 1), |sid| format!("statement {sid}"))
    }

    /// A way that patches the statement.
    fn patched<'a>(&self, scene: &Scene<'a>, cost: u32, patches: &[Patch], text: String) -> Option<Step<'a>> {
        let (document, patch) = edit::statement(self.attached, self.index, patches)?;
        let scene = scene.with_text(self.attached, &document)?;
        let change = Change { patch, document: Some(document), ..self.change(ChangeKind::ChangeStatement, text) };
        Some(Step { cost, changes: vec![change], scene })
    }
}

/// The request, the caller or the resource is such that a condition of the Deny does not hold.
fn unmet<'a>(scene: &Scene<'a>, denial: &Denial<'_>) -> Vec<Step<'a>> {
    let variables = Outline::of(denial.attached.policy.text()).variables;
    let mut ways = Vec::new();
    for clause in &denial.statement.conditions {
        for setting in settings(clause, Effect::Deny, false, &scene.context, variables) {
            let Some((cost, change)) = setting.change(&scene.context, scene.principal) else { continue };
            let context = setting.with_consequences(scene.action, &scene.context);
            ways.push(Step { cost, changes: vec![change], scene: scene.with_context(context) });
        }
    }
    ways
}

/// The Deny excepts the caller, the resource or the action.
fn exceptions<'a>(scene: &Scene<'a>, denial: &Denial<'_>) -> Vec<Step<'a>> {
    let mut ways = Vec::new();
    let name = denial.name();
    let of = &denial.attached.id;
    // In a policy that only the caller has an exception for the caller would be the same as no Deny.
    let shared = !matches!(denial.layer, Cause::Identity | Cause::Session);
    let principal = scene.principal.role_arn.as_ref().or(scene.principal.user_arn.as_ref());
    if let Some(arn) = principal.filter(|_| shared) {
        let text = format!("except {arn} from {name} of {of}");
        ways.extend(denial.patched(scene, 5, &except_principal(&denial.json, arn), text));
    }
    let resource = scene.resource;
    if resource != "*" {
        let text = format!("except {resource} from {name} of {of}");
        if let Some(patch) = edit::add_text(&denial.json, "/NotResource", resource) {
            ways.extend(denial.patched(scene, 5, &[patch], text));
        } else if denial.json["Resource"] == json!("*") || denial.json["Resource"] == json!(["*"]) {
            let patches = [edit::patch("remove", "/Resource", None), edit::patch("add", "/NotResource", Some(json!([resource])))];
            ways.extend(denial.patched(scene, if shared { 6 } else { 5 }, &patches, text));
        }
    }
    let text = format!("take {} out of {name} of {of}", scene.action);
    if let Some(patch) = edit::add_text(&denial.json, "/NotAction", scene.action) {
        ways.extend(denial.patched(scene, 6, &[patch], text));
    } else if let Some(list) = denial.json["Action"].as_array().filter(|list| list.len() > 1) {
        let literal = |action: &Value| action.as_str().is_some_and(|text| text.eq_ignore_ascii_case(scene.action));
        if let Some(at) = list.iter().position(literal) {
            let patch = edit::patch("remove", &format!("/Action/{at}"), None);
            ways.extend(denial.patched(scene, if shared { 7 } else { 6 }, &[patch], text));
        }
    }
    ways
}

/// `ArnNotEquals` on the caller, beside what stands there.
fn except_principal(statement: &Value, arn: &str) -> Vec<Patch> {
    let Some(conditions) = statement.get("Condition") else {
        return vec![edit::patch("add", "/Condition", Some(json!({"ArnNotEquals": {"aws:PrincipalArn": arn}})))];
    };
    for operator in ["ArnNotEquals", "ArnNotLike", "StringNotEquals", "StringNotLike"] {
        let Some(keys) = conditions.get(operator).and_then(Value::as_object) else { continue };
        if let Some(key) = keys.keys().find(|key| key.eq_ignore_ascii_case("aws:PrincipalArn")) {
            return edit::add_text(statement, &format!("/Condition/{operator}/{key}"), arn).into_iter().collect();
        }
    }
    match conditions.get("ArnNotEquals") {
        Some(_) => vec![edit::patch("add", "/Condition/ArnNotEquals/aws:PrincipalArn", Some(json!(arn)))],
        None => vec![edit::patch("add", "/Condition/ArnNotEquals", Some(json!({"aws:PrincipalArn": arn})))],
    }
}

/// The Deny, or the policy that is nothing but this Deny, goes.
fn gone<'a>(scene: &Scene<'a>, denial: &Denial<'_>) -> Option<Step<'a>> {
    let of = &denial.attached.id;
    if editable(of)
        && let Some((document, patch)) = edit::removed(denial.attached, denial.index)
    {
        let text = format!("remove {} of {of}", denial.name());
        let scene = scene.with_text(denial.attached, &document)?;
        let change = Change { patch, document: Some(document), ..denial.change(ChangeKind::RemoveStatement, text) };
        return Some(Step { cost: 9, changes: vec![change], scene });
    }
    let change = denial.change(ChangeKind::RemovePolicy, format!("detach {of}"));
    Some(Step { cost: 10, changes: vec![change], scene: scene.without(denial.attached)? })
}
