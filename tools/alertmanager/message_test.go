package alertmanager_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/email"
	"github.com/prometheus/alertmanager/notify/slack"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/types"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

var emailFolder = flag.String("messages", "", "write the HTML of the messages to this folder, to be looked at")

// receivedEmail is an email that the SMTP server has received.
type receivedEmail struct {
	from       string
	to         []string
	subject    string
	text, html string
}

// smtpServer is an SMTP server that stores the emails it receives.
type smtpServer struct {
	mu     sync.Mutex
	emails []receivedEmail
}

func (s *smtpServer) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }

type session struct {
	server *smtpServer
	receivedEmail
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error   { s.to = append(s.to, to); return nil }
func (s *session) Reset()                                      { s.receivedEmail = receivedEmail{} }
func (s *session) Logout() error                               { return nil }

func (s *session) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if s.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		return err
	}
	_, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	for {
		part, err := parts.NextPart() // it decodes quoted-printable
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			s.html = string(body)
		} else {
			s.text = string(body)
		}
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.emails = append(s.server.emails, s.receivedEmail)
	return nil
}

// emailSender sends emails with the shipped templates to a real SMTP server.
type emailSender struct {
	*configuration
	post     *smtpServer
	address  config.HostPort
	template *template.Template
}

func newEmailSender(t *testing.T) *emailSender {
	t.Helper()
	r := shipped(t)
	// Alertmanager parses each file; paths in the configuration are relative to it, and LoadFile has resolved them.
	tmpl, err := template.FromGlobs(r.config.Templates)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.ExternalURL = &url.URL{Scheme: "http", Host: "alertmanager.internal:9093"}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &smtpServer{}
	server := smtp.NewServer(p)
	server.Domain = "localhost"
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return &emailSender{configuration: r, post: p, address: config.HostPort{Host: host, Port: port}, template: tmpl}
}

func (s *emailSender) receiver(t *testing.T, name string) config.Receiver {
	t.Helper()
	i := slices.IndexFunc(s.config.Receivers, func(r config.Receiver) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("no receiver %s", name)
	}
	return s.config.Receivers[i]
}

// send sends one notification about the alerts, routed and grouped as by Alertmanager, and returns the email.
func (s *emailSender) send(t *testing.T, alerts ...*types.Alert) receivedEmail {
	t.Helper()
	route := s.route.Match(alerts[0].Labels)[0]
	receiver := s.receiver(t, route.RouteOpts.Receiver)
	if len(receiver.EmailConfigs) == 0 {
		t.Fatalf("%s gets no mail", receiver.Name)
	}
	c := *receiver.EmailConfigs[0]
	c.Smarthost = s.address
	ctx := notify.WithGroupLabels(notify.WithReceiverName(notify.WithGroupKey(t.Context(), "key"), receiver.Name), group(route, alerts[0].Labels))
	if _, err := email.New(&c, s.template, slog.New(slog.DiscardHandler)).Notify(ctx, alerts...); err != nil {
		t.Fatal(err)
	}
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	if len(s.post.emails) == 0 {
		t.Fatal("no mail arrived")
	}
	return s.post.emails[len(s.post.emails)-1]
}

// alertStart is the start of the alerts of the tests.
var alertStart = time.Date(2026, 5, 4, 8, 2, 30, 0, time.UTC)

// alert is an alert with the annotations of its rule, except those with templates.
func alert(l model.LabelSet, description string) *types.Alert {
	return &types.Alert{Alert: model.Alert{
		Labels: l, StartsAt: alertStart, GeneratorURL: "http://prometheus.internal:9090/graph",
		Annotations: model.LabelSet{
			"summary": "The database does not answer.", "description": model.LabelValue(description),
			"runbook_url":   model.LabelValue("https://github.com/consignwatch/consignwatch/blob/main/docs/runbooks/" + string(l["alertname"]) + ".md"),
			"dashboard_url": model.LabelValue("http://localhost:3000/d/consignwatch-database?var-client=" + string(l["client"]) + "&from=now-3h&to=now"),
		},
	}}
}

func resolved(a *types.Alert) *types.Alert {
	o := *a
	o.EndsAt = alertStart.Add(7 * time.Minute)
	return &o
}

func saveEmail(t *testing.T, name, html string) {
	if *emailFolder != "" {
		if err := os.WriteFile(filepath.Join(*emailFolder, name+".html"), []byte(html), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func checkContains(t *testing.T, where, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", where, w, text)
		}
	}
}

func TestAnEmailToTheStaffSaysWhatToDo(t *testing.T) {
	m := newEmailSender(t)
	all := rules(t)
	down := alert(alertLabels(all, map[string]string{"alertname": "DatabaseDown", "subject": "it's <main>"}), `The database "main" has refused every connection for over 30s & more.`)
	l := m.send(t, down)
	saveEmail(t, "staff-p0", l.html)
	if want := "P0: The database does not answer. (Example Consignment)"; l.subject != want {
		t.Errorf("subject %q, want %q", l.subject, want)
	}
	if !slices.Equal(l.to, []string{"oncall@consign.example"}) || l.from != "alerts@consign.example" {
		t.Errorf("from %s to %s", l.from, l.to)
	}
	if first, _, _ := strings.Cut(l.text, "\r\n"); first != l.subject {
		t.Errorf("the first line is %q, the subject %q", first, l.subject)
	}
	checkContains(t, "text", strings.ReplaceAll(l.text, "\r\n", "\n"),
		"Notified: the engineer on call. Next: the second engineer on call, if unacknowledged 10m after it began to fire.",
		`* Example Consignment, database, it's <main>: The database "main" has refused every connection for over 30s & more.`,
		"Since 2026-05-04 03:02 CDT",
		"Runbook: https://github.com/consignwatch/consignwatch/blob/main/docs/runbooks/DatabaseDown.md",
		fmt.Sprintf("Dashboard: http://localhost:3000/d/consignwatch-database?var-client=_platform&from=%d&to=now", alertStart.Add(-time.Hour).UnixMilli()),
		`Acknowledge: consignwatch ack --alertmanager http://localhost:9093 'alertname="DatabaseDown"' 'client="_platform"' 'component="database"' 'subject="it'\''s <main>"' 'priority="P0"'`)
	checkContains(t, "html", l.html, "Notified: the engineer on call.", "it&#39;s &lt;main&gt;", `<a href="https://github.com/consignwatch/consignwatch/blob/main/docs/runbooks/DatabaseDown.md"`,
		fmt.Sprintf(`<a href="http://localhost:3000/d/consignwatch-database?var-client=_platform&amp;from=%d&amp;to=now"`, alertStart.Add(-time.Hour).UnixMilli()))
	if strings.Contains(l.html, "<main>") || strings.Contains(l.html, "ZgotmplZ") || strings.Contains(l.html, "<no value>") {
		t.Errorf("the HTML is not escaped, or lacks something:\n%s", l.html)
	}

	l = m.send(t, resolved(down))
	saveEmail(t, "staff-over", l.html)
	if want := "Resolved (P0): The database does not answer. (Example Consignment)"; l.subject != want {
		t.Errorf("subject %q, want %q", l.subject, want)
	}
	checkContains(t, "text", l.text, "From 2026-05-04 03:02 CDT to 2026-05-04 03:09 CDT")
	if strings.Contains(l.text, "Acknowledge") || strings.Contains(l.text, "Next:") {
		t.Errorf("a resolved message asks for something:\n%s", l.text)
	}
}

func TestAnEmailAboutSeveralClientsAndAboutAnEscalation(t *testing.T) {
	m := newEmailSender(t)
	all := rules(t)
	var several []*types.Alert
	for _, client := range []string{"second-swing-exchange", "petits-pas-consignment-co", "stranger"} {
		several = append(several, alert(alertLabels(all, map[string]string{"alertname": "SyncFailing", "client": client}), client+": half of all runs fail."))
	}
	several = append(several, resolved(alert(alertLabels(all, map[string]string{"alertname": "SyncFailing", "client": "little-sprouts-consignment"}), "Resolved now.")))
	l := m.send(t, several...)
	saveEmail(t, "staff-several", l.html)
	if want := "P1: The database does not answer. (several clients, 3 alerts)"; l.subject != want {
		t.Errorf("subject %q, want %q", l.subject, want)
	}
	checkContains(t, "text", l.text, "Second Swing Exchange, sync", "stranger, sync", "Resolved:", "Little Sprouts Consignment, sync", "Next: the second engineer on call, if unacknowledged 30m")

	e := alertLabels(all, map[string]string{"alertname": "EscalationL3", "escalation": "L3", "source_alertname": "DatabaseDown", "priority": "P0", "component": "database", "subject": "main"})
	l = m.send(t, alert(e, "DatabaseDown has been firing for 20m 0s."))
	saveEmail(t, "staff-escalation", l.html)
	if want := "P0 L3: The database does not answer. DatabaseDown (Example Consignment)"; l.subject != want {
		t.Errorf("subject %q, want %q", l.subject, want)
	}
	checkContains(t, "text", l.text, "Notified: the engineer on call, the second engineer on call, the head of operations. Next: the emergency phone, if unacknowledged 30m after it began to fire.",
		`'alertname="DatabaseDown"'`)

	// The coming end of an acknowledgement leads to its alert, too. An alert about an incident that stays open is one of its own.
	ending := alertLabels(all, map[string]string{"alertname": "AcknowledgementEnding", "source_alertname": "DatabaseDown", "priority": "P0", "component": "database", "subject": "main"})
	l = m.send(t, alert(ending, "The acknowledgement of DatabaseDown ends in 4m 45s."))
	if want := "P0: The database does not answer. DatabaseDown (Example Consignment)"; l.subject != want {
		t.Errorf("subject %q, want %q", l.subject, want)
	}
	checkContains(t, "text", l.text, `'alertname="DatabaseDown"' 'client="_platform"' 'component="database"' 'subject="main"' 'priority="P0"'`, "Unless somebody acknowledges it again")
	unresolved := alertLabels(all, map[string]string{"alertname": "IncidentUnresolved", "client": "_platform", "source_alertname": "DatabaseDown", "component": "database", "subject": "DatabaseDown/main"})
	l = m.send(t, alert(unresolved, "DatabaseDown/main has been active for 4h 1m 0s (threshold 4h)."))
	checkContains(t, "text", l.text, `'alertname="IncidentUnresolved"' 'client="_platform"' 'component="database"' 'subject="DatabaseDown/main"' 'priority="P2"'`)
}

// TestAnEmailToAClientHasNothingInternalAndNothingOfOthers sends every notification for client admins to every client, and checks that it contains nothing
// internal and nothing of another client.
func TestAnEmailToAClientHasNothingInternalAndNothingOfOthers(t *testing.T) {
	m := newEmailSender(t)
	all := rules(t)
	var s struct {
		Clients []struct {
			Slug, Name string
			Admins     *struct{}
		}
	}
	decode(t, filepath.Join(root, "alertmanager/site.yml"), &s)
	names := 0
	for _, r := range all {
		if r.labels["team"] != "client_admin" {
			continue
		}
		names++
		// The annotations of the rule are part of the message.
		for _, bad := range []string{"http", "lertmanager", "rometheus", "runbook", "exporter", "instance", "server }}", "database", "Kafka", "Redis", "MySQL"} {
			for _, text := range []string{r.annotations["summary"], withoutTemplates(r.annotations["description"])} {
				if strings.Contains(text, bad) {
					t.Errorf("%s is for client admins, and says %q: %s", r.name, bad, text)
				}
			}
		}
		for _, c := range s.Clients {
			if c.Admins == nil {
				continue
			}
			// Internal labels, which must not be part of the message.
			a := alert(alertLabels(all, map[string]string{"alertname": r.name, "client": c.Slug, "instance": "10.0.0.7:9473", "server": "mysql-main"}), "Shoppers may see errors.")
			a.Annotations["summary"] = "Your sale is affected by a disruption."
			for _, l := range []receivedEmail{m.send(t, a), m.send(t, resolved(a))} {
				saveEmail(t, fmt.Sprintf("client-%d", len(l.subject)), l.html)
				if want := "Your sale is affected by a disruption. (" + c.Name + ")"; !strings.HasSuffix(l.subject, want) {
					t.Errorf("subject %q, want %q", l.subject, want)
				}
				whole := l.subject + l.text + strings.ReplaceAll(l.html, "&#39;", "'")
				if n := strings.Count(whole, c.Name); n < 3 {
					t.Errorf("the client's name is there %d times:\n%s", n, whole)
				}
				for _, bad := range []string{"http", "href", "lertmanager", "runbook", "ashboard", "grafana", "localhost", "consignwatch", r.name, "P1", "_platform", "technical", "client_admin", "10.0.0.7", "mysql", "ack ", "<no value>", "engineer"} {
					if strings.Contains(whole, bad) {
						t.Errorf("%s, %s: the message has %q:\n%s", r.name, c.Slug, bad, whole)
					}
				}
				for _, other := range s.Clients {
					if other.Slug != c.Slug && (strings.Contains(whole, other.Slug) || strings.Contains(whole, other.Name)) {
						t.Errorf("the message to %s has %s:\n%s", c.Slug, other.Slug, whole)
					}
				}
			}
		}
	}
	if names == 0 {
		t.Error("no alert is for client admins")
	}
	a := alert(alertLabels(all, map[string]string{"alertname": "ClientSaleAffected", "client": "second-swing-exchange"}), "Shoppers may see errors.")
	if l := m.send(t, a); !strings.Contains(l.text, "It began at 2026-05-04 10:02 CEST.") || len(l.to) != 2 {
		t.Errorf("it is not in the client's own time zone, or not sent to both: %v\n%s", l.to, l.text)
	}
}

// withoutTemplates removes template actions from a text, except the names of labels that they print.
func withoutTemplates(text string) string {
	return regexp.MustCompile(`\{\{-? *(if|with|range|end|else)[^}]*\}\}`).ReplaceAllString(text, "")
}

// TestASlackMessageIsShortAndComplete sends a message to a fake of Slack's webhook.
func TestASlackMessageIsShortAndComplete(t *testing.T) {
	m := newEmailSender(t)
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(server.Close)
	c := *m.receiver(t, "technical-low-priority").SlackConfigs[0]
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	c.APIURLFile, c.HTTPConfig = file, &commoncfg.HTTPClientConfig{}
	n, err := slack.New(&c, m.template, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a := alert(alertLabels(nil, map[string]string{"alertname": "Milder", "priority": "P3", "component": "database", "subject": "main"}), "90% of the disk.")
	ctx := notify.WithGroupLabels(notify.WithReceiverName(notify.WithGroupKey(t.Context(), "key"), "technical-low-priority"), model.LabelSet{"alertname": "Milder"})
	if _, err := n.Notify(ctx, a); err != nil {
		t.Fatal(err)
	}
	var message struct {
		Channel     string
		Attachments []struct{ Title, TitleLink, Text, Fallback, Color, Footer string }
	}
	body = bytes.ReplaceAll(body, []byte("title_link"), []byte("TitleLink"))
	if err := json.Unmarshal(body, &message); err != nil || len(message.Attachments) != 1 {
		t.Fatalf("%v: %s", err, body)
	}
	got := message.Attachments[0]
	checkContains(t, "the title", got.Title, "P3: The database does not answer. (Example Consignment)")
	checkContains(t, "the text", got.Text, "Notified: the team's channel. No further escalation.", "*Example Consignment, database, main*: 90% of the disk.",
		"<https://github.com/consignwatch/consignwatch/blob/main/docs/runbooks/Milder.md|runbook>", "`consignwatch ack ")
	if message.Channel != "#consign-low-priority" || got.Color != "#439fe0" || !strings.HasSuffix(got.TitleLink, "/Milder.md") || got.Footer != "Example Consignment" {
		t.Errorf("message %s", body)
	}
}
