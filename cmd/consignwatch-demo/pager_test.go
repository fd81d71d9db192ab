package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

func TestThePagerPrintsNotificationsUntilItIsStopped(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var out, file bytes.Buffer // read when the pager has ended
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- servePager(ctx, listener, webhookreceiver.NewReceiver(webhookreceiver.Config{Lines: &out, File: &file}))
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
	if response, err := http.Get(url + "/-/ready"); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("GET /-/ready: %v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, want := range []string{"The shop is closed.", "P3 A disk fills."} {
		if got := out.String(); !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if got := file.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"priority":"P0"`) {
		t.Errorf("notifications file: %q", got)
	}
}
