package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/emersion/go-smtp"
	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

// The test runs the stack's own scripts, which create secrets and privileges, its configurations and its command lines, with the programs of
// the images. MySQL, Valkey and Kafka are replaced by MariaDB (except in make test-mysql), Redis (except in make test-valkey) and kfake; Grafana, Mailpit and node_exporter's view of
// the host are not tested.
func TestTheStacksConfigurationsWorkTogether(t *testing.T) {
	programs, simulator := built(t)
	m := &Machine{Project: stack(t), Dir: t.TempDir()}
	if err := m.Serve("prometheus:9090", "alertmanager:9093", "pager:9476", "business-exporter:9473", "system-exporter:9471",
		"integration-exporter:9472", "event-exporter:9474", "ackd:9475", "node-exporter:9100", "valkey:6379", "127.0.0.1:8443", "127.0.0.1:9478", "127.0.0.1:9479"); err != nil {
		t.Fatal(err)
	}
	m.Addresses["127.0.0.1:9090"] = m.Addresses["prometheus:9090"]
	m.Addresses["0.0.0.0:9476"] = m.Addresses["pager:9476"]
	bin := func(name string) string { return filepath.Join(programs, "usr/local/bin", name) }
	found := func(name string) string {
		t.Helper()
		path, err := executable.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	start := func(name, program, address, ready string, flags ...string) {
		t.Helper()
		p, err := m.Start(t.Context(), name, program, m.Addresses[address], ready, flags...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Kill() })
	}

	mail := startMail(t)
	m.Addresses["localhost:25"] = mail.address
	database := serverstest.OwnMariaDB(t)
	m.Addresses["mysql:3306"] = database.Address()
	broker, err := kafka.Start(t.Context(), kafka.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	m.Addresses["kafka:9092"] = broker.Address()

	runSecrets(t, m)
	setRootPassword(t, m, database)
	redisHost, redisPort, err := net.SplitHostPort(m.Addresses["valkey:6379"])
	if err != nil {
		t.Fatal(err)
	}
	start("valkey", found("redis-server"), "valkey:6379", "", "--bind", redisHost, "--port", redisPort, "--dir", m.Dir)
	runDatabase(t, m, "database")
	start("platform-sim", filepath.Join(simulator, "usr/local/bin/platform-sim"), "127.0.0.1:9479", "/-/ready", "--control-address="+m.Addresses["127.0.0.1:9479"])
	runDatabase(t, m, "database-rights")
	runDatabase(t, m, "database-rights") // it is idempotent

	start("pager", filepath.Join(simulator, "usr/local/bin/consignwatch-demo"), "pager:9476", "/-/ready")
	start("alertmanager", found("alertmanager"), "alertmanager:9093", "/-/ready", "--web.listen-address="+m.Addresses["alertmanager:9093"],
		"--dispatch.start-delay=0s") // the default is a minute
	start("prometheus", found("prometheus"), "prometheus:9090", "/-/ready", "--web.listen-address="+m.Addresses["prometheus:9090"])
	start("node-exporter", found("node_exporter"), "node-exporter:9100", "/", "--web.listen-address="+m.Addresses["node-exporter:9100"])
	for _, name := range []string{"business-exporter", "system-exporter", "integration-exporter", "event-exporter", "ackd"} {
		address := ""
		for known := range m.Addresses {
			if strings.HasPrefix(known, name+":") {
				address = known
			}
		}
		program := name
		if name == "ackd" {
			program = "consignwatch"
		}
		start(name, bin(program), address, "/-/ready", "--web.listen-address="+m.Addresses[address])
	}
	// That Prometheus is let in, below, would prove nothing if everybody were.
	get(t, m.Addresses["event-exporter:9474"], "/metrics", http.StatusUnauthorized, nil)

	// The health checks of the services succeed. What has done its work has none.
	for name, s := range m.Project.Services {
		if s.Build == nil || startsOnce(m.Project, name) {
			continue
		}
		check := m.Local(s, strings.Join(s.HealthCheck.Test[2:], " "))
		for from, to := range m.Addresses { // the exporters listen on local ports
			if _, port, _ := net.SplitHostPort(from); strings.HasPrefix(from, name+":") {
				check = strings.ReplaceAll(check, "127.0.0.1:"+port, to)
			}
		}
		if said, err := exec.CommandContext(t.Context(), bin("consignwatch"), strings.Fields(check)...).CombinedOutput(); err != nil {
			t.Errorf("the health check of %s: consignwatch %s: %v\n%s", name, check, err, said)
		}
	}

	// All targets are up and all collectors succeed. ackd exports alerts from two minutes after the start of Alertmanager.
	prometheus := m.Addresses["prometheus:9090"]
	for query, want := range map[string]string{
		"count(up == 1)":                                     "8",
		"min(consign_mysql_up)":                              "1",
		"min(consign_redis_up)":                              "1",
		"min(consign_queue_up)":                              "1",
		"min(consign_probe_up)":                              "1",
		"min(consign_shopify_up)":                            "1",
		"min(consign_clerk_up)":                              "1",
		"min(consign_mandrill_up)":                           "1",
		"min(consignwatch_collector_success{job!=\"ackd\"})": "1",
		"count(consign_queue_group_state{group=\"platform-workers\"} == 1)":      "1",
		"sum(increase(consign_api_requests_total[5m] anchored)) > bool 0":        "1",
		"count(consign_client_info) > bool 2":                                    "1",
		"count(node_filesystem_size_bytes{mountpoint=\"/srv/platform/images\"})": "1",
		"count(ALERTS{alertname=\"Watchdog\",alertstate=\"firing\"})":            "1",
	} {
		await(t, m, query, func(ctx context.Context) error {
			got, err := instantQuery(ctx, prometheus, query)
			if err == nil && got != want {
				err = fmt.Errorf("%s is %s, want %s", query, got, want)
			}
			return err
		})
	}

	checkTenant(t, m)

	// An alert about a client is notified by webhook and by email.
	fire(t, m.Addresses["alertmanager:9093"])
	await(t, m, "page", func(context.Context) error { return logHas(m, "pager", "The end of a test.") })
	await(t, m, "mail", func(context.Context) error { return mail.has("The end of a test.") })
	if err := logHas(m, "pager", "Watchdog"); err != nil {
		await(t, m, "heartbeat", func(context.Context) error { return logHas(m, "pager", "FIRING") })
	}
}

// await repeats a check until it succeeds, and prints the logs if it does not.
func await(t *testing.T, m *Machine, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s: %v", what, err)
			logs, _ := filepath.Glob(filepath.Join(m.Dir, "*", "*.log"))
			for _, log := range logs {
				if text, err := os.ReadFile(log); err == nil {
					t.Logf("%s:\n%s", filepath.Base(log), text[max(0, len(text)-600):])
				}
			}
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// instantQuery returns the single value of an instant query.
func instantQuery(ctx context.Context, prometheus, query string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+prometheus+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return "", err
	}
	if len(answer.Data.Result) != 1 {
		return "", fmt.Errorf("%s: %d series %s", query, len(answer.Data.Result), answer.Error)
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), nil
}

func logHas(m *Machine, service, text string) error {
	log, err := os.ReadFile(filepath.Join(m.Dir, service, service+".log"))
	if err == nil && !strings.Contains(string(log), text) {
		err = fmt.Errorf("the log of %s lacks %q", service, text)
	}
	return err
}

// fire sends an alert that pages the engineer on call.
func fire(t *testing.T, alertmanager string) {
	t.Helper()
	const alert = `[{"labels":{"alertname":"TestEnds","priority":"P0","severity":"critical","team":"technical","client":"_platform","component":"test","subject":"stack","category":"downtime"},
		"annotations":{"summary":"The end of a test.","description":"Nothing is wrong."}}]`
	response, err := http.Post("http://"+alertmanager+"/api/v2/alerts", "application/json", strings.NewReader(alert))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("post an alert: %s", response.Status)
	}
}

// runSecrets creates the secrets, in volumes that are folders: with the script of the stack, then with web-config, which hashes one of them. It checks that
// a second run of the script keeps them all.
func runSecrets(t *testing.T, m *Machine) {
	t.Helper()
	service, err := m.Mount("secrets")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(m.Dir, "secrets-root")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for target, path := range m.paths(service) {
		if name, ok := strings.CutPrefix(target, *service.Environment["FOLDER"]+"/"); ok {
			if err := os.Symlink(path, filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	run := func() {
		command := exec.CommandContext(t.Context(), "sh", m.Local(service, service.Command[1]))
		command.Env = append(os.Environ(), "FOLDER="+folder, "ACL="+m.Local(service, "/deploy/redis/acl.txt"), "ROUTING="+m.Local(service, "/alertmanager/alertmanager.yml"))
		if said, err := command.CombinedOutput(); err != nil {
			t.Fatalf("make the secrets: %v\n%s", err, said)
		}
	}
	run()
	runOnce(t, m, "web-config")
	before := files(t, filepath.Join(m.Dir, "volumes"))
	run()
	after := files(t, filepath.Join(m.Dir, "volumes"))
	for name, text := range before {
		if after[name] != text {
			t.Errorf("the secret %s is another one after a second start", name)
		}
		// Addresses in secrets are replaced, as in configurations.
		if err := os.WriteFile(name, []byte(m.Local(types.ServiceConfig{}, text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(before) < 15 {
		t.Errorf("only %d secrets", len(before))
	}
}

// ours is the command of a service, with the program of its image and further flags.
func ours(t *testing.T, m *Machine, service types.ServiceConfig, flags ...string) *exec.Cmd {
	t.Helper()
	programs, _ := built(t)
	var args []string
	for _, arg := range service.Command[1:] {
		args = append(args, m.Local(service, arg))
	}
	return exec.CommandContext(t.Context(), filepath.Join(programs, "usr/local/bin", service.Command[0]), append(args, flags...)...)
}

// runOnce runs a service of ours that does its work and ends.
func runOnce(t *testing.T, m *Machine, name string) {
	t.Helper()
	service, err := m.Mount(name)
	if err != nil {
		t.Fatal(err)
	}
	if said, err := ours(t, m, service).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, said)
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// setRootPassword sets the password of root from the secrets, as MySQL's image does at its first start.
func setRootPassword(t *testing.T, m *Machine, database *servers.MariaDB) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.Dir, "volumes/secrets-mysql/root"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := mysql.ParseDSN(database.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	client := exec.CommandContext(t.Context(), "mysql", "--protocol=TCP", "--host=127.0.0.1", "--port="+port(t, config.Addr), "--user=root",
		"--execute=ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '"+strings.TrimSpace(string(text))+"'")
	client.Env = append(os.Environ(), "MYSQL_PWD="+config.Passwd)
	if said, err := client.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// runDatabase runs the SQL of a service.
func runDatabase(t *testing.T, m *Machine, name string) {
	t.Helper()
	service, err := m.Mount(name)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "sh", m.Local(service, service.Entrypoint[1]), service.Command[0])
	command.Env = append(os.Environ(), "HOST=127.0.0.1", "PORT="+port(t, m.Addresses["mysql:3306"]),
		"SECRETS="+m.Local(service, "/secrets"), "DEPLOY="+m.Local(service, "/deploy/mysql"))
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, said)
	}
}

// mailbox is an SMTP server that accepts every email.
type mailbox struct {
	address string
	mu      sync.Mutex
	mails   []string
}

func startMail(t *testing.T) *mailbox {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box := &mailbox{address: listener.Addr().String()}
	server := smtp.NewServer(box)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return box
}

func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return b, nil }
func (b *mailbox) Mail(string, *smtp.MailOptions) error        { return nil }
func (b *mailbox) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (b *mailbox) Reset()                                      {}
func (b *mailbox) Logout() error                               { return nil }

func (b *mailbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails = append(b.mails, string(text))
	return err
}

func (b *mailbox) has(text string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, mail := range b.mails {
		if strings.Contains(mail, text) {
			return nil
		}
	}
	return errors.New("no mail has it")
}
