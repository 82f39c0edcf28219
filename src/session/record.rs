//! What is kept of a session, and its sealed form (`proto/tiergate/session/v1`).

use std::fmt;

use prost::Message as _;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::id::{SessionId, SessionKey};
use super::sealing::{Seals, Unsealable};
use crate::types::{ProviderId, Random, Secret, UnixTime};

pub(super) mod wire {
    #![expect(unreachable_pub, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/tiergate.session.v1.rs"));
}

const RECORD: &str = "session";
const CARD: &str = "session card";
const MOVED: &str = "moved session";
/// The longest name of a browser that is kept, in bytes.
const MAX_USER_AGENT: usize = 256;

/// A session, opened.
#[derive(Clone, PartialEq)]
pub struct Session {
    /// The provider that the person signed in at.
    pub provider: ProviderId,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `sub`, the same in every token of the session.
    pub subject: String,
    /// The provider's own session, where it told.
    pub sid: Option<String>,
    /// What tiers and scopes come from.
    pub authority: Authority,
    /// The claims of the ID token and of userinfo: name and e-mail address.
    pub profile: Map<String, Value>,
    /// Renews the authority.
    pub refresh_token: Option<Secret>,
    /// The last ID token, for the sign-out at the provider.
    pub id_token: Option<Secret>,
    /// When the person signed in.
    pub signed_in_at: UnixTime,
    /// The browser as it named itself at sign-in.
    pub user_agent: String,
}

/// What a sealed record says.
pub(super) enum Record {
    /// A session, and the one whose place it took while its browser may still
    /// hold the old id.
    Session(Box<Session>, Option<SessionKey>),
    /// The session goes on under this id.
    Moved(SessionId),
}

/// The verified claims that tiers and scopes come from.
#[derive(Clone, PartialEq)]
pub struct Authority {
    /// Whether they stood in the access token; else in the ID token.
    pub from_access_token: bool,
    /// The claims.
    pub claims: Map<String, Value>,
    /// When the provider's word ends unless it is renewed.
    pub expires_at: UnixTime,
}

/// What an operator, and the person in the list of their own sessions, may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCard {
    /// The provider that the person signed in at.
    pub provider: ProviderId,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `sub`.
    pub subject: String,
    /// When the person signed in.
    pub signed_in_at: UnixTime,
    /// The browser as it named itself at sign-in.
    pub user_agent: String,
}

impl Session {
    /// What an operator may see of it.
    #[must_use]
    pub fn card(&self) -> SessionCard {
        SessionCard {
            provider: self.provider.clone(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            signed_in_at: self.signed_in_at,
            user_agent: self.user_agent.clone(),
        }
    }

    pub(super) fn seal(
        &self,
        id: &SessionId,
        predecessor: Option<SessionKey>,
        seals: &Seals,
        random: &dyn Random,
    ) -> Vec<u8> {
        let expose =
            |secret: &Option<Secret>| secret.as_ref().map_or_else(String::new, |text| text.expose().to_owned());
        let source = if self.authority.from_access_token {
            wire::authority::Source::AccessToken
        } else {
            wire::authority::Source::IdToken
        };
        let message = wire::SessionRecord {
            provider: self.provider.as_str().to_owned(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            sid: self.sid.clone().unwrap_or_default(),
            authority: Some(wire::Authority {
                source: source.into(),
                claims: json(&self.authority.claims),
                expires_at_ms: self.authority.expires_at.as_millis(),
            }),
            profile_claims: json(&self.profile),
            refresh_token: expose(&self.refresh_token),
            id_token: expose(&self.id_token),
            signed_in_at_ms: self.signed_in_at.as_millis(),
            user_agent: cut(&self.user_agent),
            predecessor: predecessor.map(|key| key.as_bytes().to_vec()).unwrap_or_default(),
        };
        let plain = Zeroizing::new(message.encode_to_vec());
        seals.seal(&plain, id, RECORD, SessionKey::of(id).as_bytes(), random)
    }

    fn read(plain: &[u8]) -> Result<(Self, Option<SessionKey>), Unsealable> {
        let wire::SessionRecord {
            provider,
            issuer,
            subject,
            sid,
            authority,
            profile_claims,
            refresh_token,
            id_token,
            signed_in_at_ms,
            user_agent,
            predecessor,
        } = wire::SessionRecord::decode(plain).map_err(|_| Unsealable::Unfit)?;
        let authority = authority.ok_or(Unsealable::Unfit)?;
        let from_access_token = match authority.source() {
            wire::authority::Source::AccessToken => true,
            wire::authority::Source::IdToken => false,
            wire::authority::Source::Unspecified => return Err(Unsealable::Unfit),
        };
        let predecessor = match predecessor.as_slice() {
            [] => None,
            bytes => Some(SessionKey::from_bytes(bytes.try_into().map_err(|_| Unsealable::Unfit)?)),
        };
        let optional = |text: String| (!text.is_empty()).then(|| Secret::new(text));
        let session = Self {
            provider: ProviderId::new(&provider),
            issuer,
            subject,
            sid: (!sid.is_empty()).then_some(sid),
            authority: Authority {
                from_access_token,
                claims: object(&authority.claims)?,
                expires_at: UnixTime::from_millis(authority.expires_at_ms),
            },
            profile: object(&profile_claims)?,
            refresh_token: optional(refresh_token),
            id_token: optional(id_token),
            signed_in_at: UnixTime::from_millis(signed_in_at_ms),
            user_agent,
        };
        Ok((session, predecessor))
    }
}

impl Record {
    /// The sealed form of [`Self::Moved`], for the browser that holds `id`.
    pub(super) fn seal_moved(id: &SessionId, to: &SessionId, seals: &Seals, random: &dyn Random) -> Vec<u8> {
        let plain = Zeroizing::new(wire::MovedSession { successor: to.bits().to_vec() }.encode_to_vec());
        seals.seal(&plain, id, MOVED, SessionKey::of(id).as_bytes(), random)
    }

    pub(super) fn open(sealed: &[u8], id: &SessionId, seals: &Seals) -> Result<Self, Unsealable> {
        let key = SessionKey::of(id);
        match seals.open(sealed, id, RECORD, key.as_bytes()) {
            Ok(plain) => {
                let (session, predecessor) = Session::read(&plain)?;
                return Ok(Self::Session(Box::new(session), predecessor));
            }
            Err(Unsealable::UnknownSecret) => return Err(Unsealable::UnknownSecret),
            Err(Unsealable::Unfit) => {}
        }
        let plain = seals.open(sealed, id, MOVED, key.as_bytes())?;
        let wire::MovedSession { successor } =
            wire::MovedSession::decode(plain.as_slice()).map_err(|_| Unsealable::Unfit)?;
        SessionId::from_bits(&successor).map(Self::Moved).ok_or(Unsealable::Unfit)
    }
}

impl SessionCard {
    pub(super) fn seal(&self, key: SessionKey, seals: &Seals, random: &dyn Random) -> Vec<u8> {
        let message = wire::SessionCard {
            provider: self.provider.as_str().to_owned(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            signed_in_at_ms: self.signed_in_at.as_millis(),
            user_agent: cut(&self.user_agent),
        };
        seals.seal_for_service(&message.encode_to_vec(), CARD, key.as_bytes(), random)
    }

    pub(super) fn open(sealed: &[u8], key: SessionKey, seals: &Seals) -> Result<Self, Unsealable> {
        let plain = seals.open_for_service(sealed, CARD, key.as_bytes())?;
        let wire::SessionCard { provider, issuer, subject, signed_in_at_ms, user_agent } =
            wire::SessionCard::decode(plain.as_slice()).map_err(|_| Unsealable::Unfit)?;
        Ok(Self {
            provider: ProviderId::new(&provider),
            issuer,
            subject,
            signed_in_at: UnixTime::from_millis(signed_in_at_ms),
            user_agent,
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("provider", &self.provider).finish_non_exhaustive()
    }
}

fn json(claims: &Map<String, Value>) -> Vec<u8> {
    // A map with text keys always has a JSON form.
    serde_json::to_vec(claims).unwrap_or_default()
}

fn object(json: &[u8]) -> Result<Map<String, Value>, Unsealable> {
    serde_json::from_slice(json).map_err(|_| Unsealable::Unfit)
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_USER_AGENT);
    text.get(..end).unwrap_or_default().to_owned()
}
