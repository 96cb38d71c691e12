//! How a connection begins: what the client wants, who it is, and what it is told first.

use super::failure::Refusal;
use super::message::{Fields, Message, Wrong, body, read};
use super::reply::{Replies, Severity};
use super::settings::Settings;
use crate::engine::Engine;
use crate::error::QueryError;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tarn_schemas::Principal;
use tarn_schemas::code::{Coded, ErrorCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Most bytes of what a client begins with.
const MOST: usize = 10_000;
/// Most bytes of a password: the tokens of some issuers are long.
const LONGEST_PASSWORD: usize = 64 << 10;
/// How long whoever sent a wrong password waits for the answer.
const WRONG_PASSWORD: Duration = Duration::from_secs(1);
/// The user who is asked for no password, and is nobody in particular.
const ANONYMOUS: &str = "anonymous";

/// What a client begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// It asks whether the connection may be made secret with TLS.
    Tls,
    /// It asks whether it may be made secret with GSSAPI.
    Gss,
    /// It asks to stop what runs on another connection.
    Cancel {
        /// The number of that connection.
        process: i32,
        /// Its secret.
        secret: i32,
    },
    /// It wants to come in.
    Startup(Startup),
}

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// The newest minor version of the protocol that it knows.
    minor: i32,
    settings: BTreeMap<String, String>,
}

/// Reads what a client begins with.
///
/// # Errors
/// What the client is to be told with [`turn_away`].
pub async fn greeting<R: AsyncRead + Unpin>(from: &mut R) -> Result<Greeting, Refusal> {
    read_greeting(from).await.map_err(|wrong| Refusal::new("08P01", wrong.to_string()))
}

async fn read_greeting<R: AsyncRead + Unpin>(from: &mut R) -> Result<Greeting, Wrong> {
    const TLS: i32 = 80_877_103;
    const GSS: i32 = 80_877_104;
    const CANCEL: i32 = 80_877_102;
    let length = from.read_i32().await?;
    let mut fields = Fields::of(body(from, length, 4, MOST).await?);
    let greeting = match fields.i32()? {
        TLS => Greeting::Tls,
        GSS => Greeting::Gss,
        CANCEL => Greeting::Cancel { process: fields.i32()?, secret: fields.i32()? },
        version if version >> 16 == 3 => {
            let mut settings = BTreeMap::new();
            loop {
                let name = fields.text()?;
                if name.is_empty() {
                    break;
                }
                settings.insert(name, fields.text()?);
            }
            Greeting::Startup(Startup { minor: version & 0xffff, settings })
        }
        _ => return Err(Wrong::Malformed("it begins with another version")),
    };
    fields.end()?;
    Ok(greeting)
}

/// Tells a client why it cannot come in.
pub async fn turn_away<W: AsyncWrite + Unpin>(to: &mut W, refusal: &Refusal) -> io::Result<()> {
    let mut replies = Replies::default();
    replies.error(Severity::Fatal, refusal);
    to.write_all(&replies.take()).await?;
    to.shutdown().await
}

/// What a client came in with, which is asked again for each statement.
#[derive(Debug, Clone)]
pub(super) struct Standing(Option<String>);

impl Standing {
    /// Whether anybody has it.
    pub(super) fn is_anonymous(&self) -> bool {
        self.0.is_none()
    }

    /// Who it is now.
    pub(super) async fn principal(&self, engine: &Engine) -> Result<Principal, Refusal> {
        let Some(token) = &self.0 else { return Ok(Principal::Anonymous) };
        let Some(catalog) = engine.catalog() else {
            return Err(Refusal::new("28P01", "this node has no tokens"));
        };
        let who = catalog.authenticate(token).await;
        who.map_err(|error| {
            let error = QueryError::from(error);
            if error.code() == ErrorCode::Unauthenticated {
                return Refusal::new("28P01", error.to_string());
            }
            Refusal::from(error)
        })
    }
}

impl Startup {
    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The name that it gives itself. It says nothing of who it is: that is the token's.
    pub(super) fn user(&self) -> &str {
        self.setting("user").unwrap_or(ANONYMOUS)
    }

    /// Whether it may be another version than it asked for, and what it asked for that is not known.
    pub(super) fn unknown(&self) -> Option<Vec<String>> {
        let unknown: Vec<String> =
            self.settings.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
        (self.minor > 0 || !unknown.is_empty()).then_some(unknown)
    }

    /// The settings that it begins with.
    pub(super) fn settings(&self) -> Result<Settings, Refusal> {
        let application = self.setting("application_name").unwrap_or_default();
        let mut settings = Settings::new(self.user(), application);
        for (name, value) in &self.settings {
            let known = ["user", "database", "options", "replication", "application_name"];
            if !known.contains(&name.as_str()) && !name.starts_with("_pq_.") {
                // Some write it as a literal.
                settings.set(name, value.trim_matches('\''))?;
            }
        }
        // -c name=value, or --name=value
        let words = self.setting("options").unwrap_or_default().split_whitespace();
        for word in words {
            let word = word.trim_start_matches("--");
            let word = word.strip_prefix("-c").unwrap_or(word);
            if let Some((name, value)) = word.split_once('=') {
                settings.set(&name.replace('-', "_"), value)?;
            }
        }
        Ok(settings)
    }

    /// Lets the client in, or says why not.
    pub(super) async fn admit<R, W>(
        &self,
        engine: &Engine,
        safe: bool,
        (from, to): (&mut R, &mut W),
    ) -> Result<(Standing, String), Refusal>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self
            .setting("replication")
            .is_some_and(|value| !matches!(value, "false" | "off" | "0" | "no"))
        {
            return Err(Refusal::new("0A000", "there is no replication here"));
        }
        let standing = if self.user() == ANONYMOUS {
            Standing(None)
        } else {
            if !safe {
                let problem = "a password would be sent in clear text: connect with sslmode=require (the operator of \
                               the node sets [tls] in tarn.toml), or as user anonymous, who has none";
                return Err(Refusal::new("28000", problem));
            }
            Standing(Some(password(from, to).await?))
        };
        let who = match standing.principal(engine).await {
            Ok(who) => who,
            Err(refusal) => {
                tokio::time::sleep(WRONG_PASSWORD).await;
                let message = format!("{}; the password is a token of this lab", refusal.message);
                return Err(Refusal { message, ..refusal });
            }
        };
        let lab = engine.catalog().map(|catalog| catalog.lab().to_string()).unwrap_or_default();
        let asked = self.setting("database").unwrap_or_else(|| self.user());
        if asked != lab {
            let problem = format!(
                "there is no database {asked:?} here: the database is the lab, {lab:?}; tables of other labs are \
                 lab.dataset.table in SQL"
            );
            return Err(Refusal::new("3D000", problem));
        }
        Ok((standing, name(&who)))
    }
}

/// What somebody is called, whatever name they came in with.
fn name(who: &Principal) -> String {
    match who {
        Principal::Person { name, .. } => name.clone(),
        Principal::Visitor { name, .. } => name.clone().unwrap_or_else(|| ANONYMOUS.to_owned()),
        Principal::Owner | Principal::Anonymous => ANONYMOUS.to_owned(),
    }
}

/// Asks for the password.
async fn password<R, W>(from: &mut R, to: &mut W) -> Result<String, Refusal>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    const CLEAR_TEXT: i32 = 3;
    let broken = |wrong: Wrong| Refusal::new("08P01", wrong.to_string());
    let mut replies = Replies::default();
    replies.authentication(CLEAR_TEXT);
    to.write_all(&replies.take()).await.map_err(|error| broken(error.into()))?;
    to.flush().await.map_err(|error| broken(error.into()))?;
    let missing = || Refusal::new("28P01", "there is no password: it is a token of this lab");
    let (tag, body) = read(from, LONGEST_PASSWORD).await.map_err(broken)?.ok_or_else(missing)?;
    match Message::of(tag, body).map_err(broken)? {
        Message::Password(password) if !password.is_empty() => Ok(password),
        _ => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(rest: &[u8]) -> Vec<u8> {
        let length = i32::try_from(rest.len() + 4).unwrap();
        [&length.to_be_bytes()[..], rest].concat()
    }

    async fn one(bytes: Vec<u8>) -> Result<Greeting, Refusal> {
        greeting(&mut bytes.as_slice()).await
    }

    #[tokio::test]
    async fn a_client_begins_in_one_of_four_ways() {
        assert_eq!(one(packet(&80_877_103_i32.to_be_bytes())).await, Ok(Greeting::Tls));
        assert_eq!(one(packet(&80_877_104_i32.to_be_bytes())).await, Ok(Greeting::Gss));
        let cancel = [80_877_102_i32, 7, -1].map(i32::to_be_bytes).concat();
        assert_eq!(one(packet(&cancel)).await, Ok(Greeting::Cancel { process: 7, secret: -1 }));
        let startup =
            [&196_608_i32.to_be_bytes()[..], b"user\0ada\0options\0-c statement_timeout=5s\0\0"];
        let Ok(Greeting::Startup(startup)) = one(packet(&startup.concat())).await else { panic!() };
        assert_eq!((startup.user(), startup.unknown()), ("ada", None));
        assert_eq!(startup.settings().unwrap().timeout(), Some(Duration::from_secs(5)));
    }

    #[tokio::test]
    async fn whatever_else_begins_is_refused() {
        for wrong in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            packet(&131_072_i32.to_be_bytes()),
            packet(b"\0\x03\0\0user\0ada"),
            packet(b""),
            vec![0, 0, 0, 3],
            vec![0xff; 64],
        ] {
            assert!(one(wrong.clone()).await.is_err(), "{wrong:?}");
        }
    }
}
