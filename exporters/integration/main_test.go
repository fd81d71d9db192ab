package integration

import (
	"flag"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(asExporter); ok {
		os.Exit(App().Main(strings.Split(args, "\n"), os.Stdout, os.Stderr))
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // some tests wait for a server, whatever the number of cores
		panic(err)
	}
	os.Exit(serverstest.Main(m))
}

const (
	plantedKey  = "planted-secret-5b1f"
	testIssuer  = "https://clerk.consign.example"
	ourParty    = "https://app.consign.example"
	foreignSess = "sess_foreign"
)

func silentLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
