package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
)

// Ports below the range that Linux hands out for outgoing connections and for
// port 0 (32768 and up): no other program takes one of these by chance.
const (
	firstPort    = 20000
	lastPort     = 32000
	portTries    = 200
	portRestarts = 5
)

// FreeAddress returns an address of the loopback interface that nothing
// listens on. It is not reserved: use OnFreeAddress to start something on it.
func FreeAddress() (string, error) {
	var last error
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if last = tryPort(port); last == nil {
			return fmt.Sprintf("127.0.0.1:%d", port), nil
		}
	}
	return "", fmt.Errorf("no free port on 127.0.0.1 in %d tries between %d and %d: %w", portTries, firstPort, lastPort, last)
}

// OnFreeAddress calls start with a free address, and again with another one
// when something else took it in between: when the error says that the address
// is already in use.
func OnFreeAddress[T any](ctx context.Context, start func(context.Context, string) (T, error)) (T, error) {
	for try := 1; ; try++ {
		address, err := FreeAddress()
		if err != nil {
			var none T
			return none, err
		}
		started, err := start(ctx, address)
		if err == nil || try == portRestarts || ctx.Err() != nil || !addressInUse(err) {
			return started, err
		}
	}
}

// addressInUse looks at the words, since they come from the log of a child:
// every server here prints the system's own.
func addressInUse(err error) bool {
	return err != nil && strings.Contains(strings.ToLower(err.Error()), "address already in use")
}

// port returns the port of host:port.
func port(address string) (string, error) {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.Join(fmt.Errorf("address %q", address), err)
	}
	return p, nil
}
