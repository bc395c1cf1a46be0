//! `Resource` and `NotResource`: six segments, each a pattern of its own.
//!
//! A wildcard never crosses one of the first five colons; in the sixth segment it spans `/` and `:`.

use crate::context::Context;
use crate::glob::{Glob, Syntax, six, split_arn};
use crate::index::Filing;

/// The resource of a request, split once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The action has no resource: only `"*"` reaches it.
    star: bool,
    segments: Option<[&'a str; 6]>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(resource: &'a str) -> Self {
        Self { star: resource == "*", segments: six(resource) }
    }
}

/// What becomes of a pattern with fewer than six segments. Each kind of policy has its own habit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShortArn {
    /// Missing segments are `*`.
    Pad,
    /// Missing segments are `*` when the text ends in one, else it matches nothing.
    PadTrailingStar,
}

/// A compiled `Resource` element.
#[derive(Debug, Clone)]
pub(crate) enum ResourcePattern {
    /// `*`.
    Any,
    Arn(Box<[Glob; 6]>),
    /// A text that no resource has.
    Never,
}

impl ResourcePattern {
    pub(crate) fn compile(text: &str, variables: bool, short: ShortArn) -> Self {
        if !text.is_empty() && text.bytes().all(|byte| byte == b'*') {
            return Self::Any;
        }
        let mut parts = split_arn(text, variables);
        if parts.len() < 6 && short == ShortArn::PadTrailingStar && !text.ends_with('*') {
            return Self::Never;
        }
        parts.resize(6, "*");
        let syntax = Syntax { wild: true, variables };
        Self::Arn(Box::new(std::array::from_fn(|at| Glob::compile(parts[at], syntax))))
    }

    fn matches(&self, target: &Target<'_>, context: &Context) -> bool {
        match (self, &target.segments) {
            (Self::Any, _) => true,
            (Self::Arn(globs), Some(segments)) => globs.iter().zip(segments).all(|(glob, segment)| glob.matches(segment, context)),
            _ => false,
        }
    }

    /// What every resource it matches begins with; `None` when there is no such resource.
    fn beginning(&self) -> Option<String> {
        let mut text = String::new();
        match self {
            Self::Any => {}
            Self::Never => return None,
            Self::Arn(globs) => {
                for (at, glob) in globs.iter().enumerate() {
                    let literal = glob.literal();
                    text.push_str(literal.unwrap_or_else(|| glob.beginning()));
                    if literal.is_none() {
                        break;
                    }
                    if at < 5 {
                        text.push(':');
                    }
                }
            }
        }
        Some(text)
    }

    fn resolves(&self, context: &Context) -> bool {
        match self {
            Self::Arn(globs) => globs.iter().all(|glob| glob.resolves(context)),
            _ => true,
        }
    }
}

/// The element as a whole.
#[derive(Debug, Clone)]
pub(crate) enum ResourceMatch {
    /// Trust policies, and resource policies that leave it out: the resource they hang on.
    Own,
    In(Box<[ResourcePattern]>),
    NotIn(Box<[ResourcePattern]>),
}

impl ResourceMatch {
    /// Notes down what this can match.
    pub(crate) fn file(&self, filing: &mut Filing) {
        match self {
            Self::In(patterns) => patterns.iter().filter_map(ResourcePattern::beginning).for_each(|text| filing.resource(text)),
            Self::Own | Self::NotIn(_) => filing.resource(String::new()),
        }
    }

    pub(crate) fn matches(&self, target: &Target<'_>, context: &Context) -> bool {
        let any = |patterns: &[ResourcePattern]| {
            patterns.iter().any(|pattern| match pattern {
                ResourcePattern::Any => true,
                _ => !target.star && pattern.matches(target, context),
            })
        };
        match self {
            Self::Own => true,
            Self::In(patterns) => any(patterns),
            // An exception whose variable has no value excepts nobody knows what: AWS lets the
            // statement match nothing at all.
            Self::NotIn(patterns) => patterns.iter().all(|pattern| pattern.resolves(context)) && !any(patterns),
        }
    }
}
