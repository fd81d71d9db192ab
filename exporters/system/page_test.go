package system

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/servers"
)

var update = flag.Bool("update", false, "write testdata/page.txt")

// TestThePageIsAsRecorded compares the page of a database, a cache and two probes with testdata/page.txt: every series with its
// help and type, and instead of numbers an N. What is 0 or 1 by nature stands as it is.
func TestThePageIsAsRecorded(t *testing.T) {
	promtool, err := servers.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	plain, secured := newSite(t, okHandler), newSite(t, okHandler, ca.serve(t, time.Now().Add(time.Hour)))
	r := start(t, fmt.Sprintf("%smysql: [{name: main, dsn_file: %s}]\nredis: [{name: cache, address: '%s'}]\nprobes: [{name: plain, url: '%s/'}, {name: secured, url: '%s/', tls: {ca_file: %s}}]\n",
		quick, exportertest.WriteFile(t, "dsn", measuringMariaDB(t).DSN("")), ownRedis(t).Address(), plain.URL, secured.URL, ca.file))
	for range 2 {
		for _, source := range [][2]string{{"mysql", "main"}, {"redis_operations", "cache"}, {"redis", "cache"}, {"probe", "plain"}, {"probe", "secured"}} {
			awaitRound(t, r, source[0], source[1])
		}
	}
	_, page := r.Get(t, "/metrics")

	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}

	got := withoutNumbers(page)
	const file = "testdata/page.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the page is not as recorded; run go test ./exporters/system -run PageIsAsRecorded -update (-want +got):\n%s", diff)
	}
}

var (
	ours   = regexp.MustCompile(`^(# (HELP|TYPE) )?consign_`)
	byType = regexp.MustCompile(`^consign_\w+_(up|capability|read_only|last_save_success)\{`)
)

func withoutNumbers(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		switch {
		case !ours.MatchString(line):
			continue
		case strings.HasPrefix(line, "#"), byType.MatchString(line):
			b.WriteString(line)
		default:
			b.WriteString(line[:strings.LastIndexByte(line, ' ')] + " N\n")
		}
	}
	return b.String()
}
