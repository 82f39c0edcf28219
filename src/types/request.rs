//! The request as the proxy describes it, borrowed and unjudged.

/// By which door the question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Envoy's gRPC `Check`.
    Grpc,
    /// nginx `auth_request`.
    AuthRequest,
    /// Forward-auth as Traefik, Caddy and HAProxy speak it.
    ForwardAuth,
    /// Envoy's HTTP authorization service.
    ExtAuthz,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 4] = [Self::Grpc, Self::AuthRequest, Self::ForwardAuth, Self::ExtAuthz];

    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::AuthRequest => "auth_request",
            Self::ForwardAuth => "forward_auth",
            Self::ExtAuthz => "ext_authz",
        }
    }
}

/// What is asked about. Everything in it is hostile: the client wrote it.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// By which door the question came.
    pub protocol: Protocol,
    /// The method as the client sent it.
    pub method: &'a str,
    /// The raw request target: path and query, undecoded.
    pub target: &'a [u8],
    /// The raw authority; `None` when the client named none.
    pub host: Option<&'a [u8]>,
    /// Header names in lower case with their raw values, in arrival order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// A tier the route demands besides what the policy asks (gRPC
    /// `context_extensions`, key `tiergate.tier`).
    pub route_tier: Option<&'a str>,
    /// Where the proxy's route leads, in the words of `apps::RouteTag` (gRPC
    /// `context_extensions`, key `tiergate.app`; over HTTP the proxy's header
    /// `X-Tiergate-App`). It can only add to what is asked.
    pub route_app: Option<&'a str>,
    /// The request id the proxy gave, if any.
    pub request_id: Option<&'a str>,
}

impl<'a> RequestView<'a> {
    /// Every value of the header `name` (lower case).
    pub fn header_values(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        self.headers.iter().filter(move |(held, _)| *held == name).map(|(_, value)| *value)
    }

    /// The value of the header `name` (lower case) when it stands exactly once.
    #[must_use]
    pub fn single_header(&self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.header_values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }
}
