#!/bin/sh
# The least that the event-exporter must be allowed in Kafka, for the user consignwatch:
#
#   BOOTSTRAP=kafka:9092 sh acls-events.sh [--command-config admin.properties]
#
# It reads the event stream in a consumer group of its own, and commits the counted offsets there. It never needs Write, Create, Delete
# or Alter. TOPICS and GROUP are for those who have named theirs otherwise.
set -eu
: "${TOPICS:=consign.telemetry consign.commerce consign.integration}" "${GROUP:=consignwatch-events}"
acls() { kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --add --allow-principal User:consignwatch "$@"; }

for topic in $TOPICS; do
  acls --operation Describe --topic "$topic" "$@"
  acls --operation Read --topic "$topic" "$@"
done
acls --operation Read --group "$GROUP" "$@"
