package redis

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

func TestAServerWithoutAUTHDoesNotPutThePasswordIntoTheError(t *testing.T) {
	t.Parallel()
	const password = "planted-redis-password"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			heard := bufio.NewReader(c)
			for range 7 { // *3, and a length and a text of each word
				if _, err := heard.ReadString('\n'); err != nil {
					break
				}
			}
			fmt.Fprintf(c, "-ERR unknown command 'AUTH', with args beginning with: 'reader' '%s' \r\n", password)
			c.Close()
		}
	}()
	c := NewConn(Options{Address: l.Addr().String(), Username: "reader", Password: secret.New(password)})
	t.Cleanup(func() { c.Close() })
	err = c.use(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "unknown command 'AUTH'") {
		t.Fatalf("error %v", err)
	}
	if strings.Contains(err.Error(), password) {
		t.Errorf("the error shows the password: %v", err)
	}
	if reason := exporter.ReasonOf(err); reason != exporter.ReasonQuery {
		t.Errorf("reason %q", reason)
	}
}
