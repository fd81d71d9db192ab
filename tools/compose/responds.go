package compose

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// responds returns a check that a GET request gets status 200, or without a path, that the address accepts connections.
func responds(address, path string) func(context.Context) error {
	return func(ctx context.Context) error {
		if path == "" {
			connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err == nil {
				err = connection.Close()
			}
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s%s: %s", address, path, response.Status)
		}
		return nil
	}
}
