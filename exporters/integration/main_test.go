package integration

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/servers/serverstest"
)

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(asExporter); ok {
		os.Exit(App().Main(strings.Split(args, "\n"), os.Stdout, os.Stderr))
	}
	os.Exit(serverstest.Main(m))
}

func silentLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
