package servers

import (
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

// TestAFreeAddressIsFreeWhileChildrenAreStarted listens on addresses at once, while other goroutines start programs: a child has
// copies of all that is open until it runs its program.
func TestAFreeAddressIsFreeWhileChildrenAreStarted(t *testing.T) {
	t.Parallel()
	var starting sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if err := exec.Command("true").Run(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	defer starting.Wait()
	defer close(done)
	for range 300 {
		address, err := FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, port, _ := net.SplitHostPort(address); tryPort(atoi(t, port)) == nil {
			t.Fatalf("%s counts as free, while somebody listens there", address)
		}
		l.Close()
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
