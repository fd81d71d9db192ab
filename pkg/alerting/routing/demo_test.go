package routing

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func demoFiles(t *testing.T, timeScale float64) map[string][]byte {
	t.Helper()
	r, err := LoadForDemo(os.DirFS("../../.."), DemoOptions{Clients: []string{"north", "south"}, TimeScale: timeScale, Evaluation: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// In the demo no contact of the inventory is notified, and only the times differ.
func TestTheDemoNotifiesNobodyOfTheInventoryAndIsOtherwiseTheSame(t *testing.T) {
	config := string(demoFiles(t, 1)[ConfigFile])
	for _, name := range regexp.MustCompile(`_file: (\S+)`).FindAllStringSubmatch(config, -1) {
		if name[1] != DemoWebhookURLFile && name[1] != DemoHeartbeatURLFile {
			t.Errorf("the demo uses %s", name[1])
		}
	}
	for _, word := range []string{"email_configs", "slack_configs", "smtp_", "sprouts"} {
		if strings.Contains(config, word) {
			t.Errorf("the demo has %s", word)
		}
	}
	for _, want := range []string{"name: client-north", "name: client-south", "name: management", "group_wait: 5s", "repeat_interval: 1h"} {
		if !strings.Contains(config, want) {
			t.Errorf("the demo lacks %s", want)
		}
	}
	shipped, err := os.ReadFile("../../../" + EscalationFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(demoFiles(t, 1)[EscalationFile]) != string(shipped) {
		t.Error("at the same speed, the rules of escalation differ from those that are shipped")
	}
}

func TestATimeScaleShortensThePolicy(t *testing.T) {
	files := demoFiles(t, 60)
	for file, wants := range map[string][]string{
		EscalationFile: {`priority="P0"} >= 10`, `priority="P0"} >= 20`, `priority="P0"} >= 30`, `priority="P1"} >= 120`, `priority="P2"} >= 1440`},
		ClockFile:      {"_seconds:last[4s]"}, // not 2s: four evaluations
		ConfigFile:     {"group_wait: 83ms", "group_interval: 2s", "repeat_interval: 1h"},
	} {
		for _, want := range wants {
			if !strings.Contains(string(files[file]), want) {
				t.Errorf("%s lacks %s", file, want)
			}
		}
	}
	r, err := Load(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.scaleTimes(100, 5*time.Second); err == nil || !strings.Contains(err.Error(), "too fast") {
		t.Errorf("levels closer than resolve_grace: %v", err)
	}
	if err := r.scaleTimes(0.5, time.Second); err == nil {
		t.Error("a slower clock is accepted")
	}
}
