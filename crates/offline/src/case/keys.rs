//! The condition keys of a case: those given, and those that follow from principal and request.
//!
//! A key that is given wins. A list stays a list, except that AWS's clients send single values as
//! lists of one: for a key known to hold one value such a list is that value, and a single value
//! of a key known to hold a list is a list of one.

use std::collections::BTreeMap;

use tenantry_facts::{Key, global_key};
use tenantry_policy::{Context, Principal, PrincipalKind};

use super::input::Held;
use super::who::type_name;

/// The keys that were given.
#[derive(Debug)]
pub(super) struct Given(Context);

impl Given {
    pub(super) fn new(keys: &BTreeMap<String, Held>) -> Result<Self, String> {
        let mut context = Context::new();
        for (name, held) in keys {
            if context.get(name).is_some() {
                return Err(format!("request.context: `{name}` is given twice, in different letter case"));
            }
            let list = known(name).map(|key| key.list);
            match (held, list) {
                (Held::One(value), Some(true)) => context.set_list(name, [value.text()]),
                (Held::One(value), _) => context.set(name, value.text()),
                (Held::Many(values), Some(false)) if values.len() == 1 => context.set(name, values[0].text()),
                (Held::Many(values), _) => context.set_list(name, values.iter().map(super::input::Scalar::text)),
            };
        }
        Ok(Self(context))
    }

    /// A key's first value.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(|value| value.as_slice().first().cloned())
    }

    /// These keys and what follows from who asks for what.
    pub(super) fn complete(mut self, principal: &Principal, resource_account: Option<&str>) -> Context {
        let mut add = |name: &str, value: Option<String>| {
            if let (Some(value), None) = (value, self.0.get(name)) {
                self.0.set(name, value);
            }
        };
        let account = || (!principal.account.is_empty()).then(|| principal.account.clone());
        let last = |arn: &str| arn.rsplit('/').next().map(str::to_owned);
        let arn = match principal.kind {
            PrincipalKind::AssumedRole => principal.role_arn.clone(),
            _ if principal.has_account() => Some(principal.arn.clone()),
            _ => None,
        };
        add("aws:PrincipalArn", arn);
        add("aws:PrincipalAccount", account());
        add("aws:PrincipalType", type_name(principal.kind).map(str::to_owned));
        add("aws:ResourceAccount", resource_account.map(str::to_owned));
        let service = principal.service_names.first().cloned();
        add("aws:PrincipalIsAWSService", Some(service.is_some().to_string()));
        match principal.kind {
            PrincipalKind::User => add("aws:username", last(&principal.arn)),
            PrincipalKind::Root => add("aws:userid", account()),
            PrincipalKind::FederatedUser => {
                add("aws:userid", principal.session_name.as_ref().map(|name| format!("{}:{name}", principal.account)))
            }
            PrincipalKind::Anonymous => add("aws:userid", Some("anonymous".to_owned())),
            _ => {}
        }
        if let Some(name) = service {
            add("aws:PrincipalServiceName", Some(name.clone()));
            if self.0.get("aws:PrincipalServiceNamesList").is_none() {
                self.0.set_list("aws:PrincipalServiceNamesList", [name]);
            }
        }
        self.0
    }
}

/// What is known of a key: a global one, or one of the service in its name.
pub(crate) fn known(name: &str) -> Option<&'static Key> {
    global_key(name).or_else(|| {
        let (prefix, _) = name.split_once(':')?;
        tenantry_facts::service(&prefix.to_ascii_lowercase())?.key(name)
    })
}
