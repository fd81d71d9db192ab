package servers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/consignwatch/consignwatch/pkg/executable"
)

// StartRedis starts an empty Redis on the loopback interface, without a
// password. Its data is in memory alone, and gone after a restart.
func StartRedis(ctx context.Context, dir string) (*Process, error) {
	path, err := executable.Find("redis-server")
	if err != nil {
		return nil, err
	}
	return OnFreeAddress(ctx, func(ctx context.Context, address string) (*Process, error) {
		number, err := port(address)
		if err != nil {
			return nil, err
		}
		return Start(ctx, Command{
			Name:    "Redis",
			Path:    path,
			Args:    []string{"--bind", "127.0.0.1", "--port", number, "--dir", dir, "--save", "", "--appendonly", "no"},
			Dir:     dir,
			LogFile: filepath.Join(dir, "redis.log"),
			Address: address,
			Ready:   pongs(address),
		})
	})
}

// pongs pings with Redis's inline protocol: one line each way.
func pongs(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		defer connection.Close()
		if deadline, ok := ctx.Deadline(); ok {
			if err := connection.SetDeadline(deadline); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprint(connection, "PING\r\n"); err != nil {
			return err
		}
		answer, err := bufio.NewReader(connection).ReadString('\n')
		if err != nil {
			return err
		}
		if strings.TrimSpace(answer) != "+PONG" {
			return fmt.Errorf("redis %s answers PING with %q", address, answer)
		}
		return nil
	}
}
