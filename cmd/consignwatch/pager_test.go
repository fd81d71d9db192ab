package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

func TestThePagerPrintsNotificationsUntilItIsStopped(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out, file := output(t), output(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- servePager(ctx, listener, webhookreceiver.NewReceiver(webhookreceiver.Config{Lines: out, File: file}))
	}()
	url := "http://" + listener.Addr().String()
	for path, body := range map[string]string{
		"/":      `{"status":"firing","alerts":[{"status":"firing","labels":{"priority":"P0","client":"_platform"},"annotations":{"summary":"The shop is closed."}}]}`,
		"/slack": `{"channel":"#quiet","attachments":[{"title":"P3 A disk fills."}]}`,
	} {
		response, err := http.Post(url+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("POST %s: %s", path, response.Status)
		}
	}
	if err := request(ctx, http.MethodGet, url+"/-/ready", 5e9, os.Stderr); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, want := range []string{"The shop is closed.", "P3 A disk fills."} {
		if got := content(t, out); !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if got := content(t, file); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"priority":"P0"`) {
		t.Errorf("pages file: %q", got)
	}
}
