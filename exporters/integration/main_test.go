package integration

import (
	"flag"
	"log/slog"
	"os"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/servers/serverstest"
)

var update = flag.Bool("update", false, "write testdata/page.txt")

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

func silentLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
