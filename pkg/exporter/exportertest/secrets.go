package exportertest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter/web"
)

// plant marks both ends of a planted secret: half of one shows, too.
const plant = "pl4nted"

// Secrets are seeds of a fuzz test that plants secrets: signs that quotations, addresses and data source names write differently.
func Secrets() []string {
	return []string{"shpat_planted-secret", `quo"ted\secret`, "half/other@tcp(x", "percent%25&=+#?", "key with spaces", "<angle>&amp;brackets", "új-jelszó-titok", "sk_live_0123456789"}
}

// Planted is a secret of a text, which nothing else looks like. It skips a test for whose text there is none.
func Planted(t testing.TB, text string) string {
	if len(text) < 8 || strings.ContainsAny(text, "\x00\r\n") {
		t.Skip("no secret")
	}
	return plant + text + plant
}

// NoSecretShows checks the configuration of an exporter, runs the exporter in each log format, and reloads while the data source
// name in a file has a mistake. It fails when a part of the planted secret stands in anything that is printed or served. Unless
// silent, a target repeats the secret in a message that is logged. Further arguments are commands of the exporter.
func NoSecretShows(t *testing.T, network *Network, app web.App, config, dsnFile, planted string, silent bool, commands ...[]string) {
	t.Helper()
	all := &Log{}
	for _, arguments := range commands {
		app.Run(t.Context(), arguments, all, all, nil)
	}
	if app.Run(t.Context(), []string{"--config.check", "--config.file", config}, all, all, nil) == 0 { // else no header can hold the secret
		good, err := os.ReadFile(dsnFile)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"logfmt", "json"} {
			r := StartOn(t, network, app, config, "--log.level=debug", "--log.format="+format, "--web.enable-lifecycle")
			r.AwaitReady(t)
			for _, page := range []string{"/", "/metrics", "/config"} {
				_, body := r.Get(t, page)
				fmt.Fprintln(all, body)
			}
			for _, dsn := range []string{"reader:" + planted + "/x@tcp(127.0.0.1:1)", string(good)} { // a password with a slash, and no database
				if err := os.WriteFile(dsnFile, []byte(dsn), 0o600); err != nil {
					t.Fatal(err)
				}
				status, body := r.Do(t, http.MethodPost, "/-/reload")
				if (status == http.StatusOK) != (dsn == string(good)) {
					t.Errorf("a reload is answered with %d %s", status, body)
				}
				fmt.Fprintln(all, body)
			}
			r.Stop()
			if !silent && !strings.Contains(r.Log(), "<secret>") {
				t.Errorf("nothing was masked: what was read is not what was meant:\n%s", r.Log())
			}
			fmt.Fprintln(all, r.Log())
		}
	}
	for line := range strings.Lines(all.String()) {
		if strings.Contains(line, plant) {
			t.Errorf("a secret shows: %s", line)
		}
	}
}

// EchoHTTP answers every request with all that it was sent, in each place of a response and in several forms.
func EchoHTTP(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var sent strings.Builder
		_ = r.Header.Write(&sent)
		sent.Write(body)
		form, _ := url.QueryUnescape(string(body))
		words := strings.Join([]string{sent.String(), form, fmt.Sprintf("%q", sent.String()), base64.StdEncoding.EncodeToString(body), r.URL.String()}, " ")
		for _, name := range []string{"Retry-After", "Location", "Www-Authenticate", "X-Shopify-API-Version"} {
			w.Header().Set(name, oneLine.Replace(words))
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%[1]q,"errors":[{"message":%[1]q,"code":%[1]q,"extensions":{"code":%[1]q}}],"name":%[1]q,"message":%[1]q,"status":"error"} %[1]s`, words)
	}
}

var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// EchoRedis starts a server that rejects each command of Redis with what it was sent. It ends with the test.
func EchoRedis(t testing.TB) (address string) {
	return answering(t, nil, func(sent, _ []byte) []byte {
		return fmt.Appendf(nil, "-ERR unknown command, with args beginning with: %s %q\r\n", oneLine.Replace(string(sent)), sent)
	})
}

// EchoMySQL starts a server that is sent the password of MySQL in the clear, when the data source name has
// allowCleartextPasswords=true, and rejects it, or accepts it and rejects each statement: with what it was sent. It ends with the
// test.
func EchoMySQL(t testing.TB, accept bool) (address string) {
	packet := func(sequence byte, payload []byte) []byte {
		header := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
		header[3] = sequence
		return append(header, payload...)
	}
	// Version 10, the server's version, an id, no challenge, all capabilities but TLS and compression, the plugin.
	handshake := "\x0a8.4.0\x00" + "\x01\x00\x00\x00" + strings.Repeat("c", 8) + "\x00" + "\x9f\xf7" + "\x2d\x02\x00" + "\x08\x00" + "\x15" +
		strings.Repeat("\x00", 10) + strings.Repeat("c", 12) + "\x00" + "mysql_clear_password\x00"
	return answering(t, packet(0, []byte(handshake)), func(sent, login []byte) []byte {
		if accept && bytes.Equal(sent, login) {
			return packet(sent[3]+1, []byte("\x00\x00\x00\x02\x00\x00\x00"))
		}
		return packet(sent[3]+1, fmt.Appendf(nil, "\xff\x15\x04#28000rejected: %s %q", login, login))
	})
}

// answering starts a server that greets, and answers each thing that it reads of a connection, of which first was the first.
func answering(t testing.TB, greeting []byte, answer func(sent, first []byte) []byte) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		_, err := c.Write(greeting)
		var first []byte
		buffer := make([]byte, 64<<10)
		for err == nil {
			var n int
			if n, err = c.Read(buffer); err == nil {
				if first == nil {
					first = bytes.Clone(buffer[:n])
				}
				_, err = c.Write(answer(buffer[:n], first))
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}
