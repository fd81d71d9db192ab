package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/webconfig"
)

// Names of parts that others refer to.
const (
	databasePart     = "mariadb"
	cachePart        = "redis"
	platformPart     = "platform-sim"
	receiverPart     = "receiver"
	alertmanagerPart = "alertmanager"
	ackdPart         = "ackd"
	prometheusPart   = "prometheus"
	businessPart     = "business-exporter"
	eventsPart       = "event-exporter"
	systemPart       = "system-exporter"
	integrationPart  = "integration-exporter"
)

// allParts are the parts of the demo, in the order of their start; each may use
// those above it.
func allParts() []part {
	return []part{
		{
			name: databasePart, what: "the platform's database",
			executables: []string{"mariadbd", "mariadb-install-db"},
			start:       startDatabase,
		},
		{
			name: cachePart, what: "the platform's cache",
			executables: []string{"redis-server"},
			start:       startRedis,
		},
		{
			name: platformPart, what: "the platform; its faults", path: "/faults",
			executables: []string{"platform-sim"},
			start:       startPlatform,
		},
		{
			name: businessPart, what: "state of the business", path: "/metrics", scraped: true,
			executables: []string{businessPart},
			start:       startBusinessExporter,
		},
		{
			name: systemPart, what: "database, cache, queues, probes", path: "/metrics", scraped: true,
			executables: []string{systemPart},
			start:       startSystemExporter,
		},
		{
			name: integrationPart, what: "Shopify, Clerk, Mandrill", path: "/metrics", scraped: true,
			executables: []string{integrationPart},
			start:       startIntegrationExporter,
		},
		{
			name: "node_exporter", job: "node", what: "this machine", path: "/metrics", scraped: true,
			executables: []string{"node_exporter"},
			start:       startNodeExporter,
		},
		{
			name: receiverPart, what: "notifications",
			start: startReceiver,
		},
		{
			name: alertmanagerPart, what: "routing", path: "/#/alerts", scraped: true,
			executables: []string{"alertmanager"},
			start:       startAlertmanager,
		},
		{
			name: ackdPart, what: "acknowledgements", path: "/metrics", scraped: true,
			executables: []string{"consignwatch"},
			start:       startAckd,
		},
		{
			// Its Go module has no web interface, only the API.
			name: prometheusPart, what: "metrics and alert rules", path: "/api/v1/alerts", scraped: true,
			executables: []string{"prometheus"},
			start:       startPrometheus,
		},
		{
			// After Prometheus, where it queries the counted offsets of the stream.
			name: eventsPart, what: "the platform's event stream; user " + scraperUser + ", password: event-exporter/scraper-password in the folder", path: "/metrics", scraped: true,
			parameters: map[string]string{"scraper": "main"},
			user:       scraperUser, passwordFile: (*stack).scraperPasswordFile,
			executables: []string{eventsPart},
			start:       startEventExporter,
		},
	}
}

// fillTimeout is how long the platform may take to fill its database.
const fillTimeout = time.Hour

func startDatabase(ctx context.Context, s *stack, folder string) (running, error) {
	server, err := servers.StartMariaDB(ctx, folder, responseTimeFlags()...)
	if err != nil {
		return nil, err
	}
	if err := createDatabase(ctx, server.DSN("")); err != nil {
		return nil, stopAfter(server, err)
	}
	if err := writeSecret(s.dsnFile(), server.DSN(databaseName)); err != nil {
		return nil, stopAfter(server, err)
	}
	return server, nil
}

func startPlatform(ctx context.Context, s *stack, folder string) (running, error) {
	database, err := s.part(databasePart)
	if err != nil {
		return nil, err
	}
	cache, err := s.part(cachePart)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(s.textfiles(), 0o700); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return servers.StartHTTP(ctx, folder, servers.HTTPServer{
		Name:         "the platform simulator",
		Executable:   "platform-sim",
		Ready:        "/-/ready",
		ReadyTimeout: fillTimeout,
		Args: func(address string) []string {
			args := []string{
				"--dsn-file=" + s.dsnFile(),
				"--control-address=" + address,
				"--database-pid=" + strconv.Itoa(database.PID()),
				"--kafka-listen=127.0.0.1:0",
				"--kafka-dir=" + folder,
				"--external-services-address=127.0.0.1:0",
				"--external-services-dir=" + filepath.Join(folder, "external-services"),
				"--api-address=127.0.0.1:0",
				"--api-certificates=" + filepath.Join(folder, "api"),
				"--cache=" + cache.Address(),
				"--cache-pid=" + strconv.Itoa(cache.PID()),
				"--disk-dir=" + filepath.Join(folder, "images"),
				"--disk-textfile=" + filepath.Join(s.textfiles(), "platform-images.prom"),
				"--clients=" + strconv.Itoa(s.config.Clients),
				"--events=" + strconv.Itoa(s.config.Events),
				"--items=" + strconv.Itoa(s.config.Items),
				"--seed=" + strconv.FormatUint(s.config.Seed, 10),
				"--speed=" + strconv.FormatFloat(s.config.Speed, 'g', -1, 64),
			}
			for flag, on := range map[string]bool{"--flawless": s.config.Flawless, "--nights": s.config.Nights, "--noon": s.config.Noon} {
				if on {
					args = append(args, flag)
				}
			}
			return args
		},
	})
}

func startBusinessExporter(ctx context.Context, s *stack, folder string) (running, error) {
	reader, err := createBusinessUser(ctx, s.dsnFile())
	if err != nil {
		return nil, err
	}
	if err := writeSecret(filepath.Join(folder, "dsn"), reader); err != nil {
		return nil, err
	}
	return startExporter(ctx, businessPart, folder, object{"mysql": object{"dsn_file": "dsn", "max_open_connections": 2}})
}

// object is a JSON object.
type object = map[string]any

// startExporter starts an exporter with a configuration.
func startExporter(ctx context.Context, name, folder string, config object, arguments ...string) (running, error) {
	return startConfigured(ctx, name, folder, config, name, arguments...)
}

// startConfigured starts a program with the flags of an exporter. The arguments
// come before these flags.
func startConfigured(ctx context.Context, name, folder string, config object, executable string, arguments ...string) (running, error) {
	text, err := json.Marshal(config) // JSON is YAML
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	file := filepath.Join(folder, "config.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return servers.StartHTTP(ctx, folder, servers.HTTPServer{
		Name:       name,
		Executable: executable,
		Ready:      "/-/ready",
		Args: func(address string) []string {
			return append(arguments, "--config.file="+file, "--web.listen-address="+address)
		},
	})
}

// startEventExporter starts the event-exporter with the platform's embedded broker, resuming from offsets in Prometheus.
func startEventExporter(ctx context.Context, s *stack, folder string) (running, error) {
	platform, err := fetchPlatformState(ctx, s)
	if err != nil {
		return nil, err
	}
	prometheus, err := s.part(prometheusPart)
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	webConfig, err := webconfig.BasicAuth(scraperUser, password)
	if err != nil {
		return nil, err
	}
	web := filepath.Join(folder, "web.yml")
	if err := errors.Join(writeSecret(s.scraperPasswordFile(), password), writeSecret(web, string(webConfig))); err != nil {
		return nil, err
	}
	return startExporter(ctx, eventsPart, folder, object{
		"kafka":       object{"brokers": platform.Stream.Brokers, "instance_id": "demo"},
		"resume_from": "prometheus",
		"scrapers":    []object{{"name": "main", "user": scraperUser}},
		"prometheus":  object{"url": "http://" + prometheus.Address(), "matchers": object{"job": eventsPart}},
	}, "--web.config.file="+web)
}

// scraperUser is as whom Prometheus scrapes the event-exporter.
const scraperUser = "prometheus"

// scraperPasswordFile is the file with its password, which Prometheus reads at each scrape.
func (s *stack) scraperPasswordFile() string {
	return filepath.Join(s.folder, eventsPart, "scraper-password")
}

// platformState has those fields of the simulator's state that the exporters' configurations need.
type platformState struct {
	Clients []string `json:"clients"`
	API     string   `json:"api"`    // URL
	APICA   string   `json:"api_ca"` // file
	Stream  struct {
		Brokers []string `json:"brokers"`
	} `json:"stream"`
	ExternalServices externalServices `json:"external_services"`
}

// fetchPlatformState fetches the addresses of the platform's servers from the simulator.
func fetchPlatformState(ctx context.Context, s *stack) (*platformState, error) {
	platform, err := s.part(platformPart)
	if err != nil {
		return nil, err
	}
	body, err := control(ctx, http.MethodGet, "http://"+platform.Address()+"/state")
	if err != nil {
		return nil, fmt.Errorf("demo: ask the simulator for its state: %w", err)
	}
	var state platformState
	if err := json.Unmarshal(body, &state); err != nil {
		return nil, fmt.Errorf("demo: ask the simulator for its state: %w", err)
	}
	if len(state.Stream.Brokers) == 0 || len(state.Clients) == 0 || state.API == "" || state.ExternalServices.ClientsFile == "" {
		return nil, fmt.Errorf("demo: the simulator has no broker, no client, no API or no external services: %s", body)
	}
	return &state, nil
}

// dsnFile is the file with the data source name of the platform's database, with
// all privileges.
func (s *stack) dsnFile() string { return filepath.Join(s.folder, databasePart, "dsn") }

// textfiles is the folder in which the simulator writes metrics of its disk for node_exporter's textfile collector.
func (s *stack) textfiles() string { return filepath.Join(s.folder, platformPart, "textfiles") }

// writeSecret writes a file that only its owner can read.
func writeSecret(file, secret string) error {
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// stopAfter kills the process of a part whose start failed afterwards, and returns the error.
func stopAfter(process *servers.MariaDB, err error) error {
	_ = process.Kill()
	return err
}
