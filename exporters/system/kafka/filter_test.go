package kafka

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestAFilterAdmitsWhatItMatchesAsAWhole(t *testing.T) {
	var f NameFilter
	if err := yaml.Unmarshal([]byte("platform-.*|reports"), &f); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"platform-workers": true, "reports": true, "reports2": false, "my-platform-x": false} {
		if f.admits(name) != want {
			t.Errorf("group %s is admitted: %v", name, !want)
		}
	}
}
