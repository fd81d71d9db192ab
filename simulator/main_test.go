package simulator

import (
	"flag"
	"os"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil { // most tests wait most of the time, whatever the number of cores
		panic(err)
	}
	os.Exit(serverstest.Main(m))
}
