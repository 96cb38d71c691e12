//! Identifiers of others by kind.

use super::Source;
use crate::name::DatasetRef;

/// Kinds of identifiers, by the names that DataCite gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifierKind {
    /// Archival Resource Key.
    Ark,
    /// arXiv.
    ArXiv,
    /// Digital Object Identifier.
    Doi,
    /// Handle.
    Handle,
    /// International Generic Sample Number.
    Igsn,
    /// Anything with a scheme that is none of the others.
    Url,
    /// Uniform Resource Name.
    Urn,
}

impl IdentifierKind {
    /// DataCite's `relatedIdentifierType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ark => "ARK",
            Self::ArXiv => "arXiv",
            Self::Doi => "DOI",
            Self::Handle => "Handle",
            Self::Igsn => "IGSN",
            Self::Url => "URL",
            Self::Urn => "URN",
        }
    }
}

/// The kind of an identifier and its bare form: `https://doi.org/10.1/x` is the DOI `10.1/x`.
/// `None` for words.
pub fn kind_of(text: &str) -> Option<(IdentifierKind, String)> {
    let text = text.trim();
    let bare = [
        "https://doi.org/",
        "http://doi.org/",
        "https://dx.doi.org/",
        "http://dx.doi.org/",
        "doi:",
        "DOI:",
    ]
    .into_iter()
    .find_map(|prefix| text.strip_prefix(prefix));
    if let Some(doi) = bare.or_else(|| text.starts_with("10.").then_some(text))
        && doi.starts_with("10.")
        && doi.contains('/')
    {
        return Some((IdentifierKind::Doi, doi.to_owned()));
    }
    let with = |kind, bare: &str| Some((kind, bare.to_owned()));
    if text.starts_with("ark:") {
        return with(IdentifierKind::Ark, text);
    }
    if text.starts_with("urn:") {
        return with(IdentifierKind::Urn, text);
    }
    for (prefix, kind) in [
        ("https://hdl.handle.net/", IdentifierKind::Handle),
        ("http://hdl.handle.net/", IdentifierKind::Handle),
        ("hdl:", IdentifierKind::Handle),
        ("igsn:", IdentifierKind::Igsn),
        ("IGSN:", IdentifierKind::Igsn),
    ] {
        if let Some(bare) = text.strip_prefix(prefix) {
            return with(kind, bare);
        }
    }
    if text.starts_with("arXiv:") {
        return with(IdentifierKind::ArXiv, text);
    }
    crate::profile::is_identifier(text).then(|| (IdentifierKind::Url, text.to_owned()))
}

/// What something was made from or links to, as kind and identifier; datasets of this node by
/// their page.
pub(super) fn resolve(source: &Source, text: &str) -> Option<(IdentifierKind, String)> {
    if let Some(found) = kind_of(text) {
        return Some(found);
    }
    let reference: DatasetRef = text.trim().parse().ok()?;
    let lab = reference.lab.as_ref().unwrap_or(&source.lab);
    let version = reference.version.map(|version| format!("@{version}")).unwrap_or_default();
    let url = format!("{}/datasets/{lab}/{}{version}", source.base, reference.name);
    Some((IdentifierKind::Url, url))
}

/// An identifier as a URL, where one resolves it.
pub(super) fn url(kind: IdentifierKind, bare: &str) -> String {
    match kind {
        IdentifierKind::Doi => format!("https://doi.org/{}", encode_path(bare)),
        IdentifierKind::Handle => format!("https://hdl.handle.net/{}", encode_path(bare)),
        IdentifierKind::Ark => format!("https://n2t.net/{}", encode_path(bare)),
        IdentifierKind::ArXiv => {
            let id = bare.strip_prefix("arXiv:").unwrap_or(bare);
            format!("https://arxiv.org/abs/{}", encode_path(id))
        }
        IdentifierKind::Igsn => format!("https://igsn.org/{}", encode_path(bare)),
        IdentifierKind::Url | IdentifierKind::Urn => iri(bare),
    }
}

/// An IRI without the characters that none may have (RFC 3987): they are percent-encoded.
pub(super) fn iri(text: &str) -> String {
    escape(text, |c| !(c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c)))
}

fn encode_path(text: &str) -> String {
    escape(text, |c| c.is_ascii_alphanumeric() || "-._~/:;()@!$&'*+,=".contains(c))
}

/// One segment of a path.
pub(super) fn encode(text: &str) -> String {
    escape(text, |c| c.is_ascii_alphanumeric() || "-._~".contains(c))
}

fn escape(text: &str, plain: impl Fn(char) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut buffer = [0_u8; 4];
    for character in text.chars() {
        if plain(character) {
            encoded.push(character);
        } else {
            for byte in character.encode_utf8(&mut buffer).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    encoded
}

/// The URL of an ORCID iD, written with or without one.
pub(super) fn orcid_url(text: &str) -> String {
    format!("https://orcid.org/{}", encode(last(text)))
}

/// The URL of a ROR, written with or without one.
pub(super) fn ror_url(text: &str) -> String {
    format!("https://ror.org/{}", encode(&last(text).to_ascii_lowercase()))
}

fn last(text: &str) -> &str {
    text.trim().rsplit('/').next().unwrap_or_default()
}

/// The page of a licence that is one SPDX identifier.
pub(super) fn license_url(expression: &str) -> String {
    format!("https://spdx.org/licenses/{}", encode(expression))
}
