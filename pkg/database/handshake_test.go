package database

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

// handshakeServer is a server that sends one packet and hangs up.
func handshakeServer(t *testing.T, handshake string) secret.Value {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, handshake)
			c.Close()
		}
	}()
	return secret.New("me:hush@tcp(" + l.Addr().String() + ")/")
}

func packet(payload string) string {
	n := len(payload)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), 0}) + payload
}

func TestGarbageInPlaceOfAHandshakeLeavesNothingBehind(t *testing.T) {
	cases := map[string]struct {
		handshake string
		reason    exporter.Reason
	}{
		"not the protocol":         {"\x05\x00\x00\x00hello", exporter.ReasonParse},
		"SSH":                      {"SSH-2.0-OpenSSH_9.2\r\n", exporter.ReasonParse},
		"an array of Redis":        {"*2147483647\r\n", exporter.ReasonParse},
		"a huge packet":            {"\xff\xff\xff\x00hello", exporter.ReasonParse},
		"an empty packet":          {packet(""), exporter.ReasonParse},
		"an old version":           {packet("\x093.23"), exporter.ReasonParse},
		"a version without an end": {packet("\x0a8.0.1"), exporter.ReasonParse},
		"a version and no more":    {packet("\x0a8.0.1\x00"), exporter.ReasonParse},
		"half of what is after it": {packet("\x0a8.0.1\x00" + strings.Repeat("x", 30)), exporter.ReasonParse},
		"an error without a text":  {packet("\xff\x10"), exporter.ReasonParse},
		"too many connections":     {packet("\xff\x10\x04Too many connections"), exporter.ReasonConnection},
		"hangs up":                 {"", exporter.ReasonConnection},
		"hangs up in the middle":   {"\x4a\x00\x00\x00\x0a8.0", exporter.ReasonConnection},
	}
	try := func() {
		for name, c := range cases {
			pool, err := Open(handshakeServer(t, c.handshake), Options{MaxConnections: 1})
			if err != nil {
				t.Fatal(err)
			}
			err = pool.PingContext(t.Context())
			if err == nil || exporter.ReasonOf(Classify(err)) != c.reason {
				t.Errorf("%s: %v, want the reason %s", name, err, c.reason)
			}
			pool.Close()
		}
	}
	try()
	before := count(t, time.Second, 0) // of what ends by itself, most has ended then
	for range 10 {
		try()
	}
	// The greeters of this test wait for the next connection, each with a goroutine and a socket.
	if after, servers := count(t, time.Minute, before+10*len(cases)*2), 10*len(cases)*2; after > before+servers {
		t.Errorf("%d goroutines and files before, %d after, of which %d are the test's", before, after, servers)
	}
}

// count waits so long for at most so many goroutines and open files.
func count(t *testing.T, patience time.Duration, most int) int {
	t.Helper()
	n := 0
	for range patience / (25 * time.Millisecond) {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		if n = runtime.NumGoroutine() + len(files); n <= most {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	return n
}

func TestTheHandshakeOfARealServerIsReadAndASilentOneIsNotWaitedFor(t *testing.T) {
	dsn := serverstest.MariaDB(t)
	pool, err := Open(secret.New(dsn), Options{Program: "test", MaxConnections: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var version string
	if err := pool.QueryRowContext(t.Context(), "SELECT VERSION()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	dialect := serverstest.DialectOf(t, serverstest.Open(t, dsn))
	major, minor := dialect.OldestVersion()
	if v, err := ParseVersion(version); err != nil || v.MariaDB == dialect.MySQL || !v.AtLeast(major, minor, 0) {
		t.Errorf("%+v, %v", v, err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and no server answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listener, err := Open(secret.New("me:hush@tcp("+l.Addr().String()+")/?timeout=1h"), Options{MaxConnections: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, end := range []func(context.Context) (context.Context, context.CancelFunc){
		func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		},
		func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		ctx, cancel := end(t.Context())
		if err := listener.PingContext(ctx); err == nil { // without the end of its context it would wait for an hour
			t.Error("nobody has answered")
		}
		cancel()
	}
}
