//! Which statements could apply to a request, found without looking at the others.
//!
//! A statement is filed under each of its actions (a name, a service, or any) at the literal text
//! with which its resources begin, up to the first wildcard or variable. A request visits the
//! texts that its resource begins with and there the three keys of its action. What is found is
//! only a candidate: it is judged in full, so a hash that two actions share, or a prefix cut short,
//! costs time and never changes an answer.
//!
//! # How a decision is made fast
//!
//! What can be settled when a document is read is settled then, so that a request is not held
//! against text but against numbers and known beginnings:
//!
//! - The action of a request becomes two numbers, of its service and of its name ([`crate::fold`]).
//!   Statements are filed under such numbers, and so are the names within a long list of actions.
//! - The resource is walked down a trie once, so a thousand policies about other resources are never
//!   met. What begins as the trie has it needs no split into segments either, unless its pattern has a
//!   wildcard or variable in the middle ([`crate::resource`]).
//! - Statements about everything or everyone, which guards and boundaries mostly are, are told apart
//!   beforehand, and so are patterns without wildcards ([`crate::glob`]).
//! - Condition keys have their numbers from when the document was read. A context is one text and a
//!   small table by number, so a key costs one look-up and one comparison ([`crate::context`]).
//! - The policies of a set share one index ([`crate::set`]): a level of an organization is one walk.
//!
//! Numbers only ever choose what to look at. Everything found by one is compared as text before it
//! counts, since texts that share a number can be made. Nothing is allocated until a decision names
//! its statement, and that is a reference counted.
//!
//! The prefixes form a trie. Memory is linear in the documents: a statement of many actions times many resources is filed
//! more coarsely instead.

use std::collections::{BTreeSet, HashMap};

use crate::fold;
use crate::statement::Statement;

/// The key of a statement that may apply to any action.
const ANY: u64 = 0;
/// Longer prefixes tell nothing more.
const MAX_PREFIX: usize = 256;
/// From this many on, the entries of a node are searched rather than read.
const FEW: usize = 8;

/// Under which keys a request's action may be filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActionKeys {
    pub service: u64,
    pub exact: u64,
}

impl ActionKeys {
    /// Letter case does not count; nothing is allocated.
    pub(crate) fn new(service: &str, name: &str) -> Self {
        let service = fold::number(service);
        let exact = fold::mix(service, fold::number(name));
        // Zero is taken.
        Self { service: service.max(1), exact: exact.max(1) }
    }

    fn all(self) -> [u64; 3] {
        [ANY, self.service, self.exact]
    }
}

/// Where a statement can be found: of all actions, or of some.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filing {
    /// Any action, which makes the others needless.
    pub any: bool,
    /// Whole services, for patterns with wildcards.
    pub services: BTreeSet<u64>,
    /// Exact names, with the key of their service.
    pub exact: BTreeSet<(u64, u64)>,
    /// The literal beginnings of the resources.
    pub prefixes: BTreeSet<String>,
}

impl Filing {
    /// A pattern of actions: a literal name, or one with wildcards.
    pub(crate) fn action(&mut self, service: &str, literal: Option<&str>) {
        let keys = ActionKeys::new(service, literal.unwrap_or_default());
        match literal {
            Some(_) => _ = self.exact.insert((keys.service, keys.exact)),
            None => _ = self.services.insert(keys.service),
        }
    }

    /// A pattern of resources, by its literal beginning.
    pub(crate) fn resource(&mut self, mut prefix: String) {
        if prefix.len() > MAX_PREFIX {
            let end = (0..=MAX_PREFIX).rev().find(|at| prefix.is_char_boundary(*at)).unwrap_or(0);
            prefix.truncate(end);
        }
        self.prefixes.insert(prefix);
    }

    /// The keys and prefixes to file under, every key at every prefix: at most a few times as many
    /// places as there are patterns.
    fn places(mut self) -> (Vec<u64>, BTreeSet<String>) {
        if self.any {
            return (vec![ANY], self.prefixes);
        }
        self.exact.retain(|(service, _)| !self.services.contains(service));
        let fine: Vec<u64> = self.services.iter().copied().chain(self.exact.iter().map(|(_, name)| *name)).collect();
        let most = 4 * (fine.len() + self.prefixes.len()) + 16;
        if fine.len() * self.prefixes.len() <= most {
            return (fine, self.prefixes);
        }
        let coarse: BTreeSet<u64> = self.services.iter().copied().chain(self.exact.iter().map(|(service, _)| *service)).collect();
        if coarse.len() * self.prefixes.len() <= most {
            return (coarse.into_iter().collect(), self.prefixes);
        }
        (fine, BTreeSet::from([String::new()]))
    }
}

/// A statement's place among several policies: policy, statement.
pub(crate) type Place = (u32, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: u64,
    place: Place,
}

/// A node of the trie: the resources that begin with the labels from the root down to it.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Of `labels`: what this node adds to the one above. Empty in the root alone.
    label: (u32, u32),
    /// The first byte of the label; zero in the root.
    first: u8,
    /// Of `nodes`, in order of their labels' first bytes, which differ.
    children: (u32, u32),
    /// Of `entries`.
    entries: (u32, u32),
}

/// The statements of one or more policies, filed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// The root first; none where nothing is filed.
    nodes: Vec<Node>,
    labels: Vec<u8>,
    /// By node, then by key.
    entries: Vec<Entry>,
}

fn part<T>(all: &[T], (start, end): (u32, u32)) -> &[T] {
    &all[start as usize..end as usize]
}

impl Index {
    /// Of policies with their numbers.
    pub(crate) fn new<'a>(policies: impl IntoIterator<Item = (u32, &'a [Statement])>) -> Self {
        let mut known: HashMap<String, Vec<Entry>> = HashMap::new();
        for (policy, statements) in policies {
            for (at, statement) in (0..).zip(statements) {
                let (keys, prefixes) = statement.filing().places();
                for prefix in prefixes {
                    let entries = keys.iter().map(|key| Entry { key: *key, place: (policy, at) });
                    known.entry(prefix).or_default().extend(entries);
                }
            }
        }
        let mut filed: Vec<(String, Vec<Entry>)> = known.into_iter().collect();
        filed.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Self::trie(&mut filed)
    }

    /// The trie of prefixes that are in order and differ. Breadth first, so that siblings are
    /// neighbours.
    fn trie(filed: &mut [(String, Vec<Entry>)]) -> Self {
        let mut index = Self::default();
        if filed.is_empty() {
            return index;
        }
        // For each node: its share of the prefixes and how many bytes of them lead to it.
        let mut shares = vec![(0, filed.len(), 0)];
        index.nodes.push(Node { label: (0, 0), first: 0, children: (0, 0), entries: (0, 0) });
        let mut at = 0;
        while let Some(&(mut from, to, depth)) = shares.get(at) {
            let start = index.entries.len() as u32;
            if filed[from].0.len() == depth {
                let own = &mut filed[from].1;
                own.sort_unstable();
                index.entries.append(own);
                from += 1;
            }
            let first_child = index.nodes.len() as u32;
            while from < to {
                let first = filed[from].0.as_bytes();
                let end = from + filed[from..to].partition_point(|(prefix, _)| prefix.as_bytes()[depth] == first[depth]);
                let last = filed[end - 1].0.as_bytes();
                let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
                let label = index.labels.len() as u32;
                index.labels.extend(&first[depth..common]);
                let label = (label, index.labels.len() as u32);
                index.nodes.push(Node { label, first: first[depth], children: (0, 0), entries: (0, 0) });
                shares.push((from, end, common));
                from = end;
            }
            index.nodes[at].children = (first_child, index.nodes.len() as u32);
            index.nodes[at].entries = (start, index.entries.len() as u32);
            at += 1;
        }
        index.nodes.shrink_to_fit();
        index.labels.shrink_to_fit();
        index.entries.shrink_to_fit();
        index
    }

    /// Every statement that could apply to this action on this resource, each once.
    pub(crate) fn each(&self, keys: ActionKeys, resource: &str, mut found: impl FnMut(Place)) {
        let Some(mut node) = self.nodes.first() else { return };
        let mut rest = resource.as_bytes();
        loop {
            self.visit(node, keys, &mut found);
            let Some(first) = rest.first().filter(|_| node.children.0 < node.children.1) else { return };
            let children = part(&self.nodes, node.children);
            let at = children.partition_point(|child| child.first < *first);
            let Some(child) = children.get(at) else { return };
            let Some(beyond) = rest.strip_prefix(part(&self.labels, child.label)) else { return };
            (node, rest) = (child, beyond);
        }
    }

    fn visit(&self, node: &Node, keys: ActionKeys, found: &mut impl FnMut(Place)) {
        let entries = part(&self.entries, node.entries);
        let keys = keys.all();
        if entries.len() <= FEW {
            entries.iter().filter(|entry| keys.contains(&entry.key)).for_each(|entry| found(entry.place));
            return;
        }
        for key in keys {
            let start = entries.partition_point(|entry| entry.key < key);
            entries[start..].iter().take_while(|entry| entry.key == key).for_each(|entry| found(entry.place));
        }
    }

    /// In how many places statements are filed.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes held.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.labels) + size_of_val(&*self.entries)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::{Policy, PolicyKind};

    fn policy(statements: &Value) -> Policy {
        let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        Policy::parse(&text, PolicyKind::Identity).unwrap()
    }

    fn found(policy: &Policy, action: &str, resource: &str) -> Vec<u32> {
        let (service, name) = action.split_once(':').unwrap();
        let mut places = Vec::new();
        policy.index.each(ActionKeys::new(service, name), resource, |(_, at)| places.push(at));
        places.sort_unstable();
        places
    }

    #[test]
    fn finds_what_could_apply() {
        let policy = policy(&json!([
            {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"},
            {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
            {"Effect": "Allow", "Action": ["S3:PutObject", "logs:*"], "Resource": ["arn:aws:s3:::b/*", "arn:aws:s3:::bucket"]},
            {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::b/*"},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/${aws:username}/*", "arn:*:s3:::x"]},
            {"Effect": "Allow", "Action": "s3:a,b", "Resource": "*"},
        ]));
        for (action, resource, want) in [
            ("S3:getobject", "arn:aws:s3:::b/k", &[0, 1, 3, 4, 4, 4][..]),
            ("s3:PutObject", "arn:aws:s3:::b/k", &[0, 1, 2, 3]),
            ("s3:PutObject", "arn:aws:s3:::buckets", &[0, 1, 2, 3]),
            ("s3:PutObject", "arn:aws:s3:::a", &[0, 1, 3]),
            ("LOGS:x", "arn:aws:s3:::b/k", &[1, 2, 3]),
            ("ec2:x", "*", &[1, 3]),
        ] {
            assert_eq!(found(&policy, action, resource), want, "{action} {resource}");
        }
    }

    #[test]
    fn letters_beyond_ascii_fold_as_patterns_do() {
        assert_eq!(ActionKeys::new("S3", "\u{212A}ey"), ActionKeys::new("s3", "key"));
        assert_ne!(ActionKeys::new("s3", "ab"), ActionKeys::new("s3a", "b"));
    }

    #[test]
    fn memory_is_linear_in_the_document() {
        let many = |text: &dyn Fn(usize) -> String, count| (0..count).map(text).collect::<Vec<_>>();
        let actions = many(&|at| format!("s{at}:a{at}"), 1500);
        let names = many(&|at| format!("s3:a{at}"), 1500);
        let resources = many(&|at| format!("arn:aws:s3:::{}/{at}", "b".repeat(at)), 300);
        let long = format!("arn:aws:s3:::{}", "x".repeat(60_000));
        let nested = many(&|at| "a".repeat(at), 600);
        let grid: Vec<Value> =
            (0..40).map(|at| json!({"Effect": "Allow", "Action": actions[at..at + 30], "Resource": resources[at..at + 30]})).collect();
        for statements in [
            json!({"Effect": "Allow", "Action": actions, "Resource": resources}),
            json!({"Effect": "Allow", "Action": names, "Resource": resources}),
            json!({"Effect": "Allow", "Action": actions, "Resource": long}),
            json!({"Effect": "Allow", "Action": "*", "Resource": nested.iter().map(|text| format!("arn:aws:s3:::{text}")).collect::<Vec<_>>()}),
            json!(grid),
        ] {
            let policy = policy(&statements);
            let (held, given) = (policy.index.bytes(), policy.text().len());
            assert!(held < 8 * given, "{held} bytes for a document of {given}");
        }
    }
}
