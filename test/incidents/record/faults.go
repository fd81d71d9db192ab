package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"

	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
)

// incidents are all recorded incidents, the longest first.
func incidents() []incident {
	platform := func(name, what, fault, client string) incident {
		return incident{name: name, what: what, on: switchFault(fault, "on", client), off: switchFault(fault, "off", client)}
	}
	var locked adminConn
	var connections []adminConn
	return []incident{
		{name: "quiet", what: "nothing goes wrong for two hours"},
		platform("database-down", "the database does not answer", "database-down", ""),
		{name: "tables-locked", what: "a session holds a lock on items and sales", on: func(ctx context.Context, s statefile.State) (err error) {
			locked, err = connect(ctx, s)
			if err != nil {
				return err
			}
			_, err = locked.connection.ExecContext(ctx, "LOCK TABLES items WRITE, sales WRITE")
			return err
		}, off: func(context.Context, statefile.State) error { return locked.close() }},
		{name: "connections-used-up", what: "sessions take all connections of the database", on: func(ctx context.Context, s statefile.State) error {
			for {
				c, err := connect(ctx, s)
				if err != nil && len(connections) > 0 { // the server accepts no more
					return nil
				}
				if err != nil {
					return err
				}
				connections = append(connections, c)
			}
		}, off: func(context.Context, statefile.State) (err error) {
			for _, c := range connections {
				err = errors.Join(err, c.close())
			}
			return err
		}},
		platform("broker-down", "the Kafka broker is away", "broker-restart", ""),
		platform("platform-unreachable", "the platform's API refuses connections", "api-down", ""),
		platform("shopify-down", "Shopify answers nobody", "shopify-down", ""),
		platform("clerk-down", "Clerk does not answer", "clerk-down", ""),
		platform("mandrill-down", "Mandrill does not answer", "mandrill-down", ""),
		platform("shop-access-refused", "one client's shop refuses our token", "shopify-token-expired", "little-sprouts-consignment"),
		platform("orders-lost", "orders of one client do not reach the platform", "shopify-orders-lost", "little-sprouts-consignment"),
		platform("webhooks-forged", "somebody sends webhooks with wrong signatures", "webhook-forged", ""),
		platform("checkout-failing", "checkouts fail", "checkout-failing", ""),
		platform("disk-filling", "the disk for images fills", "disk-filling", ""),
		{name: "exporter-hung", what: "the business-exporter hangs", on: sendSignal("business-exporter", syscall.SIGSTOP), off: sendSignal("business-exporter", syscall.SIGCONT)},
	}
}

// switchFault switches a fault of the demo's platform, for one client unless client is empty.
func switchFault(fault, how, client string) func(context.Context, statefile.State) error {
	return func(ctx context.Context, state statefile.State) error {
		platform, _ := state.Part("platform-sim")
		address := platform.URL + "/faults/" + fault + "/" + how
		if client != "" {
			address += "?" + url.Values{"client": {client}}.Encode()
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
			return fmt.Errorf("POST %s: %s: %s", address, response.Status, strings.TrimSpace(string(text)))
		}
		return nil
	}
}

func sendSignal(part string, s syscall.Signal) func(context.Context, statefile.State) error {
	return func(_ context.Context, state statefile.State) error {
		p, ok := state.Part(part)
		if !ok {
			return fmt.Errorf("the demo has no part %s", part)
		}
		return syscall.Kill(p.PID, s)
	}
}

// adminConn is a connection to the demo's database, with all privileges.
type adminConn struct {
	db         *sql.DB
	connection *sql.Conn
}

func connect(ctx context.Context, state statefile.State) (adminConn, error) {
	dsn, err := os.ReadFile(state.DSNFile)
	if err != nil {
		return adminConn{}, err
	}
	db, err := sql.Open("mysql", strings.TrimSpace(string(dsn)))
	if err != nil {
		return adminConn{}, err
	}
	connection, err := db.Conn(ctx)
	if err != nil {
		return adminConn{}, errors.Join(err, db.Close())
	}
	return adminConn{db, connection}, nil
}

// close closes the connection, which releases its locks.
func (s adminConn) close() error { return errors.Join(s.connection.Close(), s.db.Close()) }
