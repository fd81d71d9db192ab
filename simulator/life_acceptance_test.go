//go:build acceptance

package simulator

import (
	"testing"
	"time"
)

// TestAMinuteOfLifeLogsNoError runs with the time limits of a demo, and with an API.
func TestAMinuteOfLifeLogsNoError(t *testing.T) {
	t.Parallel()
	logged := &logLines{}
	r := startWithExternal(t, logged.warnings())
	livePlatform(t, r.p)
	end := time.Now().Add(time.Minute)
	waitFor(t, "a minute of life", func() bool { return time.Now().After(end) || logged.String() != "" })
	pause(t, r.p)
	if text := logged.String(); text != "" {
		t.Errorf("it logs:\n%.2000s", text)
	}
	r.compareShops()
	compareStream(t, r.p)
	if n := streamTruthOf(r.p, "consign_order_imports_total"); n == 0 {
		t.Error("no order came")
	}
}
