package events_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/executable"
)

const (
	sampleOrder = `{"specversion":"1.0","id":"1","source":"/pos","type":"consign.order.placed","clientid":"anna","data":{"event":"spring","channel":"pos","amount_cents":1999,"currency":"USD"}}`
	sampleBad   = `{"specversion":"1.0","id":"2","source":"/pos","type":"consign.order.placed","clientid":"anna","data":{"event":"spring","channel":"pos","currency":"USD"}}`
)

const sampleOrderDoes = `line 1: counted: consign.order.placed
  consign_orders_total{client="anna",event="spring",channel="pos"} +1
  consign_sales_amount_total{client="anna",event="spring",currency="USD"} +19.99
  consign_order_amount{currency="USD"} observes 19.99
`

// TestTheCommandMap runs `event-exporter map` as a user does, and looks at what it prints and at its exit code.
func TestTheCommandMap(t *testing.T) {
	dir := folder(t, map[string]string{
		"good.json":   sampleOrder + "\n",
		"mixed.json":  sampleOrder + "\n\n" + sampleBad + "\n" + sampleOrder + "\n{\n",
		"empty.json":  "",
		"own.yml":     "events:\n  - {type: consign.order.placed, feeds: [{metric: consign_app_starts_total, labels: {component: channel}}]}\n",
		"invalid.yml": "events:\n  - {type: consign.order.placed, feeds: [{metric: consign_none_total}]}\n",
	})
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, tt := range []struct {
		name  string
		args  []string
		code  int
		wants []string
	}{
		{"all count", []string{in("good.json")}, 0, []string{sampleOrderDoes}},
		{"some do not", []string{in("mixed.json")}, 1, []string{
			sampleOrderDoes, "line 3: malformed: data.amount_cents: the value is missing\n",
			"line 4: duplicate: an earlier event has the same source and id\n", "line 5: malformed: the JSON ends too early (byte 1)\n",
			"3 events would not be counted"}},
		{"nothing", []string{in("empty.json")}, 0, nil},
		{"own mapping", []string{"--mapping-file", in("own.yml"), in("good.json")}, 0, []string{`consign_app_starts_total{component="pos"} +1`}},
		{"invalid mapping", []string{"--mapping-file", in("invalid.yml"), in("good.json")}, 1, []string{"invalid.yml:2: events.0.feeds.0.metric: consign.order.placed: metric consign_none_total is not declared"}},
		{"no such mapping", []string{"--mapping-file", in("none.yml"), in("good.json")}, 1, []string{"none.yml: no such file or directory"}},
		{"no such file", []string{in("none.json")}, 1, []string{"none.json: no such file or directory"}},
		{"no file named", nil, 1, []string{"required argument 'FILE' not provided"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, got := run(t, append([]string{"map"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.wants {
				if !strings.Contains(got, want) {
					t.Errorf("printed:\n%s\nwant: %s", got, want)
				}
			}
			if tt.wants == nil && got != "" {
				t.Errorf("printed:\n%s\nwant nothing", got)
			}
		})
	}
}

// TestTheCommandMapReadsStandardInput runs the program itself.
func TestTheCommandMapReadsStandardInput(t *testing.T) {
	program, err := executable.Find("event-exporter")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "map", "-")
	cmd.Stdin = strings.NewReader(sampleOrder) // without a line break at the end
	out, err := cmd.Output()
	if diff := cmp.Diff(sampleOrderDoes, string(out)); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	cmd = exec.CommandContext(t.Context(), program, "map", "-")
	cmd.Stdin = strings.NewReader(sampleBad)
	if _, err := cmd.Output(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("for an event that does not count: %v, exit code %d, want 1", err, cmd.ProcessState.ExitCode())
	}
}
