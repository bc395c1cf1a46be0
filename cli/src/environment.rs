//! How clients find the instance: `env`, `exec` and `profile write`.
//!
//! Many clients address hard-wired AWS host names, so besides the endpoint URL the environment names
//! the instance as HTTPS proxy and its CA as trusted (PRODUCT: the front door).

use std::{
    fs, io,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    args::{Env, Exec, Profile, ProfileCommand, ProfileWrite},
    failure::Failure,
};

/// `DIR/endpoint.json`: where the running instance listens.
#[derive(Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// `http://127.0.0.1:4566`.
    pub url: String,
    /// The server's process.
    pub pid: u32,
}

/// `DIR/administrator.json`: the first administrator's keys, mode 0600.
#[derive(Serialize, Deserialize)]
pub struct Administrator {
    /// The management account.
    pub account: String,
    /// `AKIA…`.
    pub access_key_id: String,
    /// 40 characters.
    pub secret_access_key: String,
}

/// The endpoint's file.
pub fn endpoint_file(data: &Path) -> PathBuf {
    data.join("endpoint.json")
}
/// The administrator's file.
pub fn administrator_file(data: &Path) -> PathBuf {
    data.join("administrator.json")
}
/// The bundle of the instance's CA and the system's.
pub fn bundle_file(data: &Path) -> PathBuf {
    data.join("ca-bundle.pem")
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path, what: &str) -> Result<T, Failure> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Unavailable(format!("`{}` is not there: {what}", path.display())),
        _ => Failure::Unavailable(format!("`{}`: {error}", path.display())),
    })?;
    serde_json::from_str(&text).map_err(|error| Failure::Unavailable(format!("`{}` is damaged: {error}", path.display())))
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let _stale = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// The endpoint of the instance in `data`.
pub fn endpoint(data: &Path) -> Result<Endpoint, Failure> {
    read(&endpoint_file(data), "is the instance running? start it with `tenantry serve --data DIR`")
}

/// The administrator of the instance in `data`.
pub fn administrator(data: &Path) -> Result<Administrator, Failure> {
    read(
        &administrator_file(data),
        "it is written when `tenantry serve` first starts; put the keys of another principal into the environment instead",
    )
}

/// Variables that do not hold keys.
fn plain_variables(data: &Path, region: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    let endpoint = endpoint(data)?;
    let bundle = bundle_file(data);
    let bundle = fs::canonicalize(&bundle).map_err(Failure::file(bundle))?.display().to_string();
    Ok(vec![
        ("AWS_ENDPOINT_URL", endpoint.url.clone()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("HTTPS_PROXY", endpoint.url),
        ("NO_PROXY", "127.0.0.1,localhost,::1".to_owned()),
        ("AWS_CA_BUNDLE", bundle.clone()),
        ("REQUESTS_CA_BUNDLE", bundle.clone()),
        ("SSL_CERT_FILE", bundle),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ])
}

fn variables(data: &Path, region: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    let administrator = administrator(data)?;
    let mut variables = plain_variables(data, region)?;
    variables.push(("AWS_ACCESS_KEY_ID", administrator.access_key_id));
    variables.push(("AWS_SECRET_ACCESS_KEY", administrator.secret_access_key));
    Ok(variables)
}

/// `tenantry env`.
#[expect(clippy::print_stdout, reason = "the lines are the command's data")]
pub fn print(env: &Env) -> Result<ExitCode, Failure> {
    let variables = variables(&env.data.dir, &env.region)?;
    if env.json {
        let object: serde_json::Map<String, serde_json::Value> = variables.into_iter().map(|(n, v)| (n.to_owned(), json!(v))).collect();
        println!("{}", serde_json::Value::Object(object));
    } else {
        for (name, value) in variables {
            println!("export {name}='{}'", value.replace('\'', r"'\''"));
        }
        println!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    }
    Ok(ExitCode::SUCCESS)
}

/// `tenantry exec`: becomes the command.
pub fn exec(exec: Exec) -> Result<ExitCode, Failure> {
    let [program, arguments @ ..] = exec.command.as_slice() else {
        return Err(Failure::Usage("exec takes a command behind `--`".to_owned()));
    };
    let mut command = std::process::Command::new(program);
    command.args(arguments);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    match exec.profile {
        Some(profile) => {
            command.envs(plain_variables(&exec.data.dir, &exec.region)?).env("AWS_PROFILE", profile);
        }
        None => {
            command.envs(variables(&exec.data.dir, &exec.region)?);
        }
    }
    let error = command.exec();
    Err(Failure::Usage(format!("`{}` cannot be run: {error}", program.display())))
}

/// `tenantry profile`.
pub fn profile(profile: Profile) -> Result<ExitCode, Failure> {
    match profile.command {
        ProfileCommand::Write(write) => write_profile(&write),
    }
}

fn aws_file(variable: &str, name: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let home =
        std::env::var_os("HOME").ok_or_else(|| Failure::Usage(format!("set HOME or {variable}: there is no place for the profile")))?;
    Ok(Path::new(&home).join(".aws").join(name))
}

fn write_profile(write: &ProfileWrite) -> Result<ExitCode, Failure> {
    if write.name.is_empty() || write.name.chars().any(|c| c.is_control() || matches!(c, '[' | ']')) {
        return Err(Failure::Usage("a profile's name has no brackets or control characters".to_owned()));
    }
    let endpoint = endpoint(&write.data.dir)?;
    let administrator = administrator(&write.data.dir)?;
    let bundle = bundle_file(&write.data.dir);
    let bundle = fs::canonicalize(&bundle).map_err(Failure::file(bundle))?;
    let mut settings = vec![("region", write.region.clone()), ("endpoint_url", endpoint.url), ("ca_bundle", bundle.display().to_string())];
    let keys_profile = match (&write.account, &write.role) {
        (Some(account), Some(role)) => {
            let source = format!("{}-administrator", write.name);
            settings.push(("role_arn", format!("arn:aws:iam::{account}:role/{}", role.trim_start_matches('/'))));
            settings.push(("role_session_name", write.session.clone()));
            settings.push(("source_profile", source.clone()));
            source
        }
        _ => write.name.clone(),
    };
    let config = aws_file("AWS_CONFIG_FILE", "config")?;
    let credentials = aws_file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?;
    let section = if write.name == "default" { "default".to_owned() } else { format!("profile {}", write.name) };
    put_section(&config, &section, &settings)?;
    if keys_profile != write.name {
        let plain =
            settings.iter().filter(|(name, _)| matches!(*name, "region" | "endpoint_url" | "ca_bundle")).cloned().collect::<Vec<_>>();
        put_section(&config, &format!("profile {keys_profile}"), &plain)?;
    }
    let keys = [("aws_access_key_id", administrator.access_key_id), ("aws_secret_access_key", administrator.secret_access_key)];
    put_section(&credentials, &keys_profile, &keys)?;
    eprintln!("profile `{}` is in {}", write.name, config.display());
    Ok(ExitCode::SUCCESS)
}

/// Replaces or adds a section of an INI file, leaving all else as it stands.
fn put_section(path: &Path, section: &str, settings: &[(&str, String)]) -> Result<(), Failure> {
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::file(path)(error)),
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Failure::file(parent))?;
    }
    write_private(path, &with_section(&before, section, settings)).map_err(Failure::file(path))
}

fn with_section(before: &str, section: &str, settings: &[(&str, String)]) -> String {
    let header = format!("[{section}]");
    let mut kept = String::new();
    let mut inside = false;
    for line in before.lines() {
        if line.trim_start().starts_with('[') {
            inside = line.trim() == header;
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    if !kept.is_empty() && !kept.ends_with("\n\n") {
        kept.push('\n');
    }
    kept.push_str(&header);
    kept.push('\n');
    for (name, value) in settings {
        kept.push_str(&format!("{name} = {value}\n"));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let before = "# mine\n[default]\nregion = eu-west-1\n\n[profile a]\nold = 1\n[profile b]\nx = y\n";
        let after = with_section(before, "profile a", &[("region", "us-east-1".into())]);
        assert_eq!(after, "# mine\n[default]\nregion = eu-west-1\n\n[profile b]\nx = y\n\n[profile a]\nregion = us-east-1\n");
        assert_eq!(with_section(&after, "profile a", &[("region", "us-east-1".into())]), after);
    }
}
