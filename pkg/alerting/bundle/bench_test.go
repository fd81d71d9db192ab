package bundle

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// BenchmarkCheck loads and checks a bundle of 100 alerts, with their recordings, tests, runbooks and a dashboard each.
func BenchmarkCheck(b *testing.B) {
	root := goodBundle(b)
	uids := bytes.NewBuffer(bytes.Clone(root[panelUIDs].Data))
	for i := range 49 { // two alerts each; the good bundle has the first two
		n := strconv.Itoa(i)
		names := strings.NewReplacer("JobsFail", "JobsFail"+n, "ApiSlow", "ApiSlow"+n, "jobs_failed", "jobs_failed"+n,
			"items_sold:", "items_sold"+n+":", ":p95", ":p95_"+n, "name: sale", "name: sale"+n, `"uid": "sale"`, `"uid": "sale`+n+`"`,
			`"title": "Sale"`, `"title": "Sale `+n+`"`)
		for from, to := range map[string]string{
			recordings: "rules/recording/" + n + ".yml", alerts: "rules/alerts/" + n + ".yml", cases: "rules/tests/" + n + "_test.yml",
			page: "docs/runbooks/JobsFail" + n + ".md", "docs/runbooks/ApiSlow.md": "docs/runbooks/ApiSlow" + n + ".md", panels: "grafana-dashboards/" + n + ".json",
		} {
			root[to] = &fstest.MapFile{Data: []byte(names.Replace(string(root[from].Data)))}
		}
		fmt.Fprintf(uids, "%s.json: sale%s\n", n, n)
	}
	root[panelUIDs] = &fstest.MapFile{Data: uids.Bytes()}
	if err := renewCoverageDoc(root); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		bundle, err := Load(root)
		if err != nil {
			b.Fatal(err)
		}
		if found := bundle.Check(catalog.Shipped()); len(found) > 0 {
			b.Fatal(found[0])
		}
	}
}
