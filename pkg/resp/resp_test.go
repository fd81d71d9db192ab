package resp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

func dial(t *testing.T, address string) *Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn := New(c)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestRepliesOfARealServer(t *testing.T) {
	server, err := servers.StartRedis(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	c := dial(t, server.Address())
	large := strings.Repeat("x\r\n", 300_000)
	for _, q := range []struct {
		ask  []string
		want any
	}{
		{[]string{"PING"}, "PONG"},
		{[]string{"GET", "nothing"}, nil},
		{[]string{"SET", "a", "b\r\n\x00ü"}, "OK"},
		{[]string{"GET", "a"}, "b\r\n\x00ü"},
		{[]string{"INCR", "n"}, int64(1)},
		{[]string{"SET", "large", large}, "OK"},
		{[]string{"GET", "large"}, large},
		{[]string{"SET", "empty", ""}, "OK"},
		{[]string{"GET", "empty"}, ""},
		{[]string{"MGET", "n", "nothing"}, []any{"1", nil}},
		{[]string{"EVAL", "return {1, {2, {}}}", "0"}, []any{int64(1), []any{int64(2), []any{}}}},
		{[]string{"INCR", "a"}, Error("ERR value is not an integer or out of range")},
		{[]string{"PING"}, "PONG"}, // an answer that is an error leaves the connection as it is
	} {
		got, err := c.Do(t.Context(), q.ask...)
		if said := Error(""); errors.As(err, &said) {
			got, err = said, nil
		}
		if diff := cmp.Diff(q.want, got); err != nil || diff != "" {
			t.Fatalf("%.50q: %v (-want +got):\n%.500s", q.ask, err, diff)
		}
	}
	info, ok, err := c.Text(t.Context(), "INFO", "all")
	if err != nil || !ok || !strings.Contains(info, "uptime_in_seconds:") {
		t.Errorf("INFO: %v, %v, %.100q", ok, err, info)
	}
	if _, _, err := c.Text(t.Context(), "INCR", "n"); err == nil || !strings.Contains(err.Error(), "the answer to INCR is a int64") {
		t.Errorf("a number where a text is wanted: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, "BLPOP", "nothing-comes", "0"); exporter.ReasonOf(err) != exporter.ReasonTimeout { // it would wait for ever
		t.Errorf("no answer in time: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := dial(t, server.Address()).Do(ctx, "BLPOP", "nothing-comes", "0"); err == nil {
		t.Error("a question that was called off has an answer")
	}
}

// answering makes a connection to a server that answers each command with the same bytes.
func answering(t *testing.T, answer string) *Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	go func() {
		_, _ = theirs.Read(make([]byte, 1024))
		_, _ = io.WriteString(theirs, answer)
		theirs.Close()
	}()
	return New(ours)
}

func TestGarbageIsRejectedAndTakesNoMemory(t *testing.T) {
	for answer, reason := range map[string]exporter.Reason{
		"*2147483647\r\n":                  exporter.ReasonParse,
		"*99999999999999\r\n":              exporter.ReasonParse,
		"*99999999999999999999\r\n":        exporter.ReasonParse,
		"$2147483647\r\n":                  exporter.ReasonParse,
		"*-2\r\n":                          exporter.ReasonParse,
		"$-7\r\n":                          exporter.ReasonParse,
		"%1\r\n":                           exporter.ReasonParse,
		"\r\n":                             exporter.ReasonParse,
		"+PONG\n":                          exporter.ReasonParse,
		":1x\r\n":                          exporter.ReasonParse,
		"$3\r\nabcde\r\n":                  exporter.ReasonParse,
		"*1\r\n-ERR x\r\n":                 exporter.ReasonParse,
		"+PONG\r\n+PONG\r\n":               exporter.ReasonParse,
		"HTTP/1.1 400 Bad Request\r\n\r\n": exporter.ReasonParse,
		strings.Repeat("*1\r\n", 100):      exporter.ReasonParse,
		"+" + strings.Repeat("x", 1<<20):   exporter.ReasonParse,
		"*8000000\r\n" + strings.Repeat(":1\r\n", 3_000_000): exporter.ReasonParse,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := answering(t, answer).Do(t.Context(), "PING")
		runtime.ReadMemStats(&after)
		if err == nil || exporter.ReasonOf(err) != reason {
			t.Errorf("%.20q: %v, want the reason %s", answer, err, reason)
		}
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 256 {
			t.Errorf("%.20q took %d MB", answer, mb)
		}
	}
	for _, cut := range []string{"", "+PO", "$3\r\nab", "*2\r\n:1\r\n"} {
		if _, err := answering(t, cut).Do(t.Context(), "PING"); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v, want the end of the connection", cut, err)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "-ERR x\r\n", ":1\r\n", "$3\r\nabc\r\n", "*2\r\n$-1\r\n*1\r\n:2\r\n", "*1\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		r := reader{in: New(pipe{strings.NewReader(answer)}).in, remaining: maxReplyBytes}
		reply, err := r.read(0)
		if err == nil && len(fmt.Sprint(reply)) > 100+10*len(answer) {
			t.Errorf("%q became %v", answer, reply)
		}
	})
}

// pipe is a connection that only reads.
type pipe struct{ io.Reader }

func (pipe) Write([]byte) (int, error)        { return 0, io.ErrClosedPipe }
func (pipe) Close() error                     { return nil }
func (pipe) LocalAddr() net.Addr              { return nil }
func (pipe) RemoteAddr() net.Addr             { return nil }
func (pipe) SetDeadline(time.Time) error      { return nil }
func (pipe) SetReadDeadline(time.Time) error  { return nil }
func (pipe) SetWriteDeadline(time.Time) error { return nil }
