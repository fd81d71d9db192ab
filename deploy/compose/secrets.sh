#!/bin/sh
# Makes what is secret in the local stack, each secret once, in a folder for each service that has one:
#
#   FOLDER=/secrets sh secrets.sh
#
# In the stack each folder is a volume of its own, so that a service sees its own secrets and no others. What is there stays, so
# that passwords fit what the servers have stored. Needs nothing but a shell and its usual tools.
set -eu
umask 077
: "${FOLDER:?the folder for the secrets}"

password() { head -c 24 /dev/urandom | base64 | tr '+/' 'ab'; } # 32 letters and digits

# own FOLDER USER: gives a folder, and what is in it, to the user that the service runs as.
own() {
  mkdir -p "$FOLDER/$1"
  chmod 700 "$FOLDER/$1"
  # Without root whoever runs this owns it all.
  if [ "$(id -u)" = 0 ]; then chown -R "$2" "$FOLDER/$1"; fi
}

# keep FOLDER/FILE TEXT: writes a file that is not there yet. It appears whole, or not at all.
keep() {
  mkdir -p "$FOLDER/${1%/*}"
  if [ ! -s "$FOLDER/$1" ]; then
    printf '%s\n' "$2" >"$FOLDER/$1.new"
    mv "$FOLDER/$1.new" "$FOLDER/$1"
  fi
}

of() { cat "$FOLDER/$1"; }
dsn() { printf '%s:%s@tcp(mysql:3306)/%s' "$1" "$(of "database/$2")" "$3"; }

# The database: root's password for the server and for whoever sets it up, and one for each exporter.
for user in root business system integration; do keep "database/$user" "$(password)"; done
keep mysql/root "$(of database/root)"
keep platform-sim/dsn "$(dsn root root platform)"
keep business-exporter/dsn "$(dsn consignwatch_business business platform)"
keep system-exporter/dsn "$(dsn consignwatch_system system '')"
keep integration-exporter/dsn "$(dsn consignwatch_integration integration platform)"

# The cache. The simulated platform has no password for its cache, so that the user `default` has none.
keep system-exporter/valkey "$(password)"
acl="$(sed "s/{{password}}/$(of system-exporter/valkey)/" "${ACL:-/deploy/redis/acl.txt}")"
keep valkey/users.acl "user default on nopass ~* &* +@all
$acl"

# Prometheus is the only one who may take what the event-exporter has counted.
keep prometheus/event-exporter "$(password)"
keep event-exporter/scraper-password "$(of prometheus/event-exporter)"

keep grafana/admin-password "$(password)"

# Where Alertmanager sends its webhooks: everything that the routing names goes to the stack's pager.
routing="${ROUTING:-/alertmanager/alertmanager.yml}"
for file in $(sed -n 's|.*[ -]url_file: secrets/||p' "$routing" | sort -u); do keep "alertmanager/$file" http://pager:9476/; done
for file in $(sed -n 's|.*[ -]api_url_file: secrets/||p' "$routing" | sort -u); do keep "alertmanager/$file" http://pager:9476/slack; done

own database 999:999
own mysql 999:999
own valkey 65532:65532
own grafana 472:0
own alertmanager 65534:65534
own prometheus 65534:65534
for service in platform-sim business-exporter system-exporter integration-exporter event-exporter; do own "$service" 65532:65532; done
# What the simulator writes for others: keys of its fakes, the certificate of its API, the state of its disk.
for folder in external-services api textfiles; do own "$folder" 65532:65532; done
chmod 755 "$FOLDER/textfiles" # node_exporter is another user, and reads numbers only
