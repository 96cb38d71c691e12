//! Sessions: options that hold for all calls of a client (`SetSessionOptions` and its like), which it
//! names by a cookie. arrow-flight has no messages for them; these are those of Flight.proto.

use super::identity::Caller;
use super::statements::Statements;
use super::status::refuse;
use crate::engine::SessionOptions;
use prost::Message;
use std::collections::HashMap;
use std::time::Duration;
use tarn_schemas::PartialMode;
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// The cookie that names a session.
pub(crate) const COOKIE: &str = "arrow_flight_session_id";
/// Longest time that an option may ask for: a year.
const LONGEST: f64 = 31_536_000.0;

/// The value of an option.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub(crate) option_value: Option<OptionValue>,
}

/// What it may be; nothing at all unsets the option.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(StringList),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringList {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
}

/// Both the request of `SetSessionOptions` and the answer of `GetSessionOptions`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OptionsMessage {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) errors: HashMap<String, SetError>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct SetError {
    /// 1: there is no such option; 2: it has no such value.
    #[prost(int32, tag = "1")]
    pub(crate) value: i32,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct CloseResult {
    /// 1: closed; 3: there is none.
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
}

/// The session that the cookies of a call name.
pub(crate) fn named(metadata: &MetadataMap) -> Option<Uuid> {
    let cookies = metadata.get_all("cookie");
    cookies
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .find_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            if name == COOKIE { value.trim_matches('"').parse().ok() } else { None }
        })
}

/// The caller with the options of the session, if there is one.
pub(crate) fn apply(statements: &Statements, caller: &mut Caller) {
    let Some(id) = caller.session else { return };
    let named_by_header = caller.options.partial;
    if let Some(options) = statements.session(&caller.who, id, |options| *options) {
        caller.options = options;
        if named_by_header == PartialMode::Allow {
            caller.options.partial = PartialMode::Allow;
        }
    }
}

/// Sets options; the session that they are of, where it begins with them.
pub(crate) fn set(
    statements: &Statements,
    caller: &Caller,
    body: &[u8],
) -> Result<(SetResult, Option<Uuid>), Status> {
    let message = OptionsMessage::decode(body).map_err(|error| {
        refuse(ErrorCode::InvalidArgument, format!("the message is malformed: {error}"))
    })?;
    let mut errors = HashMap::new();
    let mut change = |options: &mut SessionOptions| {
        for (name, value) in &message.session_options {
            if let Err(value) = set_one(options, name, value.option_value.as_ref()) {
                errors.insert(name.clone(), SetError { value });
            }
        }
    };
    let known = caller.session.and_then(|id| statements.session(&caller.who, id, &mut change));
    let begun = match known {
        Some(()) => None,
        None => {
            let mut options = caller.options;
            change(&mut options);
            Some(statements.open_session(&caller.who, options)?)
        }
    };
    Ok((SetResult { errors }, begun))
}

const NO_SUCH_OPTION: i32 = 1;
const NO_SUCH_VALUE: i32 = 2;

fn set_one(
    options: &mut SessionOptions,
    name: &str,
    value: Option<&OptionValue>,
) -> Result<(), i32> {
    match (name, value) {
        ("partial", None) => options.partial = PartialMode::Error,
        ("partial", Some(OptionValue::Text(text))) => {
            options.partial = match text.as_str() {
                "allow" => PartialMode::Allow,
                "error" => PartialMode::Error,
                _ => return Err(NO_SUCH_VALUE),
            }
        }
        ("seconds", None) => options.bounds.run_time = None,
        ("seconds", Some(value)) => {
            let seconds = match value {
                OptionValue::Double(seconds) => Some(*seconds),
                OptionValue::Integer(seconds) => u32::try_from(*seconds).ok().map(f64::from),
                OptionValue::Text(text) => text.parse().ok(),
                OptionValue::Bool(_) | OptionValue::List(_) => None,
            };
            let seconds = seconds.filter(|seconds| (0.0..=LONGEST).contains(seconds));
            let seconds = seconds.ok_or(NO_SUCH_VALUE)?;
            options.bounds.run_time = Some(Duration::from_secs_f64(seconds));
        }
        ("rows", None) => options.bounds.rows = None,
        ("rows", Some(value)) => {
            let rows = match value {
                OptionValue::Integer(rows) => u64::try_from(*rows).ok(),
                OptionValue::Text(text) => text.parse().ok(),
                _ => None,
            };
            options.bounds.rows = Some(rows.ok_or(NO_SUCH_VALUE)?);
        }
        ("partial", Some(_)) => return Err(NO_SUCH_VALUE),
        _ => return Err(NO_SUCH_OPTION),
    }
    Ok(())
}

/// The options of the caller's session.
pub(crate) fn get(caller: &Caller) -> OptionsMessage {
    let options = caller.options;
    let partial = match options.partial {
        PartialMode::Allow => "allow",
        PartialMode::Error => "error",
    };
    let seconds = options.bounds.run_time.map(|time| OptionValue::Double(time.as_secs_f64()));
    let rows = options.bounds.rows;
    let rows = rows.map(|rows| OptionValue::Integer(i64::try_from(rows).unwrap_or(i64::MAX)));
    let all = [
        ("partial", Some(OptionValue::Text(partial.to_owned()))),
        ("seconds", seconds),
        ("rows", rows),
    ];
    let session_options = all
        .into_iter()
        .map(|(name, option_value)| (name.to_owned(), SessionOptionValue { option_value }))
        .collect();
    OptionsMessage { session_options }
}

/// Ends the caller's session.
pub(crate) fn close(statements: &Statements, caller: &Caller) -> CloseResult {
    let closed = caller.session.is_some_and(|id| statements.close_session(&caller.who, id));
    CloseResult { status: if closed { 1 } else { 3 } }
}
