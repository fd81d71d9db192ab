package alertmanager_test

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// These tests read files outside of this module, which Go's test cache does not track. tools/test puts a hash of them into this variable: reading it
	// makes it an input of the test.
	_ = os.Getenv("CONSIGNWATCH_TEST_INPUTS")
	os.Exit(m.Run())
}
