# Two images: the programs of consignwatch (the default), and, for the demo alone, the simulated platform and the pager.
#
#   docker build --tag consignwatch .
#   docker build --tag consignwatch-simulator --target simulator .
#
# Neither has a shell. `consignwatch healthcheck URL` replaces curl, in health checks and by hand.

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY tools/alertmanager/go.mod tools/alertmanager/go.sum tools/alertmanager/
RUN go mod download && cd tools/alertmanager && go mod download
COPY . .
ARG REVISION=unknown
RUN make build BIN=/out REVISION="$REVISION"

# The tag says which flavour it is, the digest which build of it.
FROM gcr.io/distroless/static-debian13:nonroot@sha256:e2e927ec666bae08560abb3c55d0659eceabb657f56b6782ab500a9fc7f555e3 AS base
COPY --from=build /out/consignwatch /out/alertmanager-replay /usr/local/bin/
USER 65532:65532

FROM base AS simulator
COPY --from=build /out/platform-sim /out/consignwatch-demo /usr/local/bin/
CMD ["platform-sim", "--help"]

FROM base AS consignwatch
COPY --from=build /out/system-exporter /out/integration-exporter /out/business-exporter /out/event-exporter /usr/local/bin/
CMD ["consignwatch", "--help"]
