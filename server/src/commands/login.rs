//! `tarn login` and `tarn logout`

use super::{Context, Outcome};
use crate::cli::{Login, Logout};
use crate::config::Config;
use crate::failure::{Failure, io};
use crate::home::{folder, is_home};
use crate::logins::{self, Logins};
use std::io::{BufRead, IsTerminal, Read};
use tarn_connectors::oidc::OidcError;
use tarn_connectors::oidc::device::DeviceLogin;
use tarn_connectors::oidc::node::{Doors, IssuerDoor, Node, Proof};
use tarn_schemas::ErrorCode;

/// Longest one-time token that is read.
const LONGEST_TOKEN: u64 = 1024;

/// Logs in at a node by device code, and keeps what it gives.
pub(crate) async fn login(context: &Context, args: &Login) -> Result<(), Outcome> {
    let mut stored = Logins::load()?;
    let server = server(context, args.server.as_deref(), &stored)?;
    let node = Node::new(&server)?;
    // Asked for before anybody has to wait.
    let once = args.administrator.as_deref().map(one_time).transpose()?;
    if args.print_token {
        let login = kept(&stored, node.url())?;
        say!("{}", login.token);
        return Ok(());
    }
    let doors = node.doors().await?;
    let issuer = choose(&doors, args.issuer.as_deref())?;
    let keeps_flight = logins::keeps_flight(node.url(), &doors.flight);
    let (client, scopes) = (&issuer.device_client_id, &issuer.scopes);
    stored.check_client(node.url(), &issuer.url, client)?;
    // Everything that is asked for is said by the node: only its own address is this user's word, and
    // the tokens are asked to be good there alone.
    let device = DeviceLogin::begin(&issuer.url, client, scopes, node.url()).await?;
    let code = &device.code;
    // Also with --quiet: without it nobody can log in.
    tell!(
        "You are giving {} a login of {client} at {}. If that is what you want, open\n  {}\nand enter \
         the code\n  {}",
        node.url(),
        issuer.url,
        code.verification_uri,
        code.user_code
    );
    if let Some(complete) = &code.verification_uri_complete {
        tell!("or open\n  {complete}");
    }
    if let Some(host) = &device.elsewhere {
        tell!(
            "Take care: this page is at {host}, and not at the issuer itself. Enter nothing there unless \
             you know it as a page of your issuer."
        );
    }
    context.note(format_args!("It is good for {} minutes.", code.expires_in.div_ceil(60)));
    let proof = Proof::of(device.wait().await?, node.url(), client)?;
    if let Proof::Identity(_) = &proof {
        // Read again: another login may have ended meanwhile.
        stored = Logins::load()?;
        stored.check_client(node.url(), &issuer.url, client)?;
        stored.keep_client(node.url(), &issuer.url, client);
        // Before it is given away, so that no other node is given it later on.
        stored.store()?;
    }
    let session = node.login(issuer, &proof).await.map_err(|error| match (&error, &proof) {
        (OidcError::Node { code: ErrorCode::Unauthenticated, .. }, Proof::Bound(_)) => {
            Failure::from(error).and(format_args!(
                "your login is for {} alone: if the node has another address, give that with --server",
                node.url()
            ))
        }
        _ => error.into(),
    })?;
    let login = logins::Login {
        lab: doors.lab.to_string(),
        flight: if keeps_flight { doors.flight } else { String::new() },
        token: session.token.clone(),
        expires_at: session.expires_at.clone(),
        name: session.name.clone(),
        called: session.called.clone(),
    };
    stored.logins.insert(node.url().to_owned(), login);
    let place = stored.store()?;
    if let Some(once) = &once {
        node.become_administrator(&session.token, once).await?;
    }
    if !keeps_flight {
        tell!(
            "The node says that its Flight address is on another host than {}: programs do not find this \
             login by it. Give them the token (`tarn login --print-token`).",
            node.url()
        );
    }
    if context.json {
        let done = serde_json::json!({
            "server": node.url(),
            "lab": doors.lab,
            "name": session.name,
            "called": session.called,
            "expires_at": session.expires_at,
        });
        say!("{done}");
    }
    context.note(format_args!(
        "{} is logged in at {} until {} ({}); `tarn logout` ends it.",
        session.called,
        doors.lab,
        session.expires_at,
        place.display()
    ));
    Ok(())
}

/// Ends a login, here and at the node.
pub(crate) async fn logout(context: &Context, args: &Logout) -> Result<(), Outcome> {
    let mut stored = Logins::load()?;
    let server = server(context, args.server.as_deref(), &stored)?;
    let node = Node::new(&server)?;
    let token = match stored.logins.get(node.url()) {
        Some(login) => login.token.clone(),
        None => kept(&stored, node.url())?.token.clone(),
    };
    match node.logout(&token).await {
        // Nothing to end any more.
        Ok(()) | Err(OidcError::Node { code: ErrorCode::Unauthenticated, .. }) => {}
        // Kept, so that it can be ended later on.
        Err(error) => return Err(error.into()),
    }
    stored.logins.remove(node.url());
    stored.store()?;
    context.note(format_args!("Logged out of {}.", node.url()));
    Ok(())
}

/// A one-time token: as given, or from standard input.
fn one_time(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    if std::io::stdin().is_terminal() {
        tell!("The one-time token, as `tarn init` or `tarn user invite` printed it:");
    }
    let mut line = String::new();
    let mut input = std::io::stdin().lock().take(LONGEST_TOKEN);
    input.read_line(&mut line).map_err(|error| io("standard input", &error))?;
    match line.trim() {
        "" => Err(Failure::new(
            ErrorCode::InvalidArgument,
            "there is no one-time token on standard input: `tarn user invite` prints one",
        )),
        token => Ok(token.to_owned()),
    }
}

/// The node that is meant: the one that was named, that of the home, or the only one of a login.
fn server(context: &Context, said: Option<&str>, stored: &Logins) -> Result<String, Failure> {
    if let Some(server) = said {
        return Ok(server.to_owned());
    }
    let (folder, _) = folder(context.home.as_deref())?;
    if is_home(&folder) {
        return Ok(Config::load(&folder)?.public_http());
    }
    let mut known = stored.logins.keys();
    match (known.next(), known.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => Err(Failure::new(
            ErrorCode::InvalidArgument,
            "say which node: --server http://HOST:8080",
        )),
    }
}

fn kept<'a>(stored: &'a Logins, server: &str) -> Result<&'a logins::Login, Failure> {
    let login = stored.logins.get(server).ok_or_else(|| {
        let problem = format!("no login at {server}; log in with `tarn login --server {server}`");
        Failure::new(ErrorCode::Unauthenticated, problem)
    })?;
    let alive = chrono::DateTime::parse_from_rfc3339(&login.expires_at)
        .is_ok_and(|until| chrono::Utc::now() < until);
    if alive {
        return Ok(login);
    }
    let problem = format!(
        "the login at {server} has expired; log in again with `tarn login --server {server}`"
    );
    Err(Failure::new(ErrorCode::Unauthenticated, problem))
}

fn choose<'a>(doors: &'a Doors, said: Option<&str>) -> Result<&'a IssuerDoor, Failure> {
    let names: Vec<&str> = doors.issuers.iter().map(|issuer| issuer.name.as_str()).collect();
    let wrong = |problem: String| Failure::new(ErrorCode::InvalidArgument, problem);
    match (said, doors.issuers.as_slice()) {
        (_, []) => Err(Failure::new(
            ErrorCode::NotFound,
            format!("{} accepts no logins: its operator adds [[issuers]] to tarn.toml", doors.lab),
        )),
        (None, [only]) => Ok(only),
        (None, _) => Err(wrong(format!("say where: --issuer {}", names.join(" or --issuer ")))),
        (Some(name), all) => all.iter().find(|issuer| issuer.name == name).ok_or_else(|| {
            wrong(format!("{} has no issuer {name:?}; there are {}", doors.lab, names.join(", ")))
        }),
    }
}
