//! The rows of experiments, trials and trial components, which are much alike.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{Cx, Kernel};
use tenantry_store::{Batch, Expect, Kind, List, Row};

use crate::{
    error::{not_found, validation},
    names,
    pipelines::members,
};

/// By trial; id: `<trial>/<component>`, parent: the trial.
pub(super) const OF_TRIAL: Kind = Kind::new("sagemaker.trial-association");
/// By component; id: `<component>/<trial>`, parent: the component.
pub(super) const OF_COMPONENT: Kind = Kind::new("sagemaker.component-trial");

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noun {
    Experiment,
    Trial,
    Component,
}

impl Noun {
    pub const fn kind(self) -> Kind {
        match self {
            Self::Experiment => Kind::new("sagemaker.experiment"),
            Self::Trial => Kind::new("sagemaker.trial"),
            Self::Component => Kind::new("sagemaker.trial-component"),
        }
    }
    const fn resource(self) -> &'static str {
        match self {
            Self::Experiment => "experiment",
            Self::Trial => "experiment-trial",
            Self::Component => "experiment-trial-component",
        }
    }
    /// As AWS's sentences and members call it.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Experiment => ("Experiment", "Experiment"),
            Self::Trial => ("Trial", "Trial"),
            Self::Component => ("Trial component", "TrialComponent"),
        }
    }
    /// `ExperimentName`, …
    pub fn name_member(self) -> String {
        format!("{}Name", self.words().1)
    }
    /// `ExperimentArn`, …
    pub fn arn_member(self) -> String {
        format!("{}Arn", self.words().1)
    }
    /// The ARN of a name.
    pub fn arn(self, scope: &Scope, name: &str) -> Arn {
        names::arn(scope, self.resource(), name)
    }
    /// The ARN of a name or of an ARN of this noun, in the caller's account.
    pub fn named(self, cx: &Cx, name: &str) -> Result<Arn> {
        if !name.starts_with("arn:") {
            return Ok(self.arn(&cx.scope(), name));
        }
        let invalid = || validation(format!("Invalid ARN: {name}"));
        let arn = Arn::parse(name).map_err(|_| invalid())?;
        let (resource, id) = arn.resource_type_and_id();
        if arn.service() != "sagemaker" || resource != self.resource() || arn.region() != cx.region.as_str() {
            return Err(invalid());
        }
        Ok(self.arn(&Scope::new(arn.account(), arn.region()), id))
    }
    /// `ValidationException`: the name is taken.
    pub fn taken(self, name: &str) -> AwsError {
        let word = self.words().0;
        validation(format!("{word} names must be unique within an AWS account and region. {word} with name ({name}) already exists."))
    }
    /// `ResourceNotFound`.
    pub fn missing(self, arn: &Arn) -> AwsError {
        not_found(format!("{} '{arn}' does not exist.", self.words().0))
    }
    /// The row of a name.
    pub async fn find(self, kernel: &Kernel, scope: &Scope, name: &str) -> Result<Option<Row>> {
        Ok(kernel.store().get(self.kind(), scope, &name.to_lowercase()).await?)
    }
    /// The row of a name that must be there.
    pub async fn require(self, kernel: &Kernel, scope: &Scope, name: &str) -> Result<Row> {
        self.find(kernel, scope, name).await?.ok_or_else(|| self.missing(&self.arn(scope, name)))
    }
}

/// An experiment, a trial or a trial component.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entity {
    pub arn: String,
    pub name: String,
    pub display_name: String,
    /// Of a trial.
    pub experiment: Option<String>,
    /// The members of Create and Update that Describe echoes.
    pub document: Map<String, Value>,
    /// What a trial component was made by: `SourceArn`, `SourceType`.
    pub source: Option<Value>,
    /// Of a trial component: `TrialComponentMetricSummary`s.
    #[serde(default)]
    pub metrics: Vec<Value>,
    pub created_by: Value,
    pub modified_by: Value,
}

impl Entity {
    /// A new one.
    pub fn new(noun: Noun, scope: &Scope, name: &str, by: &Value) -> Self {
        Self {
            arn: noun.arn(scope, name).to_string(),
            name: name.to_owned(),
            display_name: name.to_owned(),
            experiment: None,
            document: Map::new(),
            source: None,
            metrics: Vec::new(),
            created_by: by.clone(),
            modified_by: by.clone(),
        }
    }
    /// Its row.
    pub fn row(&self, noun: Noun, scope: &Scope, now: Timestamp) -> Result<Row> {
        let parent = self.experiment.as_deref().unwrap_or_default().to_lowercase();
        Ok(Row::new(noun.kind(), scope, self.name.to_lowercase(), now).parent(parent).name(&*self.name).with(self)?)
    }
    /// What Describe and Search show.
    pub fn document(&self, noun: Noun, row: &Row) -> Map<String, Value> {
        let metrics = (noun == Noun::Component).then(|| Value::from(self.metrics.clone()));
        let mut document = members([
            (noun.name_member().as_str(), Some(json!(self.name))),
            (noun.arn_member().as_str(), Some(json!(self.arn))),
            ("DisplayName", Some(json!(self.display_name))),
            ("ExperimentName", Some(json!(self.experiment.as_ref().unwrap_or(&self.name))).filter(|_| noun != Noun::Component)),
            ("Source", self.source.clone()),
            ("CreationTime", Some(json!(row.created))),
            ("CreatedBy", Some(self.created_by.clone())),
            ("LastModifiedTime", Some(json!(row.updated))),
            ("LastModifiedBy", Some(self.modified_by.clone())),
            ("Metrics", metrics),
        ]);
        if noun == Noun::Component {
            // Clients count on these being there.
            for member in ["Parameters", "InputArtifacts", "OutputArtifacts"] {
                document.insert(member.to_owned(), json!({}));
            }
        }
        document.extend(self.document.clone());
        document
    }
    /// What lists show.
    pub fn summary(&self, noun: Noun, row: &Row) -> Map<String, Value> {
        let source = format!("{}Source", noun.words().1);
        let mut summary = members([
            (noun.name_member().as_str(), Some(json!(self.name))),
            (noun.arn_member().as_str(), Some(json!(self.arn))),
            ("DisplayName", Some(json!(self.display_name))),
            (source.as_str(), self.source.clone()),
            ("CreationTime", Some(json!(row.created))),
            ("LastModifiedTime", Some(json!(row.updated))),
        ]);
        if noun == Noun::Component {
            for member in ["Status", "StartTime", "EndTime"] {
                if let Some(value) = self.document.get(member) {
                    summary.insert(member.to_owned(), value.clone());
                }
            }
            summary.insert("CreatedBy".to_owned(), self.created_by.clone());
            summary.insert("LastModifiedBy".to_owned(), self.modified_by.clone());
        }
        summary
    }
}

/// That a component belongs to a trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Association {
    pub component: String,
    pub trial: String,
    pub experiment: String,
}

impl Association {
    fn ids(&self) -> (String, String) {
        (self.trial.to_lowercase(), self.component.to_lowercase())
    }
    /// Adds it; adding it again changes nothing.
    pub fn put(&self, batch: &mut Batch, scope: &Scope, now: Timestamp) -> Result<()> {
        let (trial, component) = self.ids();
        batch.put(Row::new(OF_TRIAL, scope, format!("{trial}/{component}"), now).parent(&*trial).with(self)?, Expect::Any);
        batch.put(Row::new(OF_COMPONENT, scope, format!("{component}/{trial}"), now).parent(&*component).with(self)?, Expect::Any);
        Ok(())
    }
    /// Removes it.
    pub fn delete(&self, batch: &mut Batch, scope: &Scope) {
        let (trial, component) = self.ids();
        batch.delete(OF_TRIAL, scope, format!("{trial}/{component}"), Expect::Any);
        batch.delete(OF_COMPONENT, scope, format!("{component}/{trial}"), Expect::Any);
    }
}

/// The associations of a trial ([`OF_TRIAL`]) or a component ([`OF_COMPONENT`]).
pub(super) async fn associations(kernel: &Kernel, scope: &Scope, by: Kind, id: &str) -> Result<Vec<Association>> {
    let rows = kernel.store().list(&List::of(by, scope).parent(id)).await?;
    rows.iter().map(|row| Ok(row.body()?)).collect()
}
