package store

import (
	"os"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }
