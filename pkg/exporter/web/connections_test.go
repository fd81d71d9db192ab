package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
)

// fakeGatherer gathers nothing. A nil function does nothing.
type fakeGatherer struct {
	gather    func(r *http.Request)
	delivered func(delivered bool)
	drain     func(ctx context.Context)
}

func (fakeGatherer) Start()                               {}
func (fakeGatherer) Rejected(func(_, _ string, _ uint64)) {}

func (g fakeGatherer) Drain(ctx context.Context) {
	if g.drain != nil {
		g.drain(ctx)
	}
}

func (g fakeGatherer) Gather(r *http.Request) ([]*dto.MetricFamily, func(delivered bool)) {
	if g.gather != nil {
		g.gather(r)
	}
	return nil, func(delivered bool) {
		if g.delivered != nil {
			g.delivered(delivered)
		}
	}
}

// configured is the shop with more in its configuration.
func configured(add func(*exporter.Setup)) web.App {
	app := shop(emitItems)
	load := app.Load
	app.Load = func(path string, log *slog.Logger) (*exporter.Setup, error) {
		s, err := load(path, log)
		if s != nil {
			add(s)
		}
		return s, err
	}
	return app
}

// dial connects to an exporter and sends a text. The connection ends with the test.
func dial(t *testing.T, network *exportertest.Network, r *exportertest.Running, text string) net.Conn {
	t.Helper()
	c, err := network.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

const scrape = "GET /metrics HTTP/1.1\r\nHost: shop\r\n"

func TestConnectionsThatDoNotReadKeepNobodyOut(t *testing.T) {
	exportertest.InVirtualTime(t, func(t *testing.T) {
		network := &exportertest.Network{}
		r := exportertest.StartOn(t, network, shop(emitItems), exportertest.WriteFile(t, "shop.yml", "items: 1"))
		var stalled []net.Conn
		for range 40 { // as many as --web.max-requests
			stalled = append(stalled, dial(t, network, r, scrape+"\r\n"))
		}
		synctest.Wait()
		for range 3 {
			if status, body := r.Get(t, "/metrics"); status != http.StatusOK || !strings.Contains(body, "shop_items") {
				t.Errorf("a scrape beside %d connections that do not read: %d %q", len(stalled), status, body[:min(len(body), 80)])
			}
		}
		time.Sleep(time.Hour)
		for i, c := range stalled {
			c.SetReadDeadline(time.Now().Add(time.Hour))
			if _, err := io.ReadAll(c); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		}
	})
}

func TestScrapesOverTheLimitAreRejectedWhileNoneIsWritten(t *testing.T) {
	exportertest.InVirtualTime(t, func(t *testing.T) {
		network, release := &exportertest.Network{}, make(chan struct{})
		g := fakeGatherer{gather: func(*http.Request) { <-release }}
		r := exportertest.StartOn(t, network, configured(func(s *exporter.Setup) { s.Gatherer = g }),
			exportertest.WriteFile(t, "shop.yml", "items: 1"), "--web.max-requests", "2")
		first, second := dial(t, network, r, scrape+"\r\n"), dial(t, network, r, scrape+"\r\n")
		synctest.Wait()
		if status, body := r.Get(t, "/metrics"); status != http.StatusServiceUnavailable {
			t.Errorf("the third scrape of two at most: %d %q, want 503", status, body)
		}
		close(release)
		for _, c := range []net.Conn{first, second} {
			if response, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("a scrape that was in flight: %v %v", response, err)
			}
		}
	})
}

// Neither needs a password: what holds a connection must end before anybody asks for one.
func TestConnectionsThatDoNotSendEnd(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                  "",
		"half a header":            "GET /metrics HTTP/1.1\r\nHost: sh",
		"a header without a body":  "POST /-/reload HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000\r\n\r\n",
		"half a body":              "GET /-/healthy HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000\r\n\r\n12345",
		"nothing after a response": scrape + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			exportertest.InVirtualTime(t, func(t *testing.T) {
				network := &exportertest.Network{}
				auth := exportertest.WriteFile(t, "web.yml", "basic_auth_users:\n  prometheus: $2b$04$Iwv4T0aBCpPeouSVZO01g.0ZM/IhWOuqUnoVZ31eZgzr4jMMvXFvy\n")
				r := exportertest.StartOn(t, network, shop(emitItems), exportertest.WriteFile(t, "shop.yml", "items: 1"), "--web.config.file", auth)
				c := dial(t, network, r, text)
				c.SetReadDeadline(time.Now().Add(time.Hour))
				if response, err := io.ReadAll(c); err != nil {
					t.Errorf("the connection is not closed: %v, after %q", err, response)
				}
			})
		})
	}
}

func TestAResponseIsDeliveredOnlyInTheScrapersTime(t *testing.T) {
	for name, c := range map[string]struct {
		gathering time.Duration
		reads     bool
		want      bool
		after     time.Duration // done is called
	}{
		"in time":                     {gathering: 2 * time.Second, reads: true, want: true, after: 2 * time.Second},
		"gathered too late":           {gathering: 9 * time.Second, reads: true, want: false, after: 9 * time.Second},
		"not read":                    {gathering: 0, reads: false, want: false, after: 5 * time.Second},
		"gathered slowly, not read":   {gathering: 4 * time.Second, reads: false, want: false, after: 5 * time.Second},
		"gathered too late, not read": {gathering: 9 * time.Second, reads: false, want: false, after: 9 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			exportertest.InVirtualTime(t, func(t *testing.T) {
				network, delivered := &exportertest.Network{}, make(chan bool, 1)
				g := fakeGatherer{
					gather:    func(*http.Request) { time.Sleep(c.gathering) },
					delivered: func(d bool) { delivered <- d },
				}
				r := exportertest.StartOn(t, network, configured(func(s *exporter.Setup) { s.Gatherer = g }), exportertest.WriteFile(t, "shop.yml", "items: 1"))
				begin := time.Now()
				connection := dial(t, network, r, scrape+"X-Prometheus-Scrape-Timeout-Seconds: 5\r\n\r\n")
				if c.reads {
					go io.Copy(io.Discard, connection)
				}
				select {
				case got := <-delivered:
					if took := time.Since(begin); got != c.want || took != c.after {
						t.Errorf("delivered: %v after %s, want %v after %s", got, took, c.want, c.after)
					}
				case <-time.After(time.Hour):
					t.Error("after an hour nobody has said whether the response was delivered")
				}
			})
		})
	}
}

func TestAResponseToAScraperThatHasHungUpIsNotDelivered(t *testing.T) {
	// On a socket: a response that is small fits into its buffer, whoever is at the other end.
	gathering, delivered := make(chan struct{}), make(chan bool, 1)
	g := fakeGatherer{
		gather:    func(r *http.Request) { close(gathering); <-r.Context().Done() },
		delivered: func(d bool) { delivered <- d },
	}
	r := exportertest.Start(t, configured(func(s *exporter.Setup) { s.Gatherer = g }), "items: 1")
	c := dial(t, nil, r, scrape+"Accept-Encoding: gzip\r\n\r\n")
	<-gathering
	c.Close()
	if <-delivered {
		t.Error("the response counts as delivered")
	}
}

func TestAGathererMayWaitAsLongAsTheScraper(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		want   time.Duration
	}{
		"its timeout":        {"X-Prometheus-Scrape-Timeout-Seconds: 30\r\n", 30 * time.Second}, // longer than a request may take to arrive
		"none":               {"", time.Minute},
		"a very long one":    {"X-Prometheus-Scrape-Timeout-Seconds: 86400\r\n", time.Minute},
		"not a number":       {"X-Prometheus-Scrape-Timeout-Seconds: NaN\r\n", time.Minute},
		"a negative timeout": {"X-Prometheus-Scrape-Timeout-Seconds: -1\r\n", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			exportertest.InVirtualTime(t, func(t *testing.T) {
				network, ended := &exportertest.Network{}, make(chan time.Duration, 1)
				g := fakeGatherer{gather: func(r *http.Request) {
					begin := time.Now()
					select {
					case <-r.Context().Done():
					case <-time.After(time.Hour):
					}
					ended <- time.Since(begin)
				}}
				r := exportertest.StartOn(t, network, configured(func(s *exporter.Setup) { s.Gatherer = g }), exportertest.WriteFile(t, "shop.yml", "items: 1"))
				dial(t, network, r, scrape+c.header+"\r\n")
				if got := <-ended; got != c.want {
					t.Errorf("the request's context ended after %s, want %s", got, c.want)
				}
			})
		})
	}
}

// brokenListener accepts nothing.
type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) {
	return nil, fmt.Errorf("accept: %w", os.ErrPermission)
}

func TestAListenerThatFailsEndsTheExporterAsASignalDoes(t *testing.T) {
	var calls []string
	app := configured(func(s *exporter.Setup) {
		s.Gatherer = fakeGatherer{drain: func(context.Context) { calls = append(calls, "drain") }}
		s.Close = func() error { calls = append(calls, "close"); return errors.New("the close failed") }
	})
	app.Listen = func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return brokenListener{l}, err
	}
	out := &exportertest.Log{}
	code := app.Run(t.Context(), []string{"--config.file", exportertest.WriteFile(t, "shop.yml", "items: 1"), "--web.listen-address", "127.0.0.1:0"}, out, out, nil)
	if got := strings.Join(calls, " "); code != 1 || got != "drain close" {
		t.Errorf("exit code %d after %q, want 1 after drain and close\n%s", code, got, out)
	}
	for _, want := range []string{"permission denied", "the close failed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, out)
		}
	}
}
