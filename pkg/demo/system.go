package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"

	"github.com/consignwatch/consignwatch/deploy/mysql"
	"github.com/consignwatch/consignwatch/deploy/redis"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/resp"
)

// responseTimeFlags load MariaDB's plugin query_response_time, as in docs/system-exporter.md. A server without the plugin starts
// without it.
func responseTimeFlags() []string {
	return []string{"--plugin-load-add=query_response_time", "--loose-query-response-time-stats=ON"}
}

func startRedis(ctx context.Context, _ *stack, folder string) (running, error) {
	return servers.StartRedis(ctx, folder)
}

func startNodeExporter(ctx context.Context, s *stack, folder string) (running, error) {
	return servers.StartNodeExporter(ctx, folder, "--collector.textfile.directory="+s.textfiles())
}

// startSystemExporter starts the system-exporter with the database, the cache and the queues, as the users of deploy/, and with a probe of the platform.
func startSystemExporter(ctx context.Context, s *stack, folder string) (running, error) {
	cache, err := s.part(cachePart)
	if err != nil {
		return nil, err
	}
	platform, err := fetchPlatformState(ctx, s)
	if err != nil {
		return nil, err
	}
	dsn, err := createSystemUser(ctx, s.dsnFile())
	if err != nil {
		return nil, err
	}
	password, err := createCacheUser(ctx, cache.Address())
	if err != nil {
		return nil, err
	}
	shopper := "X-Client: " + platform.Clients[0] // the client of the storefront that is probed
	for name, text := range map[string]string{"dsn": dsn, "redis-password": password, "storefront-headers": shopper} {
		if err := writeSecret(filepath.Join(folder, name), text); err != nil {
			return nil, err
		}
	}
	return startExporter(ctx, systemPart, folder, systemConfig(cache.Address(), platform))
}

// systemConfig is the configuration of the system-exporter.
func systemConfig(cache string, platform *platformState) object {
	capacity := object{}
	for _, queue := range []string{"email", "image", "report", "sync", "webhook"} {
		capacity["jobs."+queue] = 10_000
	}
	return object{
		"interval": "5s", // about as often as Prometheus scrapes
		"timeout":  "4s",
		"mysql":    []object{{"name": "main", "dsn_file": "dsn"}},
		"redis":    []object{{"name": "cache", "address": cache, "username": redis.User, "password_file": "redis-password"}},
		"kafka":    []object{{"name": "main", "brokers": platform.Stream.Brokers, "capacity": capacity, "dead_letters": object{"topic": "jobs.dead", "header": "queue"}}},
		"probes": []object{{
			"name": "storefront", "url": platform.API + "/api/categories", "headers_file": "storefront-headers", "tls": object{"ca_file": platform.APICA},
		}},
	}
}

// createSystemUser prepares the database for the system-exporter, as an administrator would: it creates the user of
// deploy/mysql/grants-system.sql. It returns the user's data source name.
func createSystemUser(ctx context.Context, dsnFile string) (string, error) {
	config, err := readDSN(dsnFile)
	if err != nil {
		return "", err
	}
	password := rand.Text()
	if err := execAll(ctx, config.FormatDSN(), mysql.SystemGrants(password, "127.0.0.1")...); err != nil {
		return "", err
	}
	config.User, config.Passwd, config.DBName = mysql.SystemUser, password, ""
	return config.FormatDSN(), nil
}

// createCacheUser creates the user of deploy/redis/acl.txt, and returns its password.
func createCacheUser(ctx context.Context, address string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("demo: Redis: %w", err)
	}
	defer conn.Close()
	password := rand.Text()
	if _, err := resp.New(conn).Do(ctx, append([]string{"ACL", "SETUSER"}, redis.ACL(password)...)...); err != nil {
		return "", fmt.Errorf("demo: Redis: ACL SETUSER: %w", err)
	}
	return password, nil
}
