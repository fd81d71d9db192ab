package kafka

import (
	"flag"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // most tests wait most of the time, whatever the number of cores
		panic(err)
	}
	os.Exit(m.Run())
}
