//go:build acceptance

package acceptance

import (
	"strings"
	"syscall"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/test/stack"
)

func TestACrashOfAPartEndsTheDemo(t *testing.T) {
	d := stack.Start(t)
	d.Await("All is up")
	state := d.State()
	database, _ := state.Part("mariadb")
	if err := syscall.Kill(database.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := d.Ended(state); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	for _, part := range []string{"mariadb crashed", "signal: killed", "ready for connections"} {
		if !strings.Contains(d.Stderr(), part) {
			t.Errorf("the message does not say %q:\n%s", part, d.Stderr())
		}
	}
}

func TestAnUnknownFaultEndsTheDemoWithTheNamesThatExist(t *testing.T) {
	d := stack.Start(t, "--fault=no-such-fault")
	d.Await("All is up")
	if code := d.Ended(statefile.State{}); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	for _, part := range []string{`"no-such-fault"`, "sold-twice"} {
		if !strings.Contains(d.Stderr(), part) {
			t.Errorf("the message does not say %q:\n%s", part, d.Stderr())
		}
	}
}
