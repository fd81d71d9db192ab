package events_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// awaitCountedBut waits until the records of a partition are counted, without delivering them.
func (r *inProcess) awaitCountedBut(t *testing.T, topic string, partition int32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got := r.gather(t, "/metrics")
		lag, known := got[fmt.Sprintf(`consignwatch_records_lag{partition="%d",topic=%q}`, partition, topic)]
		if known && lag == 0 && got[fmt.Sprintf(`consignwatch_last_record_timestamp_seconds{topic=%q}`, topic)] > 0 {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s/%d is not counted within a minute:\n%s", topic, partition, tail(r.Log()))
		}
	}
}

// TestOnlyAKnownScraperWithTheWholeResponseDelivers scrapes in every way that must not count as a delivery.
func TestOnlyAKnownScraperWithTheWholeResponseDelivers(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	r := follow(t, b.Address(), "scrapers: [{name: main, anonymous: true}, {name: second, anonymous: true}]\n")
	r.scrapeFirst(t)
	write(t, b, times(10, request("anna"))...)
	r.awaitCountedBut(t, telemetry, 0)
	for _, tt := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/metrics", 200},
		{"GET", "/metrics?scraper=", 200},
		{"GET", "/metrics?scraper=other", 200},
		{"GET", "/metrics?scraper=Main", 200},
		{"GET", "/metrics?scraper=other&scraper=main", 200},
		{"GET", "/metrics?scraper=main&name[]=consign_orders_total", 200},
		{"GET", "/metrics?scraper=main&name%5B%5D=consign_orders_total", 200},
		{"HEAD", "/metrics?scraper=main", 200},
		{"POST", "/metrics?scraper=main", 405},
		{"GET", "/?scraper=main", 200},
		{"GET", "/config?scraper=main", 200},
	} {
		if code, _ := r.Do(t, tt.method, tt.path); code != tt.code {
			t.Errorf("%s %s answers %d, want %d", tt.method, tt.path, code, tt.code)
		}
		if got := r.gather(t, "/metrics")[requests("anna")]; got != 0 {
			t.Fatalf("after %s %s the scrape response shows %v as delivered", tt.method, tt.path, got)
		}
	}
	r.assertSecondIsFirst(t, b)
	r.assertCommits(t, 1)
	if got := r.gather(t, "/metrics")[requests("anna")]; got != 10 {
		t.Errorf("after the delivery the scrape response shows %v, want 10", got)
	}
}

// assertSecondIsFirst has the second scraper, to which ten requests of anna are delivered, and before it nothing to anybody.
func (r *inProcess) assertSecondIsFirst(t *testing.T, b broker) {
	t.Helper()
	if got := committed(t, b, telemetry, 0); got != -1 {
		t.Fatalf("offset %d is committed, although nothing was delivered", got)
	}
	if got := r.gather(t, "/metrics?scraper=second")[requests("anna")]; got != 10 {
		t.Errorf("the second scraper gets %v, want 10", got)
	}
	awaitCommitted(t, b, telemetry, 0, 10)
}

// assertCommits fails if the offsets of the topic telemetry have been committed more or less often than that. Commits go one behind the other: the one of
// the last delivery has come, so all those before it have, too.
func (r *inProcess) assertCommits(t *testing.T, want float64) {
	t.Helper()
	const partitions = 2
	commits := func() float64 {
		return r.gather(t, "/metrics")[fmt.Sprintf(`consignwatch_offsets_committed_total{outcome="succeeded",topic=%q}`, telemetry)] / partitions
	}
	await(t, "the exporter has the answer to its last commit", func() bool { return commits() >= want })
	if got := commits(); got != want {
		t.Errorf("the offsets were committed %v times, want %v", got, want)
	}
}

// TestMetricsBehindAPasswordAreDeliveredOnlyToWhoHasIt uses basic authentication of the web configuration.
func TestMetricsBehindAPasswordAreDeliveredOnlyToWhoHasIt(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	// The hash of the password "let-me-in".
	web := exportertest.WriteFile(t, "web.yml", "basic_auth_users:\n  prometheus: $2b$04$Iwv4T0aBCpPeouSVZO01g.0ZM/IhWOuqUnoVZ31eZgzr4jMMvXFvy\n")
	r := follow(t, b.Address(), "", "--web.config.file="+web)
	r.headers = []string{"Authorization: Basic cHJvbWV0aGV1czpsZXQtbWUtaW4="}
	r.scrapeFirst(t)
	write(t, b, times(10, request("anna"))...)
	r.awaitCountedBut(t, telemetry, 0)
	for _, header := range []string{"X-None: none", "Authorization: Basic cHJvbWV0aGV1czp3cm9uZw=="} {
		if code, _ := r.Get(t, "/metrics?scraper=main", header); code != http.StatusUnauthorized {
			t.Errorf("with %s the answer is %d, want 401", header, code)
		}
	}
	if got := r.gather(t, "/metrics")[requests("anna")]; got != 0 {
		t.Errorf("the scrape response shows %v as delivered, although nobody with the password has it", got)
	}
	if got := r.scrape(t)[requests("anna")]; got != 10 {
		t.Errorf("with the password %v are delivered, want 10", got)
	}
	awaitCommitted(t, b, telemetry, 0, 10)
}

// bigRecords make a response of more than 5 MB.
func bigRecords() (records []record) {
	for i := range 260 {
		records = append(records, record{topic: telemetry, value: structured("1", "any.thing", "anna", fmt.Sprintf(`{"thing":"%d-%s"}`, i, strings.Repeat("x", 20_000)))})
	}
	return records
}

// followBigResponse starts an exporter whose scrape response is larger than what fits between two sockets, 5 MB, by few series with long
// labels. It has ten requests to deliver.
func followBigResponse(t *testing.T) (*kafka.Broker, *inProcess) {
	t.Helper()
	b := startBroker(t, kafka.Config{})
	write(t, b, append(bigRecords(), times(10, request("anna"))...)...)
	dir := folder(t, map[string]string{"mapping.yml": anyLabelMapping, "config.yml": followConfig(b.Address(), "mapping_file: mapping.yml\n")})
	r := followFile(t, filepath.Join(dir, "config.yml"))
	r.scrapeFirst(t)
	r.awaitCountedBut(t, telemetry, 0)
	return b, r
}

// stuck scrapes and reads only the first bytes of the response.
func stuck(t *testing.T, r *inProcess, header ...string) net.Conn {
	t.Helper()
	conn, err := beginToRead(t, r, header...)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// stuckWithTimeout is stuck with a scrape timeout: a short one, but long enough for the response to begin.
func stuckWithTimeout(t *testing.T, r *inProcess) net.Conn {
	t.Helper()
	for timeout := 1; ; timeout *= 2 {
		conn, err := beginToRead(t, r, fmt.Sprintf("X-Prometheus-Scrape-Timeout-Seconds: %d", timeout))
		switch {
		case err == nil:
			return conn
		case timeout > 60:
			t.Fatal(err)
		}
	}
}

func beginToRead(t *testing.T, r *inProcess, header ...string) (net.Conn, error) {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }); e != nil {
			return e
		}
		return err
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET /metrics?scraper=main HTTP/1.1\r\nHost: x\r\n%s\r\n", strings.Join(append(header, ""), "\r\n")); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadFull(conn, make([]byte, 100))
	return conn, err
}

// TestAScrapeThatIsCutOffDoesNotCommit breaks the connection in the middle of the response.
func TestAScrapeThatIsCutOffDoesNotCommit(t *testing.T) {
	t.Parallel()
	b, r := followBigResponse(t)
	conn := stuck(t, r)
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // close means: connection reset
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	r.awaitLog(t, "scrape was cut off")
	if got := committed(t, b, telemetry, 0); got != -1 {
		t.Errorf("offset %d is committed, although the scrape response did not arrive", got)
	}
	if got := r.scrape(t)[requests("anna")]; got != 10 {
		t.Errorf("the next scrape shows %v, want 10", got)
	}
	awaitCommitted(t, b, telemetry, 0, 270)
	r.assertCommits(t, 1)
}

// TestScrapesThatCountComeOneAfterTheOther holds one in the middle: the next one waits for its end. Everybody else is
// answered at once.
func TestScrapesThatCountComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	_, r := followBigResponse(t)
	first := stuck(t, r)
	others := make(chan float64, 2)
	for range 2 {
		go func() { others <- r.gather(t, "/metrics?scraper=main")[requests("anna")] }()
	}
	for range 20 {
		r.gather(t, "/metrics") // is not held up
	}
	select {
	case <-others:
		t.Error("another scrape was answered while the first one was in the middle")
	default:
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := <-others; got != 10 {
			t.Errorf("another scrape shows %v, want 10", got)
		}
	}
}

// TestAScraperThatDoesNotReadHoldsUpTheOthersOnlyForItsOwnTimeout never closes the connection. How long exactly it holds them up is a test of the gatherer's.
func TestAScraperThatDoesNotReadHoldsUpTheOthersOnlyForItsOwnTimeout(t *testing.T) {
	t.Parallel()
	b, r := followBigResponse(t)
	conn := stuckWithTimeout(t, r)
	begin := time.Now()
	if got := r.scrape(t)[requests("anna")]; got != 10 {
		t.Errorf("the next scrape shows %v, want 10", got)
	}
	if d := time.Since(begin); d < 500*time.Millisecond {
		t.Errorf("the next scrape waited for %v, want about a second", d)
	}
	awaitCommitted(t, b, telemetry, 0, 270)
	conn.Close() // the first request ends now, long after it has been given up
	write(t, b, request("anna"))
	r.await(t, map[string]float64{requests("anna"): 11})
	awaitCommitted(t, b, telemetry, 0, 271)
}

// TestManyScrapersAtOnce lets several scrapers deliver while records come: each sees the numbers grow, and in the end
// all are there once.
func TestManyScrapersAtOnce(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	r := follow(t, b.Address(), "scrapers: [{name: main, anonymous: true}, {name: second, anonymous: true}]\n")
	const batches, size = 20, 50
	stop := make(chan struct{})
	var scrapers sync.WaitGroup
	for i := range 6 {
		scrapers.Go(func() {
			last := 0.0
			for {
				got := r.gather(t, "/metrics?scraper="+[]string{"main", "second", "other"}[i%3])[requests("anna")]
				if got < last {
					t.Errorf("the number fell from %v to %v", last, got)
				}
				last = got
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range batches {
		write(t, b, times(size, request("anna"))...)
	}
	r.await(t, map[string]float64{requests("anna"): batches * size})
	close(stop)
	scrapers.Wait()
	awaitCommitted(t, b, telemetry, 0, batches*size)
}
