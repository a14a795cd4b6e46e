# An image from the sources, which reports then name:
#   docker build --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) \
#     --build-arg TEE_SIDECAR_REPO_COMMIT=$(git rev-parse HEAD) .
#
# The program is built by .ci/build, as for the packages, with the compiler of the first stage; the
# image is a base without a shell, the program, and a user without rights. Run it with a read-only
# root: only /var/lib/tee-sidecar is written to. examples/deploy has compose files that do.
#
# The bases are named by tag. Whoever needs to prove what is in an image pins both by digest:
# --build-arg RUST=rust@sha256:… --build-arg BASE=gcr.io/distroless/cc-debian12@sha256:…
ARG RUST=rust:1.95.0-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
ARG TEE_SIDECAR_REPO_COMMIT
RUN .ci/build \
 && install -D -m 0755 target/release/tee-sidecar /image/tee-sidecar \
 && install -d /image/licenses /image/state \
 && cp LICENSE broker-core/LICENSE-MIT broker-core/LICENSE-APACHE /image/licenses/ \
 && cp tee-sidecar/LICENSE /image/licenses/AGPL-3.0.txt

FROM ${BASE}
COPY --from=build --chown=0:0 /image/tee-sidecar /usr/bin/tee-sidecar
COPY --from=build --chown=0:0 /image/licenses /usr/share/doc/tee-sidecar
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=utility
# Empty, and the user's: what is mounted over it later takes its place.
COPY --from=build --chown=65532:65532 /image/state /var/lib/tee-sidecar
WORKDIR /var/lib/tee-sidecar
USER 65532:65532
EXPOSE 8080 3080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tee-sidecar"]
CMD ["serve", "--config", "/etc/tee-sidecar/config.yaml"]
