package web_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
)

func TestAnExporterAnswersDuringAReload(t *testing.T) {
	exportertest.InVirtualTime(t, func(t *testing.T) {
		network, release := &exportertest.Network{}, make(chan struct{})
		app := configured(func(s *exporter.Setup) { s.Close = func() error { <-release; return nil } })
		r := exportertest.StartOn(t, network, app, exportertest.WriteFile(t, "shop.yml", "items: 1"), "--web.enable-lifecycle")
		r.AwaitReady(t)
		reloaded := make(chan int)
		go func() {
			status, _ := r.Do(t, http.MethodPost, "/-/reload")
			reloaded <- status
		}()
		synctest.Wait()
		time.AfterFunc(5*time.Minute, func() { close(release) })
		begin := time.Now()
		for _, path := range []string{"/-/ready", "/config", "/metrics"} {
			if status, body := r.Get(t, path); status != http.StatusOK {
				t.Errorf("%s during a reload: %d %q", path, status, body)
			}
			if waited := time.Since(begin); waited != 0 {
				t.Errorf("%s waited for the reload, for %s", path, waited)
			}
		}
		if status := <-reloaded; status != http.StatusOK {
			t.Errorf("a reload that takes five minutes was answered %d", status)
		}
	})
}

func TestNoReloadBeginsWhileTheExporterStops(t *testing.T) {
	exportertest.InVirtualTime(t, func(t *testing.T) {
		network, release := &exportertest.Network{}, make(chan struct{})
		app := configured(func(s *exporter.Setup) {
			s.Gatherer = fakeGatherer{drain: func(context.Context) { <-release }}
		})
		load, loads := app.Load, atomic.Int32{}
		app.Load = func(path string, log *slog.Logger) (*exporter.Setup, error) {
			loads.Add(1)
			return load(path, log)
		}
		r := exportertest.StartOn(t, network, app, exportertest.WriteFile(t, "shop.yml", "items: 1"), "--web.enable-lifecycle")
		r.AwaitReady(t)
		stopped := make(chan int)
		go func() { stopped <- r.Stop() }()
		synctest.Wait()
		time.AfterFunc(20*time.Second, func() { close(release) })
		begin := time.Now()
		if status, body := r.Get(t, "/-/ready"); status != http.StatusOK {
			t.Errorf("/-/ready during the wait for a last scrape: %d %q", status, body)
		}
		if status, body := r.Do(t, http.MethodPost, "/-/reload"); status != http.StatusInternalServerError || !strings.Contains(body, "the exporter is stopping") {
			t.Errorf("a reload during the wait for a last scrape: %d %q", status, body)
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("readiness and reload were answered after %s", waited)
		}
		if code := <-stopped; code != 0 {
			t.Errorf("exit code %d:\n%s", code, r.Log())
		}
		if n := loads.Load(); n != 1 {
			t.Errorf("the configuration was loaded %d times, want 1: nothing starts in a process that ends", n)
		}
	})
}

func TestAStopHasAnEnd(t *testing.T) {
	for name, c := range map[string]struct {
		flags []string
		want  time.Duration // of the wait for a last scrape; a stop takes 4 seconds more
	}{
		"by default":    {nil, 25 * time.Second},
		"by the flag":   {[]string{"--drain-timeout", "2m"}, 2 * time.Minute},
		"without delay": {[]string{"--drain-timeout", "0s"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			exportertest.InVirtualTime(t, func(t *testing.T) {
				network, release := &exportertest.Network{}, make(chan struct{})
				app := configured(func(s *exporter.Setup) {
					s.Gatherer = fakeGatherer{drain: func(ctx context.Context) { <-ctx.Done(); <-release }}
					s.Close = func() error { <-release; return nil }
				})
				app.Drains = true
				if got := stopTime(t, network, app, nil, c.flags...); got != c.want+4*time.Second {
					t.Errorf("the stop took %s, want %s and 4 seconds", got, c.want)
				}
				close(release)
			})
		})
	}
}

func TestAStopSucceedsWhateverClientsDo(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       "",
		"half a header": "GET /metrics HTTP/1.1\r\nHost: sh",
		"not reading":   scrape + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			exportertest.InVirtualTime(t, func(t *testing.T) {
				network := &exportertest.Network{}
				r := exportertest.StartOn(t, network, shop(emitItems), exportertest.WriteFile(t, "shop.yml", "items: 1"))
				r.AwaitReady(t)
				dial(t, network, r, text)
				synctest.Wait()
				begin := time.Now()
				if code, took := r.Stop(), time.Since(begin); code != 0 || took > 4*time.Second {
					t.Errorf("exit code %d after %s, want 0 after 4s at most:\n%s", code, took, r.Log())
				}
			})
		})
	}
}

func TestAStopDoesNotWaitForAReloadThatDoesNotEnd(t *testing.T) {
	exportertest.InVirtualTime(t, func(t *testing.T) {
		network, release := &exportertest.Network{}, make(chan struct{})
		app := configured(func(s *exporter.Setup) { s.Close = func() error { <-release; return nil } })
		reload := func(address string) {
			c, err := network.DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			io.WriteString(c, "POST /-/reload HTTP/1.1\r\nHost: shop\r\n\r\n")
		}
		if got := stopTime(t, network, app, reload, "--web.enable-lifecycle"); got != 29*time.Second {
			t.Errorf("the stop took %s, want 29s: less than the 30s of Kubernetes", got)
		}
		close(release)
		synctest.Wait()
	})
}

// A signal that does not come from outside would end the tests: the exporter is a process of its own.
func TestTheSecondSignalEndsTheProcessAtOnce(t *testing.T) {
	if path := os.Getenv("SHOP_EXPORTER_CONFIG"); path != "" {
		app := configured(func(s *exporter.Setup) {
			s.Gatherer = fakeGatherer{drain: func(ctx context.Context) {
				io.WriteString(os.Stdout, "draining\n")
				<-ctx.Done()
			}}
		})
		app.Listen = func(network, address string) (l net.Listener, err error) {
			defer io.WriteString(os.Stdout, "listening\n")
			return net.Listen(network, address)
		}
		os.Exit(app.Main([]string{"--config.file", path, "--web.listen-address", "127.0.0.1:0"}, io.Discard, io.Discard))
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "SHOP_EXPORTER_CONFIG="+exportertest.WriteFile(t, "shop.yml", "items: 1"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"listening", "draining"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the exporter says %q, %v, want %q", lines.Text(), lines.Err(), want)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	// The first signal ends the exporter's own handling of signals, not necessarily before it drains: until then a second
	// one is lost.
	ended := make(chan error)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			cmd.Process.Signal(syscall.SIGTERM)
		case <-ended:
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
				t.Errorf("the exporter ended as %s, want: by the signal", cmd.ProcessState)
			}
			return
		}
	}
}

func TestAConfigurationThatCannotBePutInForceIsClosed(t *testing.T) {
	var closed atomic.Int32
	app := configured(func(s *exporter.Setup) {
		s.Collectors = append(s.Collectors, s.Collectors...)
		s.Close = func() error { closed.Add(1); return nil }
	})
	path := exportertest.WriteFile(t, "shop.yml", "items: 1")
	for i, mode := range []string{"--config.check", "--web.listen-address=127.0.0.1:0"} {
		out := &exportertest.Log{}
		code := app.Run(t.Context(), []string{"--config.file", path, mode}, out, out, nil)
		if want := path + `: collector stock has the target "shop" twice`; code != 1 || !strings.Contains(strings.ReplaceAll(out.String(), `\"`, `"`), want) {
			t.Errorf("%s: exit code %d, printed:\n%s\nwant 1 and: %s", mode, code, out, want)
		}
		if n := int(closed.Load()); n != i+1 {
			t.Errorf("%s: %d configurations were closed, want %d", mode, n, i+1)
		}
	}
}

// stopTime runs an exporter and returns how long it takes to stop. It calls running, which may be nil, before that.
func stopTime(t *testing.T, network *exportertest.Network, app web.App, running func(address string), flags ...string) time.Duration {
	t.Helper()
	app.Listen = network.Listen
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	listening, ended := make(chan string, 1), make(chan struct{})
	args := append([]string{"--config.file", exportertest.WriteFile(t, "shop.yml", "items: 1"), "--web.listen-address", "127.0.0.1:0"}, flags...)
	go func() {
		defer close(ended)
		app.Run(ctx, args, io.Discard, io.Discard, func(a []net.Addr) { listening <- a[0].String() })
	}()
	address := <-listening
	if running != nil {
		running(address)
	}
	synctest.Wait()
	begin := time.Now()
	stop()
	<-ended
	return time.Since(begin)
}
