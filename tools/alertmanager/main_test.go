package alertmanager_test

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// What these tests read lies outside of this module, where Go's test cache does not look. tools/test says in this variable what all of it is: to
	// read it makes it an input.
	_ = os.Getenv("CONSIGNWATCH_TEST_INPUTS")
	os.Exit(m.Run())
}
