//! Passwords: how they are kept, and what an account asks of them.
//!
//! A password is kept as PBKDF2 with HMAC-SHA512 under a salt of its user's. The passwords before it are kept
//! under the same salt, so that looking for a used one costs one derivation and not twenty-four. Derivations
//! run beside the requests, two at a time: whoever asks for many slows down other passwords, nothing else.
//!
//! Source: "Set an account password policy for IAM users", IAM User Guide.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{pbkdf2, rand::SecureRandom};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tenantry_core::{AwsError, Result, Secret};
use tokio::sync::Semaphore;

/// Rounds: what OWASP's password storage cheat sheet asks of PBKDF2-HMAC-SHA512.
const ROUNDS: NonZeroU32 = NonZeroU32::new(210_000).expect("it is not zero");
/// Passwords that are remembered of a user: the most that a policy can ask for.
const REMEMBERED: usize = 24;
/// Derivations at a time.
static PLACES: Semaphore = Semaphore::const_new(2);

/// A user's passwords, as they are stored: the one in force first.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    salt: String,
    hashes: Vec<String>,
}

impl Kept {
    /// Reads what [`Kept::text`] wrote.
    ///
    /// # Errors
    /// Internal.
    pub(crate) fn read(text: &Secret<String>) -> Result<Self> {
        serde_json::from_str(text.expose()).map_err(|_| AwsError::internal("a stored password cannot be read"))
    }

    /// As it is stored.
    ///
    /// # Errors
    /// Internal.
    pub(crate) fn text(&self) -> Result<Secret<String>> {
        Ok(Secret::new(serde_json::to_string(self).map_err(AwsError::internal)?))
    }

    /// Without a password yet.
    ///
    /// # Errors
    /// Internal, where there is no randomness.
    pub(crate) fn new() -> Result<Self> {
        let mut salt = [0_u8; 16];
        ring::rand::SystemRandom::new().fill(&mut salt).map_err(AwsError::internal)?;
        Ok(Self { salt: STANDARD.encode(salt), hashes: Vec::new() })
    }

    /// The hash of a password under this user's salt.
    ///
    /// # Errors
    /// Internal.
    pub(crate) async fn hash(&self, password: &str) -> Result<Hash> {
        let salt = STANDARD.decode(&self.salt).map_err(AwsError::internal)?;
        let password = Secret::new(password.to_owned());
        let _place = PLACES.acquire().await.map_err(AwsError::internal)?;
        let derive = move || {
            let mut hash = [0_u8; 64];
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, ROUNDS, &salt, password.expose().as_bytes(), &mut hash);
            Hash(hash)
        };
        tokio::task::spawn_blocking(derive).await.map_err(AwsError::internal)
    }

    /// Whether it is one of the last `count` passwords.
    pub(crate) fn has(&self, hash: &Hash, count: usize) -> bool {
        let same = |kept: &String| STANDARD.decode(kept).is_ok_and(|kept| bool::from(kept.ct_eq(&hash.0)));
        self.hashes.iter().take(count).any(same)
    }

    /// Puts a password in force.
    pub(crate) fn set(&mut self, hash: &Hash) {
        self.hashes.insert(0, STANDARD.encode(hash.0));
        self.hashes.truncate(REMEMBERED);
    }
}

/// A derived password.
pub(crate) struct Hash([u8; 64]);

/// What an account asks of passwords, by the names of the API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Rules {
    pub minimum_password_length: usize,
    pub require_symbols: bool,
    pub require_numbers: bool,
    pub require_uppercase_characters: bool,
    pub require_lowercase_characters: bool,
    /// A permission for AWS's console, which lets users change their own password where no policy does. There is
    /// no console here: it is kept and shown.
    pub allow_users_to_change_password: bool,
    /// Days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_password_age: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_reuse_prevention: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_expiry: Option<bool>,
}

impl Default for Rules {
    /// What UpdateAccountPasswordPolicy takes for what it is not told.
    fn default() -> Self {
        Self {
            minimum_password_length: 6,
            require_symbols: false,
            require_numbers: false,
            require_uppercase_characters: false,
            require_lowercase_characters: false,
            allow_users_to_change_password: false,
            max_password_age: None,
            password_reuse_prevention: None,
            hard_expiry: None,
        }
    }
}

/// AWS's symbols.
fn is_symbol(c: char) -> bool {
    "!@#$%^&*()_+-=[]{}|'".contains(c)
}

/// What is wrong with a password under an account's rules; `None`: the account has none of its own, so that AWS's
/// default holds: eight characters, three kinds of four, neither the account's name nor the user's.
pub(crate) fn fault(rules: Option<&Rules>, password: &str, names: &[&str]) -> Option<String> {
    let length = password.chars().count();
    let kinds: [(bool, &str); 4] = [
        (password.chars().any(|c| c.is_ascii_uppercase()), "uppercase letter"),
        (password.chars().any(|c| c.is_ascii_lowercase()), "lowercase letter"),
        (password.chars().any(|c| c.is_ascii_digit()), "number"),
        (password.chars().any(is_symbol), "symbol"),
    ];
    let Some(rules) = rules else {
        let short = (length < 8).then(|| "Password should have a minimum length of 8".to_owned());
        let few = kinds.iter().filter(|(there, _)| *there).count() < 3;
        let text = "Password should have at least three of these: an uppercase letter, a lowercase letter, a number, a symbol";
        let named = names.iter().any(|name| password.eq_ignore_ascii_case(name));
        return short
            .or_else(|| few.then(|| text.to_owned()))
            .or_else(|| named.then(|| "Password should not be the name of the account or of the user".to_owned()));
    };
    if length < rules.minimum_password_length {
        return Some(format!("Password should have a minimum length of {}", rules.minimum_password_length));
    }
    let wanted = [rules.require_uppercase_characters, rules.require_lowercase_characters, rules.require_numbers, rules.require_symbols];
    let lacks = kinds.iter().zip(wanted).find(|((there, _), wanted)| *wanted && !there);
    lacks.map(|((_, kind), _)| format!("Password should have at least one {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules() {
        let says = |password: &str| fault(None, password, &["111122223333", "Ann.Bee-77"]);
        assert_eq!(says("Abcdef1!"), None);
        assert_eq!(says("Abcdef12"), None);
        assert!(says("Abcde1!").unwrap().contains("length of 8"));
        assert!(says("abcdefg1").unwrap().contains("three of these"));
        assert!(says("ANN.bee-77").unwrap().contains("name"));
    }

    #[test]
    fn an_accounts_rules() {
        let mut rules = Rules { minimum_password_length: 10, ..Rules::default() };
        assert_eq!(fault(Some(&rules), "aaaaaaaaaa", &[]), None);
        assert_eq!(fault(Some(&rules), "aaaaaaaaa", &[]).unwrap(), "Password should have a minimum length of 10");
        rules.require_symbols = true;
        assert_eq!(fault(Some(&rules), "aaaaaaaaaa", &[]).unwrap(), "Password should have at least one symbol");
        rules.require_uppercase_characters = true;
        assert_eq!(fault(Some(&rules), "aaaaaaaaa!", &[]).unwrap(), "Password should have at least one uppercase letter");
        (rules.require_lowercase_characters, rules.require_numbers) = (true, true);
        assert_eq!(fault(Some(&rules), "AAAAAAAA1!", &[]).unwrap(), "Password should have at least one lowercase letter");
        assert_eq!(fault(Some(&rules), "AAAAAAAAa!", &[]).unwrap(), "Password should have at least one number");
        assert_eq!(fault(Some(&rules), "AAAAAAAA1a!", &[]), None);
    }

    #[tokio::test]
    async fn kept_passwords_are_known_again_and_not_readable() {
        let mut kept = Kept::new().unwrap();
        for n in 0..=REMEMBERED {
            let hash = Hash([u8::try_from(n).unwrap(); 64]);
            assert!(!kept.has(&hash, REMEMBERED));
            kept.set(&hash);
        }
        assert!(!kept.has(&Hash([0; 64]), REMEMBERED), "twenty-four are remembered");
        assert!(kept.has(&Hash([1; 64]), REMEMBERED) && !kept.has(&Hash([1; 64]), REMEMBERED - 1));
        let hash = kept.hash("correct horse").await.unwrap();
        kept.set(&hash);
        let text = kept.text().unwrap();
        assert!(!text.expose().contains("horse"));
        let read = Kept::read(&text).unwrap();
        assert!(read.has(&read.hash("correct horse").await.unwrap(), 1));
        assert!(!read.has(&read.hash("correct horsf").await.unwrap(), 1));
        let other = Kept::new().unwrap();
        assert!(!read.has(&other.hash("correct horse").await.unwrap(), 1), "salts differ");
    }
}
