//! The store in one SQLite file: one writer with group commit, a pool of readers.
//!
//! WAL with `synchronous=FULL`: a commit is on disk before it is answered, and readers never wait for
//! the writer. Reads run inline on the caller's thread because they take microseconds; a scan over all
//! scopes is for the platform's own work. One process at a time has the file open (a lock beside it
//! says so), which is what makes `revision` and `work_signal` complete.

mod read;
mod recent;
mod schema;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use recent::{Found, Recent};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use tenantry_core::{Scope, Secret, Tag, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use writer::{Job, Signals};

use crate::{
    Batch, ByScope, CommitError, Entry, Event, EventsBy, Fut, Kind, List, Read, Row, SeriesRead, SeriesStats, Store, StoreError, Verified,
    Work,
};

/// What SQL answers.
type Sql<T> = rusqlite::Result<T>;

/// Idle reading connections that are kept.
const READERS: usize = 16;
/// Prepared statements kept per connection; more than there are texts.
const STATEMENTS: usize = 128;
/// The file in the directory.
const FILE: &str = "tenantry.db";

/// Tells damage from trouble.
fn fault(error: rusqlite::Error) -> StoreError {
    use rusqlite::Error as E;
    match &error {
        E::SqliteFailure(code, _) if matches!(code.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt(error.to_string())
        }
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..)
        | E::QueryReturnedNoRows => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn trouble(what: &str, path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("cannot {what} `{}`: {error}", path.display()))
}

/// The store in one SQLite file.
pub struct Sqlite {
    file: PathBuf,
    readers: Mutex<Vec<Connection>>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    signals: Arc<Signals>,
    recent: Arc<Recent>,
    /// Held for as long as the store is open for writing.
    _lock: Option<File>,
}

impl Sqlite {
    /// Opens the store in `dir`, which is made (mode 0700) where there is none; files have mode 0600.
    ///
    /// # Errors
    /// When another process has it open, when the file is not ours, is newer than this program or is
    /// damaged, and when the file system refuses.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| trouble("make the directory", dir, e))?;
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(|e| trouble("protect the directory", dir, e))?;
        let lock = lock(&dir.join("lock"))?;
        let file = dir.join(FILE);
        // SQLite would make the file with the process's umask; the -wal and -shm files take its mode.
        private(&file)?;
        let mut sql =
            Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fault)?;
        prepare(&sql)?;
        schema::migrate(&mut sql)?;
        // Whoever held a lease died with the process that had the lock: what was begun is due now.
        sql.execute(
            "UPDATE work SET leased_until = NULL, due = min(due, coalesce(again, due)), again = NULL WHERE leased_until IS NOT NULL",
            [],
        )
        .map_err(fault)?;
        let signals = Arc::new(Signals { revision: AtomicU64::new(1), work: watch::Sender::new(0) });
        let (jobs, queue) = mpsc::channel(writer::QUEUE);
        let recent = Arc::new(Recent::new());
        let (seen, changed) = (signals.clone(), Arc::clone(&recent));
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer::run(sql, queue, &seen, &changed));
        let thread = thread.map_err(|e| StoreError::Unavailable(format!("cannot start the writer: {e}")))?;
        Ok(Self { file, readers: Mutex::default(), jobs: Some(jobs), writer: Some(thread), signals, recent, _lock: Some(lock) })
    }

    /// Opens the store in `dir` for reading, also while another process writes it: for the operator's
    /// commands. Commits are refused; [`Store::revision`] does not see the other process's changes, so
    /// what is cached under it must not outlive the command.
    ///
    /// # Errors
    /// When there is no store, or it cannot be read.
    pub fn open_for_reading(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let file = dir.as_ref().join(FILE);
        let first = reader(&file)?;
        let signals = Arc::new(Signals { revision: AtomicU64::new(1), work: watch::Sender::new(0) });
        Ok(Self {
            file,
            readers: Mutex::new(vec![first]),
            jobs: None,
            writer: None,
            signals,
            recent: Arc::new(Recent::none()),
            _lock: None,
        })
    }

    /// Copies the whole store, as of one instant, to a new file (mode 0600) while it is in use.
    ///
    /// # Errors
    /// When `target` exists or cannot be written. Blocks for as long as the copy takes.
    pub fn backup(&self, target: &Path) -> Result<(), StoreError> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(target).map_err(|e| trouble("make", target, e))?;
        let name = target.to_str().ok_or_else(|| StoreError::Invalid("the name of the copy is not utf-8".to_owned()))?;
        self.with(|sql| sql.execute("VACUUM INTO ?1", [name]).map(drop).map_err(fault))?;
        File::open(target).and_then(|file| file.sync_all()).map_err(|e| trouble("write", target, e))
    }

    /// Runs a question on an idle connection, or a new one.
    fn with<T>(&self, question: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut sql = match idle {
            Some(sql) => sql,
            None => reader(&self.file)?,
        };
        let answer = question(&mut sql);
        if answer.is_ok() {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS {
                readers.push(sql);
            }
        }
        answer
    }

    fn read<'a, T: Send + 'a>(&'a self, question: impl FnOnce(&mut Connection) -> Sql<T>) -> Read<'a, T> {
        let answer = self.with(|sql| question(sql).map_err(fault));
        Box::pin(std::future::ready(answer))
    }

    /// Hands a job to the writer.
    async fn send<T>(&self, job: Job, reply: oneshot::Receiver<T>) -> Result<T, StoreError> {
        let stopped = || StoreError::Unavailable("the store is open for reading only, or its writer has stopped: restart".to_owned());
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).await.map_err(|_| stopped())?;
        reply.await.map_err(|_| stopped())
    }
}

impl Drop for Sqlite {
    /// Lets the writer finish what was handed to it, and SQLite fold the log into the file.
    fn drop(&mut self) {
        self.readers.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has already failed those who waited for it.
            let _ = writer.join();
        }
    }
}

fn private(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| trouble("open", path, e))?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(|e| trouble("protect", path, e))?;
    Ok(file)
}

/// A process that has just been forked holds what its parent had locked until it executes its program: a server that follows
/// another at once waits so long for that.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

fn lock(path: &Path) -> Result<File, StoreError> {
    let file = private(path)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another process has the store open (`{}` is locked): stop it first", path.display());
                return Err(StoreError::Unavailable(text));
            }
            Err(TryLockError::Error(error)) => return Err(trouble("lock", path, error)),
        }
    }
}

fn prepare(sql: &Connection) -> Result<(), StoreError> {
    sql.busy_timeout(Duration::from_secs(10)).map_err(fault)?;
    sql.set_prepared_statement_cache_capacity(STATEMENTS);
    plan_once(sql)?;
    let mode: String = sql.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(fault)?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "the file system does not allow a write-ahead log (it answers `{mode}`): use a local disk"
        )));
    }
    // `secure_delete`: what was deleted (secrets) is overwritten, not only forgotten.
    sql.execute_batch("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
        .map_err(fault)
}

/// A statement is planned when it is prepared and never by what is bound to it: else SQLite prepares it anew with each use.
fn plan_once(sql: &Connection) -> Result<(), StoreError> {
    sql.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop).map_err(fault)
}

fn reader(file: &Path) -> Result<Connection, StoreError> {
    let sql = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fault)?;
    sql.busy_timeout(Duration::from_secs(10)).map_err(fault)?;
    sql.set_prepared_statement_cache_capacity(STATEMENTS);
    plan_once(&sql)?;
    sql.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;").map_err(fault)?;
    Ok(sql)
}

impl Store for Sqlite {
    fn get<'a>(&'a self, kind: Kind, scope: &'a Scope, id: &'a str) -> Read<'a, Option<Row>> {
        let ticket = match self.recent.row(kind, scope, id) {
            Found::Here(row) => return Box::pin(std::future::ready(Ok(row))),
            Found::Read(ticket) => ticket,
        };
        let answer = self.with(|sql| read::get(sql, kind, scope, id).map_err(fault));
        if let Ok(row) = &answer {
            self.recent.keep_row(&ticket, kind, scope, id, row.as_ref());
        }
        Box::pin(std::future::ready(answer))
    }
    fn list<'a>(&'a self, query: &'a List<'a>) -> Read<'a, Vec<Row>> {
        self.read(|sql| read::list(sql, query))
    }
    fn count<'a>(&'a self, kind: Kind, scope: ByScope<'a>, parent: Option<&'a str>) -> Read<'a, u64> {
        self.read(|sql| read::count(sql, kind, scope, parent))
    }
    fn tags<'a>(&'a self, arn: &'a str) -> Read<'a, Vec<Tag>> {
        let ticket = match self.recent.tags(arn) {
            Found::Here(tags) => return Box::pin(std::future::ready(Ok(tags))),
            Found::Read(ticket) => ticket,
        };
        let answer = self.with(|sql| read::tags(sql, arn).map_err(fault));
        if let Ok(tags) = &answer {
            self.recent.keep_tags(&ticket, arn, tags);
        }
        Box::pin(std::future::ready(answer))
    }
    fn unique<'a>(&'a self, namespace: &'a str, name: &'a str) -> Read<'a, Option<String>> {
        self.read(|sql| read::unique(sql, namespace, name))
    }
    fn secret<'a>(&'a self, id: &'a str) -> Read<'a, Option<Secret<String>>> {
        self.read(|sql| read::secret(sql, id))
    }
    fn series_read<'a>(&'a self, query: &'a SeriesRead<'a>) -> Read<'a, Vec<Entry>> {
        self.read(|sql| read::series_read(sql, query))
    }
    fn series_stats<'a>(&'a self, series: &'a str) -> Read<'a, Option<SeriesStats>> {
        self.read(|sql| read::series_stats(sql, series))
    }
    fn events(&self, after: Option<u64>, limit: usize, reverse: bool) -> Read<'_, Vec<Event>> {
        self.read(|sql| read::events(sql, after, limit, reverse))
    }
    fn events_by<'a>(&'a self, query: &'a EventsBy) -> Read<'a, Vec<Event>> {
        self.read(|sql| read::events_by(sql, query))
    }
    fn verify_events(&self) -> Read<'_, Verified> {
        Box::pin(std::future::ready(self.with(read::verify_events)))
    }
    fn work_due<'a>(&'a self, queue: &'a str, now: Timestamp, limit: usize) -> Read<'a, Vec<Work>> {
        self.read(|sql| read::work_due(sql, queue, now, limit))
    }
    fn work_next<'a>(&'a self, queue: &'a str) -> Read<'a, Option<Timestamp>> {
        self.read(|sql| read::work_next(sql, queue))
    }
    fn work_get<'a>(&'a self, queue: &'a str, key: &'a str) -> Read<'a, Option<Work>> {
        self.read(|sql| read::work_get(sql, queue, key))
    }

    fn claim<'a>(&'a self, queue: &'a str, now: Timestamp, lease_ms: i64) -> Read<'a, Option<Work>> {
        Box::pin(async move {
            // Asking the writer costs an fsync; most polls find nothing.
            if self.with(|sql| read::work_due(sql, queue, now, 1).map_err(fault))?.is_empty() {
                return Ok(None);
            }
            let (reply, answer) = oneshot::channel();
            self.send(Job::Claim { queue: queue.to_owned(), now, lease_ms, reply }, answer).await?
        })
    }

    fn commit(&self, batch: Batch) -> Fut<'_, Result<(), CommitError>> {
        Box::pin(async move {
            batch.check()?;
            let (reply, answer) = oneshot::channel();
            self.send(Job::Commit { batch, reply }, answer).await?
        })
    }

    fn revision(&self) -> u64 {
        self.signals.revision.load(Ordering::SeqCst)
    }
    fn work_signal(&self) -> watch::Receiver<u64> {
        self.signals.work.subscribe()
    }
}
