//! CreateAccount: asked for in one call, made by a reconciler, asked about by the status's id.
//!
//! The new account's number is chosen and stored with the wish, so a step that is repeated makes no
//! second account. The account comes with a role that the management account can assume.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{AccountId, Result, Tag, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, Kernel, Next, OperationRow, Permit, Reconciler, Reply, StepFuture,
    directory::Account,
    reconcile::{key_of, parse_key},
};
use tenantry_store::{Batch, CommitError, Expect, Kind, List, Row};

use super::{
    error,
    org::{self, Org, Standing, answer},
    policies, tags,
};
use crate::account;
use tenantry_kernel::operation;

/// Wishes, and the queue on which they are worked.
const WISH: Kind = Kind::new("org.create-account");
/// Addresses of root users are unique.
pub(crate) const EMAILS: &str = "account-email";
/// Accounts of an organization.
const ACCOUNTS: usize = 1000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wish {
    id: String,
    name: String,
    email: String,
    role: String,
    account: AccountId,
    state: String,
    requested: Timestamp,
    #[serde(default)]
    completed: Option<Timestamp>,
    #[serde(default)]
    failure: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Wish {
    fn shown(&self) -> Value {
        let mut value = json!({ "Id": self.id, "AccountName": self.name, "State": self.state, "RequestedTimestamp": self.requested });
        if let Some(completed) = self.completed {
            value["CompletedTimestamp"] = json!(completed);
        }
        if let Some(failure) = &self.failure {
            value["FailureReason"] = json!(failure);
        } else if self.completed.is_some() {
            value["AccountId"] = json!(self.account);
        }
        value
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    email: String,
    account_name: String,
    role_name: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

async fn resolve(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    Ok(Checks::from(Check::any(action).request_tags(&input.tags)).and_if(tags::on_create(cx, &input.tags)))
}

async fn create(cx: &Cx, _: Permit<CreateAccount>, input: CreateInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    let org = Org::of(cx, Standing::Management).await?;
    if org.accounts(&cx.kernel, None).await?.len() >= ACCOUNTS {
        return Err(error::constraint("ACCOUNT_NUMBER_LIMIT_EXCEEDED", "You have exceeded the allowed number of AWS accounts."));
    }
    let wish = Wish {
        id: format!("car-{}", Ids::lower(32)),
        name: input.account_name,
        email: input.email,
        role: input.role_name.unwrap_or_else(|| account::ACCESS_ROLE.to_owned()),
        account: account::free_id(cx.kernel.store()).await?,
        state: "IN_PROGRESS".to_owned(),
        requested: cx.now(),
        completed: None,
        failure: None,
        tags: input.tags,
    };
    let mut batch = Batch::new();
    batch.put(Row::new(WISH, &org.scope, wish.id.clone(), cx.now()).status(&wish.state).with(&wish)?, Expect::Absent);
    batch.enqueue(WISH.as_str(), key_of(&org.scope, &wish.id), cx.now());
    cx.commit(batch).await?;
    Ok(json!({ "CreateAccountStatus": wish.shown() }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeInput {
    create_account_request_id: String,
}

async fn describe(cx: &Cx, _: Permit<DescribeCreateAccountStatus>, input: DescribeInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let row = cx.kernel.store().get(WISH, &org.scope, &input.create_account_request_id).await?;
    let missing = || error::named("CreateAccountStatusNotFoundException", "You specified an create account request that doesn't exist.");
    let wish: Wish = row.ok_or_else(missing)?.body()?;
    Ok(json!({ "CreateAccountStatus": wish.shown() }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    #[serde(default)]
    states: Vec<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

async fn list(cx: &Cx, _: Permit<ListCreateAccountStatus>, input: ListInput) -> Result<Reply> {
    let org = Org::of(cx, Standing::Delegate).await?;
    let mut items = Vec::new();
    for row in cx.kernel.store().list(&List::of(WISH, &org.scope)).await? {
        let wish: Wish = row.body()?;
        if input.states.is_empty() || input.states.contains(&wish.state) {
            items.push((row.id, wish.shown()));
        }
    }
    answer("CreateAccountStatuses", items, input.next_token.as_deref(), input.max_results)
}

/// Makes the accounts that were asked for.
pub struct CreateAccounts;

impl Reconciler for CreateAccounts {
    fn queue(&self) -> &'static str {
        WISH.as_str()
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            let Some((scope, id)) = parse_key(key) else { return Ok(Next::Done) };
            let Some(mut row) = kernel.store().get(WISH, &scope, id).await? else { return Ok(Next::Done) };
            let mut wish: Wish = row.body()?;
            if wish.state != "IN_PROGRESS" {
                return Ok(Next::Done);
            }
            wish.completed = Some(kernel.now());
            let made = make(kernel, &wish, row.clone()).await?;
            if !made {
                wish.state = "FAILED".to_owned();
                wish.failure = Some("EMAIL_ALREADY_EXISTS".to_owned());
                row.set_body(&wish)?;
                let mut batch = Batch::new();
                batch.update(row.status("FAILED"));
                kernel.store().commit(batch).await?;
            }
            Ok(Next::Done)
        })
    }
}

/// The account, its role and the end of the wish, in one commit; false where the address is taken.
async fn make(kernel: &Kernel, wish: &Wish, mut row: Row) -> Result<bool> {
    let now = kernel.now();
    let mut org = Org::load(kernel).await?.ok_or_else(error::not_in_use)?;
    let root = kernel.store().get(tenantry_kernel::directory::kind::UNIT, &org.scope, &org.doc.root).await?;
    let root: tenantry_kernel::directory::Unit = root.ok_or_else(error::root_not_found)?.body()?;
    let account = Account {
        id: wish.account.clone(),
        name: wish.name.clone(),
        email: wish.email.clone(),
        status: "ACTIVE".to_owned(),
        joined: now,
        organization: org.doc.id.clone(),
        management: false,
        managed_by: org.management.clone(),
        parent: root.id.clone(),
        policies: policies::initial(&root),
    };
    let mut batch = Batch::new();
    account::add_member(&mut batch, &account, &wish.role, now)?;
    batch.claim_unique(EMAILS, wish.email.to_lowercase(), wish.account.to_string());
    batch.set_tags(org.target_arn(account.id.as_str()).as_str(), wish.tags.clone());
    let done = Wish { state: "SUCCEEDED".to_owned(), ..wish.clone() };
    row.set_body(&done)?;
    batch.update(row.status("SUCCEEDED").at(now));
    org.lock(&mut batch)?;
    match kernel.store().commit(batch).await {
        Ok(()) => Ok(true),
        Err(CommitError::UniqueTaken { .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

operation!("organizations", CreateAccount, ["*"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["organizations:TagResource"], CreateInput, resolve, create);
operation!("organizations", DescribeCreateAccountStatus, ["*"], DescribeInput, org::resolve_any, describe);
operation!("organizations", ListCreateAccountStatus, ["*"], ListInput, org::resolve_any, list);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateAccount>(),
    OperationRow::of::<DescribeCreateAccountStatus>(),
    OperationRow::of::<ListCreateAccountStatus>(),
];
