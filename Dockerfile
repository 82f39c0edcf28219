# The images of Tiergate. Build with BuildKit, which Docker 23 and newer, Buildah and Podman have:
#
#   docker build -t tiergate .                                  # the service: the last stage
#   docker build -t tiergate-provider --target provider .       # the sign-in of development; never where others reach it
#   docker build -t tiergate-apps --target apps .               # the Flask apps of the examples
#
# Base images are pinned by tag. `docker buildx imagetools inspect IMAGE:TAG` prints the digest to append as `@sha256:…`; none stands
# here, because none could be verified where this file is tested. The tag of distroless moves with Debian's security updates.
#
# glibc, and not a static binary with musl: glibc is what the tests of this repository run on, and the crypto library (aws-lc) is
# tested most there. Builder and final image are both Debian 12, so that the C library is the same in both.

# ---- build --------------------------------------------------------------------------------------------------------------------------
# The version is the one of rust-toolchain.toml, which is not copied: rustup would then fetch clippy and rustfmt too.
FROM rust:1.95.0-slim-bookworm AS source
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY src src
COPY testbed/Cargo.toml testbed/Cargo.toml
COPY testbed/src testbed/src
# A member of the workspace has to be there, also where nothing of it is built.
COPY benches/floor benches/floor
COPY benches/micro benches/micro

FROM source AS build
# Crates and what is compiled stay in the cache of the builder between builds, never in a layer.
RUN --mount=type=cache,id=tiergate-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=tiergate-target,target=/src/target,sharing=locked \
    cargo build --release --locked --bin tiergate \
    && install -D -m 0755 target/release/tiergate /out/tiergate \
    && install -d -m 0700 /out/state

FROM source AS build-provider
RUN --mount=type=cache,id=tiergate-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=tiergate-target,target=/src/target,sharing=locked \
    cargo build --release --locked --package tiergate-testbed --bin tiergate-provider \
    && install -D -m 0755 target/release/tiergate-provider /out/tiergate-provider

# ---- development only ---------------------------------------------------------------------------------------------------------------
FROM gcr.io/distroless/cc-debian12:nonroot AS provider
LABEL org.opencontainers.image.title="tiergate-provider" \
      org.opencontainers.image.description="Development only: an OpenID provider without passwords, where anybody can be anybody" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build-provider /out/tiergate-provider /usr/local/bin/tiergate-provider
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tiergate-provider"]

FROM python:3.13.7-slim-bookworm AS apps
LABEL org.opencontainers.image.title="tiergate-apps" \
      org.opencontainers.image.description="The example apps, run by Flask's own server" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN --mount=type=bind,source=examples/requirements.txt,target=/tmp/requirements.txt \
    --mount=type=cache,id=tiergate-pip,target=/root/.cache/pip \
    pip install --no-input --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r /tmp/requirements.txt
WORKDIR /srv
COPY examples/seismic-portal/apps apps
USER 65532:65532
STOPSIGNAL SIGINT
EXPOSE 8000

# ---- the service --------------------------------------------------------------------------------------------------------------------
# No shell and no package manager: the C library, certificates, time zones, and a user `nonroot`, who is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot AS tiergate
LABEL org.opencontainers.image.title="tiergate" \
      org.opencontainers.image.description="External authorization for Envoy, nginx and any forward-auth proxy" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/tiergate /usr/local/bin/tiergate
# The working folder, where a SQLite store and a cache of keys may live: mount a volume. All else may be read-only.
COPY --from=build --chown=65532:65532 /out/state /var/lib/tiergate
# A volume that is mounted here for the first time belongs to the user of the image.
COPY --from=build --chown=65532:65532 /out/state /run/tiergate
WORKDIR /var/lib/tiergate
USER 65532:65532
EXPOSE 9191 4180 9190
# The service stops taking connections, lets the open ones end for 10 s at most, and ends.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/tiergate", "healthcheck", "-c", "/etc/tiergate/tiergate.yaml"]
ENTRYPOINT ["/usr/local/bin/tiergate"]
CMD ["serve", "-c", "/etc/tiergate/tiergate.yaml"]
