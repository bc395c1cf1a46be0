//! `Resource` and `NotResource`: six segments, each a pattern of its own.
//!
//! A wildcard never crosses one of the first five colons; in the sixth segment it spans `/` and `:`.

use std::cell::OnceCell;

use crate::context::Context;
use crate::glob::{Glob, Syntax, six, split_arn};
use crate::index::Filing;

/// The resource of a request. `*`, of an action that has none, is no ARN: only `"*"` reaches it.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    text: &'a str,
    /// Split when the first pattern asks for it.
    segments: OnceCell<Option<[&'a str; 6]>>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(resource: &'a str) -> Self {
        Self { text: resource, segments: OnceCell::new() }
    }

    fn segments(&self) -> Option<&[&'a str; 6]> {
        self.segments.get_or_init(|| six(self.text)).as_ref()
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
    /// An ARN without wildcards and variables.
    Exact(Box<str>),
    /// An ARN whose only wildcard is a `*` at its end, behind the fifth colon: what stands before it.
    Beginning(Box<str>),
    /// All others.
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
        let globs: [Glob; 6] = std::array::from_fn(|at| Glob::compile(parts[at], syntax));
        Self::simple(&globs).unwrap_or_else(|| Self::Arn(Box::new(globs)))
    }

    /// Five literal segments and their colons at the beginning of a text are the same as five equal
    /// segments, so such a pattern needs no split. What does not begin as an ARN matches none.
    fn simple([first @ .., last]: &[Glob; 6]) -> Option<Self> {
        let mut text = String::new();
        for glob in first {
            text.push_str(glob.literal()?);
            text.push(':');
        }
        text.push_str(last.beginning());
        match last {
            _ if !text.starts_with("arn:") => None,
            Glob::Text(_) => Some(Self::Exact(text.into())),
            Glob::Any | Glob::Beginning(_) => Some(Self::Beginning(text.into())),
            Glob::Variable(_) | Glob::Tokens { .. } => None,
        }
    }

    fn matches(&self, target: &Target<'_>, context: &Context) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => target.text == &**text,
            Self::Beginning(text) => target.text.starts_with(&**text),
            Self::Arn(globs) => {
                let fits = |segments: &[&str; 6]| globs.iter().zip(segments).all(|(glob, segment)| glob.matches(segment, context));
                target.segments().is_some_and(fits)
            }
            Self::Never => false,
        }
    }

    /// What every resource it matches begins with; `None` when there is no such resource.
    fn beginning(&self) -> Option<String> {
        let mut text = String::new();
        match self {
            Self::Any => {}
            Self::Never => return None,
            Self::Exact(literal) | Self::Beginning(literal) => text.push_str(literal),
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
    /// `*`, alone or among others.
    All,
    In(Box<[ResourcePattern]>),
    NotIn(Box<[ResourcePattern]>),
}

impl ResourceMatch {
    pub(crate) fn new(patterns: Box<[ResourcePattern]>, negated: bool) -> Self {
        match negated {
            true => Self::NotIn(patterns),
            false if patterns.iter().any(|pattern| matches!(pattern, ResourcePattern::Any)) => Self::All,
            false => Self::In(patterns),
        }
    }

    /// Notes down what this can match.
    pub(crate) fn file(&self, filing: &mut Filing) {
        match self {
            Self::In(patterns) => patterns.iter().filter_map(ResourcePattern::beginning).for_each(|text| filing.resource(text)),
            Self::Own | Self::All | Self::NotIn(_) => filing.resource(String::new()),
        }
    }

    pub(crate) fn matches(&self, target: &Target<'_>, context: &Context) -> bool {
        let any = |patterns: &[ResourcePattern]| patterns.iter().any(|pattern| pattern.matches(target, context));
        match self {
            Self::Own | Self::All => true,
            Self::In(patterns) => any(patterns),
            // An exception whose variable has no value excepts nobody knows what: AWS lets the
            // statement match nothing at all.
            Self::NotIn(patterns) => patterns.iter().all(|pattern| pattern.resolves(context)) && !any(patterns),
        }
    }
}
