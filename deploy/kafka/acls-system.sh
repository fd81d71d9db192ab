#!/bin/sh
# The least that the system-exporter must be allowed in Kafka, for the user consignwatch:
#
#   BOOTSTRAP=kafka:9092 sh acls-system.sh [--command-config admin.properties]
#
# Read on topics lets it look at single records, for their timestamps and for the header of dead letters. Without it lag is
# exported in messages, and in seconds only within an interval; dead letters are not exported. DescribeConfigs is for the
# retention and min.insync.replicas: without it neither the time to loss nor partitions under min-ISR are exported. It never needs Write, Create, Delete, Alter or Read on groups.
set -eu
acls() { kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --add --allow-principal User:consignwatch "$@"; }

acls --operation Describe --topic '*' "$@"
acls --operation DescribeConfigs --topic '*' "$@"
acls --operation Read --topic '*' "$@"
acls --operation Describe --group '*' "$@"
