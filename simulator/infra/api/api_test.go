package api

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

// fakePlatform is a platform whose client lookups take as long as the test wants.
type fakePlatform struct {
	asked   chan struct{} // a client is being looked up
	found   chan struct{} // closed: lookups find none
	reports chan *Report
}

func (d *fakePlatform) Client(string) (uint64, string, bool) {
	d.asked <- struct{}{}
	<-d.found
	return 0, "", false
}

func (d *fakePlatform) Begin(string) PlatformRequest { return d }

func (d *fakePlatform) Order(context.Context, uint64, uint64) (Order, error) {
	return Order{}, errors.New("nobody orders here")
}

func (d *fakePlatform) End(r *Report) { d.reports <- r }

// startServer returns an API with one request slot and without a database.
func startServer(t *testing.T) (*Server, *fakePlatform) {
	t.Helper()
	connector, err := mysql.NewConnector(mysql.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	d := &fakePlatform{asked: make(chan struct{}, 10), found: make(chan struct{}), reports: make(chan *Report, 10)}
	s, err := Start(Config{Address: "http://127.0.0.1:0", Pool: sql.OpenDB(connector), Platform: d, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, d
}

// get requests an endpoint that looks a client up.
func get(s *Server) (int, string, error) {
	response, err := http.Get(s.URL() + "/api/categories")
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func TestRequestsWaitForASlotAndNotForEver(t *testing.T) {
	t.Parallel()
	s, d := startServer(t)
	first := make(chan int, 1)
	go func() {
		status, _, err := get(s)
		if err != nil {
			t.Error(err)
		}
		first <- status
	}()
	<-d.asked // it has the only slot
	if _, threads := s.Gauges(); threads != (stream.WorkerThreads{Pool: "api", Busy: 1, Max: 1}) {
		t.Errorf("threads: %+v", threads)
	}
	begun := time.Now()
	status, body, err := get(s)
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "slots") {
		t.Errorf("the second request: %d %s %v", status, body, err)
	}
	if d := time.Since(begun); d < s.config.Limits.Wait {
		t.Errorf("it waited for %s only", d)
	}
	if r := <-d.reports; r == nil || r.Failure != (Failure{"system", "queue", "/api/categories"}) {
		t.Errorf("report: %+v", r)
	}
	close(d.found)
	if status := <-first; status != http.StatusForbidden {
		t.Errorf("the first request: %d", status)
	}
	if _, threads := s.Gauges(); threads.Busy != 0 {
		t.Errorf("threads: %+v", threads)
	}
}

func TestSlowRequestsTakeOneToThreeTimesTheDelayMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &fakePlatform{asked: make(chan struct{}, 100), found: make(chan struct{}), reports: make(chan *Report, 100)}
		close(d.found)
		config := Config{Platform: d}
		config.Limits.setDefaults()
		s := &Server{config: config, slots: make(chan struct{}, 1)}
		handler := s.routes()
		took := func() time.Duration {
			begun := time.Now()
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/categories", nil))
			if w.Code != http.StatusForbidden {
				t.Errorf("status %d", w.Code)
			}
			return time.Since(begun)
		}
		for _, on := range []bool{false, true, false} {
			s.SlowRequests(on)
			for range 20 {
				d, least, most := took(), time.Duration(0), time.Duration(0)
				if on {
					least, most = time.Second, 3*time.Second
				}
				if d < least || d > most {
					t.Errorf("slow %t: a request takes %s", on, d)
				}
			}
		}
	})
}

func TestARequestThatACrashEndsIsAnsweredAndReportedByNobody(t *testing.T) {
	t.Parallel()
	s, d := startServer(t)
	address := s.URL()
	answered := make(chan error, 1)
	go func() {
		_, _, err := get(s)
		answered <- err
	}()
	<-d.asked
	for range 2 { // twice is as once
		if err := s.Down(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-answered; err == nil {
		t.Error("it has an answer")
	}
	if _, _, err := get(s); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while it is down: %v", err)
	}
	for range 2 {
		if err := s.Up(); err != nil {
			t.Fatal(err)
		}
	}
	close(d.found)
	if r := <-d.reports; r != nil {
		t.Errorf("it is reported: %+v", r)
	}
	if status, _, err := get(s); status != http.StatusForbidden || s.URL() != address {
		t.Errorf("%s after the crash: %d, %v", s.URL(), status, err)
	}
	if r := <-d.reports; r == nil {
		t.Error("a request after the crash is not reported")
	}
}

// While the API is down, its port must be nobody else's: the system gives away those of this range, for port 0 and for outgoing connections.
func TestTheAPIHasAPortThatTheSystemGivesToNobody(t *testing.T) {
	t.Parallel()
	s, _ := startServer(t)
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	var first, last, port int
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(address.Port(), &port); err != nil || first <= port && port <= last {
		t.Errorf("the API is at %s (%v), and the system gives away the ports %d to %d", s.URL(), err, first, last)
	}
}
