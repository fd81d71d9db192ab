package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// addHealthcheck declares the replacement for curl in an image that has no shell: for health checks, and for switching faults.
func addHealthcheck(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("healthcheck", "Send an HTTP request and print the response; exit 1 unless the status code is 2xx. For health checks in containers without curl, and for switching the faults of platform-sim there.")
	address := command.Arg("url", "For example http://127.0.0.1:9471/-/ready.").Required().String()
	post := command.Flag("post", "Send a POST request instead of GET.").Bool()
	timeout := command.Flag("timeout", "Timeout of the request, the whole response included.").Default("5s").Duration()
	return command.FullCommand(), func(ctx context.Context, stdout io.Writer) error {
		method := http.MethodGet
		if *post {
			method = http.MethodPost
		}
		if _, err := url.Parse(*address); err != nil { // the error may quote a part of a password
			return fmt.Errorf("%q is not an address like http://127.0.0.1:9471/-/ready", secret.Address(*address))
		}
		return request(ctx, method, *address, *timeout, stdout)
	}
}

// maxErrorBody is how much of a response body an error contains.
const maxErrorBody = 1 << 10

func request(ctx context.Context, method, url string, timeout time.Duration, out io.Writer) error {
	late := fmt.Errorf("%s %s: no complete response within %v (--timeout)", method, url, timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, late)
	defer cancel()
	err := exchange(ctx, method, url, out)
	if err != nil && context.Cause(ctx) == late {
		return late
	}
	return err
}

func exchange(ctx context.Context, method, url string, out io.Writer) error {
	question, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	client, err := httpClient("")
	if err != nil {
		return err
	}
	response, err := client.Do(question)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
		return fmt.Errorf("%s %s: %s: %s", method, url, response.Status, strings.TrimSpace(string(body)))
	}
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	return nil
}
