# One image for all of Drover's processes; compose.yaml says which of them a container runs. nats-server has an image of its own.

FROM rust:1.95-trixie AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release --bins \
    --package drover-cli --package drover-scheduler --package drover-hook-workers --package drover-agent

FROM debian:trixie-slim
# Buckets that are not folders are reached by HTTPS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build \
    /src/target/release/drover \
    /src/target/release/drover-scheduler \
    /src/target/release/drover-hook-worker \
    /src/target/release/drover-cache \
    /src/target/release/drover-agent \
    /usr/local/bin/
CMD ["drover", "--help"]
