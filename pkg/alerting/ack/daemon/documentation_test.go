package daemon

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

var option = regexp.MustCompile(`(?m)^( *)# (http|clients): `)

// The example of the documentation is valid, also with its commented-out settings, and its values are the defaults.
func TestTheExampleIsWhatTheDaemonReads(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/acknowledgement.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```yaml\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatal("there is no example")
	}
	// The policy is the rendered one.
	rendered, err := os.ReadFile("../../../../alertmanager/acknowledgement.yml")
	if err != nil {
		t.Fatal(err)
	}
	policy := exportertest.WriteFile(t, "acknowledgement.yml", string(rendered))
	example = strings.Replace(example, "policy_file: acknowledgement.yml ", "policy_file: "+policy+" ", 1)
	got, err := readConfig(exportertest.WriteFile(t, "ackd.yml", example))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Alertmanager.URL = "http://alertmanager:9093"
	want.Alertmanager.HTTP.SetDirectory(t.TempDir())
	want.PolicyFile = policy
	want.policy = ack.Policy{ResolveGrace: 2 * time.Minute, AckTimeout: map[string]time.Duration{"P0": 30 * time.Minute, "P1": 4 * time.Hour}}
	if !reflect.DeepEqual(got, &want) {
		t.Errorf("the example is not the defaults:\n%+v\n%+v", got, want)
	}
	all := option.ReplaceAllString(example, "$1$2: ")
	got, err = readConfig(exportertest.WriteFile(t, "ackd.yml", all))
	if err != nil || got.Alertmanager.HTTP.BasicAuth == nil || len(got.Clients) != 2 {
		t.Errorf("with all that is commented out: %+v, %v\n%s", got, err, all)
	}
}

func TestInvalidConfigurationsSayWhatIsWrongAndWhere(t *testing.T) {
	exportertest.Invalid(t, App(), "testdata/invalid", 18, "secretpassword", nil)
}
