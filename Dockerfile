# The image of eventrouter: the program, the libraries it is linked with, CA certificates, and
# nothing else; no shell. It runs as 65532 and never writes outside of mounted volumes.
#
#   docker build -t eventrouter .       or, without a daemon:  ./dev image
#
# The base is pinned by digest. Another Debian 13 (a mirror's, a newer one) is had with
# --build-arg BASE=...; only packages of it end up in the image, so that scanners know what is there.
ARG BASE=docker.io/library/debian:trixie-slim@sha256:d7e12182ce18b85b93007c1dedf31f2d29e01ccf3182cc4017c709b6259bc132

FROM ${BASE} AS build
ENV DEBIAN_FRONTEND=noninteractive
WORKDIR /src
COPY . .
RUN ./dev build release
RUN apt-get install -y --no-install-recommends ca-certificates && \
    image/rootfs build/release/bin/eventrouter /rootfs

FROM build AS test
RUN ./dev test --unit && touch /passed

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="eventrouter" \
      org.opencontainers.image.description="Kubernetes Events, changes and restarts as records for SIEM and log stacks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"
COPY --from=build /rootfs/ /
# No image without passed tests.
COPY --from=test /passed /usr/share/doc/eventrouter/
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/eventrouter"]
CMD ["run", "-c", "/etc/eventrouter/config.yaml"]
