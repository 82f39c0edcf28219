//! How long to leave a management API alone.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use crate::types::UnixTime;

/// How often one request is tried at most.
pub const MAX_TRIES: u32 = 8;

/// The longest pause, whatever the API asks for.
const MAX_PAUSE: Duration = Duration::from_secs(120);
/// The longest pause where the API asks for none.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// How long to wait at `now` before a request is sent once more that was tried
/// `tries` times and answered so; `None` where another try would be of no use.
/// No answer at all is `None` for `status`.
#[must_use]
pub fn pause(status: Option<StatusCode>, headers: &HeaderMap, tries: u32, now: UnixTime) -> Option<Duration> {
    let passes = status.is_none_or(|status| {
        matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        )
    });
    if !passes || tries >= MAX_TRIES {
        return None;
    }
    let number =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
    // RFC 9110 section 10.2.3; in seconds, as both APIs write it.
    let after = number(RETRY_AFTER.as_str()).map(Duration::from_secs);
    // The moment at which there is room again, in seconds of 1970.
    let is_limited = status == Some(StatusCode::TOO_MANY_REQUESTS);
    let reset = number("x-ratelimit-reset").filter(|_| is_limited).and_then(|at| i64::try_from(at).ok());
    let reset = reset.map(|at| UnixTime::from_secs(at).since(now));
    let backoff = Duration::from_millis(500).saturating_mul(1 << tries.min(10)).min(MAX_BACKOFF);
    Some(after.or(reset).unwrap_or(backoff).clamp(Duration::from_millis(100), MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_says_how_long() {
        let now = UnixTime::from_secs(1000);
        let limited = Some(StatusCode::TOO_MANY_REQUESTS);
        for (status, header, tries, expected) in [
            (limited, Some(("retry-after", "7")), 1, Some(7_000)),
            (limited, Some(("x-ratelimit-reset", "1003")), 1, Some(3_000)),
            (limited, Some(("x-ratelimit-reset", "900")), 1, Some(100)),
            (limited, Some(("retry-after", "99999")), 1, Some(120_000)),
            (limited, Some(("retry-after", "soon")), 1, Some(1_000)),
            (limited, None, 3, Some(4_000)),
            (limited, None, 7, Some(30_000)),
            (limited, None, 8, None),
            (None, None, 1, Some(1_000)),
            (Some(StatusCode::BAD_GATEWAY), None, 1, Some(1_000)),
            (Some(StatusCode::BAD_GATEWAY), Some(("x-ratelimit-reset", "1003")), 1, Some(1_000)),
            (Some(StatusCode::FORBIDDEN), Some(("retry-after", "7")), 1, None),
            (Some(StatusCode::OK), None, 1, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            let pause = pause(status, &headers, tries, now).map(|pause| pause.as_millis());
            assert_eq!(pause, expected, "{status:?} {header:?} {tries}");
        }
    }
}
