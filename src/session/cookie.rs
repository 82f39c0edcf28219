//! The cookies of the service: read strictly, written one way, never sent
//! upstream (RFC 6265bis; the `__Host-` prefix binds each to this one host).

use std::fmt;
use std::time::Duration;

use super::id::{OpaqueId, SessionId};
use crate::types::Secret;

/// What the names of all cookies of the service begin with.
pub const COOKIE_PREFIX: &str = "__Host-tiergate-";
/// The cookie that holds the id of a session.
pub const SESSION_COOKIE: &str = "__Host-tiergate-session";
/// Sign-ins that one browser may have open at once, each with a cookie.
pub const LOGIN_SLOTS: usize = 5;

const LOGIN_COOKIES: [&str; LOGIN_SLOTS] = [
    "__Host-tiergate-login-0",
    "__Host-tiergate-login-1",
    "__Host-tiergate-login-2",
    "__Host-tiergate-login-3",
    "__Host-tiergate-login-4",
];
/// Counts how often a finished sign-in led to no session.
const ROUNDS_COOKIE: &str = "__Host-tiergate-rounds";

/// The session cookie of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionCookie {
    /// There is none.
    None,
    /// One, in the right form.
    One(SessionId),
    /// One that is no id.
    Malformed,
    /// More than one, or one that stands where two readers could read two
    /// things: nobody can say whose browser it is.
    Multiple,
}

/// The cookie of one sign-in that is under way.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginCookie {
    /// Which of the [`LOGIN_SLOTS`] it is in.
    pub slot: usize,
    /// When the sign-in began, in whole seconds since the epoch, as the browser says.
    pub started: u64,
    /// What binds the sign-in to this browser.
    pub secret: OpaqueId,
}

impl fmt::Debug for LoginCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginCookie").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// What a request brings of the service's own cookies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserCookies {
    /// The session.
    pub session: SessionCookie,
    /// Sign-ins that are under way; of a slot that stands twice, neither.
    pub logins: Vec<LoginCookie>,
    /// Sign-ins that led to no session: how many, and when the first one ended
    /// (seconds since the epoch), as the browser says.
    pub rounds: Option<(u32, u64)>,
}

impl BrowserCookies {
    /// Reads the values of the `Cookie` headers of a request.
    #[must_use]
    pub fn read<'a>(headers: &(impl Iterator<Item = &'a [u8]> + Clone)) -> Self {
        let login = |(slot, name): (usize, &&str)| {
            let mut values = values_of(headers.clone(), name);
            let value = values.next()?;
            let (started, secret) = std::str::from_utf8(value).ok()?.split_once('.')?;
            let cookie = LoginCookie { slot, started: number(started)?, secret: OpaqueId::parse(secret)? };
            values.next().is_none().then_some(cookie)
        };
        Self {
            session: Self::read_session(headers),
            logins: LOGIN_COOKIES.iter().enumerate().filter_map(login).collect(),
            rounds: values_of(headers.clone(), ROUNDS_COOKIE).next().and_then(|value| {
                let (count, first) = std::str::from_utf8(value).ok()?.split_once('.')?;
                Some((u32::try_from(number(count)?).ok()?, number(first)?))
            }),
        }
    }

    /// Reads the session cookie alone, which is all that a check needs.
    #[must_use]
    pub fn read_session<'a>(headers: &(impl Iterator<Item = &'a [u8]> + Clone)) -> SessionCookie {
        // A proxy may have joined two headers with a comma, which parts no
        // cookies: to one reader a pair begins there, to another it does not.
        let mentions: usize = headers.clone().map(|value| mentions(value, SESSION_COOKIE)).sum();
        let mut values = values_of(headers.clone(), SESSION_COOKIE);
        let Some(value) = values.next() else {
            return if mentions == 0 { SessionCookie::None } else { SessionCookie::Multiple };
        };
        if values.next().is_some() || mentions != 1 || value.contains(&b',') {
            return SessionCookie::Multiple;
        }
        std::str::from_utf8(value).ok().and_then(SessionId::parse).map_or(SessionCookie::Malformed, SessionCookie::One)
    }

    /// The slot for one more sign-in, and the cookie that has to go for it: a
    /// free one, else that of the oldest.
    #[must_use]
    pub fn next_slot(&self, drawn: u8) -> usize {
        let free: Vec<usize> =
            (0..LOGIN_SLOTS).filter(|slot| self.logins.iter().all(|held| held.slot != *slot)).collect();
        // Tabs that begin at once know nothing of each other: a drawn slot
        // keeps them from all taking the same one.
        match free.get(usize::from(drawn).checked_rem(free.len()).unwrap_or(0)) {
            Some(slot) => *slot,
            None => self.logins.iter().min_by_key(|held| held.started).map_or(0, |oldest| oldest.slot),
        }
    }
}

/// A `Set-Cookie` value of the service. What it holds may be a secret, so it
/// prints as its name only.
#[derive(Clone, PartialEq, Eq)]
pub struct SetCookie {
    name: &'static str,
    value: Secret,
    max_age: u64,
}

impl SetCookie {
    /// Hands a session to the browser, for `lifetime`.
    #[must_use]
    pub fn session(id: &SessionId, lifetime: Duration) -> Self {
        Self { name: SESSION_COOKIE, value: id.written(), max_age: lifetime.as_secs() }
    }

    /// Binds a sign-in to the browser, for `lifetime`.
    #[must_use]
    pub fn login(cookie: &LoginCookie, lifetime: Duration) -> Self {
        let name = LOGIN_COOKIES.get(cookie.slot).copied().unwrap_or("__Host-tiergate-login-0");
        let value = Secret::new(format!("{}.{}", cookie.started, cookie.secret.written().expose()));
        Self { name, value, max_age: lifetime.as_secs() }
    }

    /// Remembers, for a minute, sign-ins that led to no session.
    #[must_use]
    pub fn rounds(count: u32, first: u64) -> Self {
        Self { name: ROUNDS_COOKIE, value: Secret::new(format!("{count}.{first}")), max_age: 60 }
    }

    /// Takes the session cookie away.
    #[must_use]
    pub fn clear_session() -> Self {
        Self::clear(SESSION_COOKIE)
    }

    /// Takes the cookie of a sign-in away.
    #[must_use]
    pub fn clear_login(slot: usize) -> Self {
        Self::clear(LOGIN_COOKIES.get(slot).copied().unwrap_or("__Host-tiergate-login-0"))
    }

    /// Takes the count of rounds away.
    #[must_use]
    pub fn clear_rounds() -> Self {
        Self::clear(ROUNDS_COOKIE)
    }

    fn clear(name: &'static str) -> Self {
        Self { name, value: Secret::new(String::new()), max_age: 0 }
    }

    /// The value of the header. One that clears has the same attributes, or a
    /// browser would not let it touch a `__Host-` cookie.
    #[must_use]
    pub fn header_value(&self) -> String {
        let Self { name, value, max_age } = self;
        format!("{name}={}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Lax", value.expose())
    }
}

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=[secret]", self.name)
    }
}

/// A `Cookie` header value without the cookies of the service; the others stay
/// as they came.
#[must_use]
pub fn without_own(value: &str) -> String {
    let foreign: Vec<&str> = value.split(';').filter(|pair| !is_own(pair)).collect();
    foreign.join(";").trim_start_matches(' ').to_owned()
}

/// Whether a pair, or anything behind a comma in it, is a cookie of the service.
fn is_own(pair: &str) -> bool {
    pair.split(',').any(|part| {
        let part = part.trim_matches([' ', '\t']);
        part.get(..COOKIE_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(COOKIE_PREFIX))
    })
}

/// The values of the cookies with exactly this name.
fn values_of<'a>(headers: impl Iterator<Item = &'a [u8]>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.flat_map(|value| value.split(|byte| *byte == b';')).filter_map(move |pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}

/// How often `name=` begins where some reader would see a cookie begin.
fn mentions(value: &[u8], name: &str) -> usize {
    value
        .split(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'))
        .filter(|part| {
            let start = part.get(..name.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(name.as_bytes()) && matches!(part.get(name.len()), Some(b'=') | None)
        })
        .count()
}

/// A number without sign, blanks or leading zeros.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn session(headers: &[&str]) -> SessionCookie {
        BrowserCookies::read_session(&headers.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn one_cookie_of_the_right_form_counts() {
        let one = SessionCookie::One(SessionId::parse(ID).expect("an id"));
        for good in [format!("{SESSION_COOKIE}={ID}"), format!("a=1; {SESSION_COOKIE}={ID}; b=x,y")] {
            assert_eq!(session(&[&good]), one, "{good}");
        }
        assert_eq!(session(&["a=1", &format!("{SESSION_COOKIE}={ID}")]), one);
    }

    #[test]
    fn what_two_readers_could_read_differently_counts_as_several() {
        for several in [
            format!("{SESSION_COOKIE}={ID}; {SESSION_COOKIE}={ID}"),
            format!("a=1,{SESSION_COOKIE}={ID}"),
            format!("a=1, {SESSION_COOKIE}={ID}"),
            format!("{SESSION_COOKIE}={ID},b=2"),
            format!("{SESSION_COOKIE}={ID}; __host-TIERGATE-session={ID}"),
            format!("a=1 {SESSION_COOKIE}={ID}"),
        ] {
            assert_eq!(session(&[&several]), SessionCookie::Multiple, "{several}");
        }
        let twice = format!("{SESSION_COOKIE}={ID}");
        assert_eq!(session(&[&twice, &twice]), SessionCookie::Multiple);
    }

    #[test]
    fn other_names_are_other_cookies() {
        for none in ["", "tiergate-session=x", "x__Host-tiergate-session=x", "a=__Host-tiergate-sessions"] {
            assert_eq!(session(&[none]), SessionCookie::None, "{none}");
        }
        assert_eq!(session(&[&format!("{SESSION_COOKIE}s={ID}")]), SessionCookie::None);
        assert_eq!(session(&[&format!("{SESSION_COOKIE}=x")]), SessionCookie::Malformed);
        assert_eq!(session(&[&format!("{SESSION_COOKIE}=\"{ID}\"")]), SessionCookie::Malformed);
    }

    #[test]
    fn the_upstream_sees_the_cookies_of_others_only() {
        let all = format!("a=1; {SESSION_COOKIE}={ID}; b=\"x;y\"; __Host-tiergate-login-0=z; c=3");
        assert_eq!(without_own(&all), "a=1; b=\"x;y\"; c=3");
        assert_eq!(without_own(&format!("{SESSION_COOKIE}={ID}; c=3")), "c=3");
        assert_eq!(without_own(&format!("a=1,{SESSION_COOKIE}={ID}")), "");
        assert_eq!(without_own("__HOST-tiergate-session=x"), "");
        assert_eq!(without_own("a=1;b=2"), "a=1;b=2");
    }

    #[test]
    fn a_sixth_sign_in_takes_the_place_of_the_oldest() {
        let cookie = |slot: usize, started: u64| format!("__Host-tiergate-login-{slot}={started}.{ID}");
        let read = |value: &str| BrowserCookies::read(&std::iter::once(value.as_bytes()));
        let four = read(&[cookie(0, 9), cookie(1, 7), cookie(2, 8), cookie(4, 6)].join("; "));
        assert_eq!((four.logins.len(), four.next_slot(0), four.next_slot(200)), (4, 3, 3));
        let five = read(&(0..5).map(|slot| cookie(slot, [9, 7, 8, 5, 6][slot])).collect::<Vec<_>>().join("; "));
        assert_eq!(five.next_slot(0), 3);
        let none = read("");
        assert_eq!([0, 1, 4, 5].map(|drawn| none.next_slot(drawn)), [0, 1, 4, 0]);
        assert!(read(&format!("{}; {}", cookie(0, 1), cookie(0, 2))).logins.is_empty());
        assert!(read("__Host-tiergate-login-0=01.x").logins.is_empty());
    }

    #[test]
    fn every_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
        let id = SessionId::parse(ID).expect("an id");
        let set = SetCookie::session(&id, Duration::from_secs(43_200));
        assert_eq!(
            set.header_value(),
            format!("{SESSION_COOKIE}={ID}; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Lax")
        );
        assert_eq!(
            SetCookie::clear_session().header_value(),
            format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
        );
        assert_eq!(format!("{set:?}"), "__Host-tiergate-session=[secret]");
        let login = LoginCookie { slot: 2, started: 1_800_000_000, secret: id };
        let set = SetCookie::login(&login, Duration::from_secs(600)).header_value();
        let sent = set.split(';').next().unwrap_or_default();
        assert_eq!(BrowserCookies::read(&std::iter::once(sent.as_bytes())).logins, [login]);
    }
}
