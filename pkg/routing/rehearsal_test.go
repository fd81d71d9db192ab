package routing

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func rehearsed(t *testing.T, faster float64) map[string][]byte {
	t.Helper()
	r, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	err = r.Rehearse(Rehearsal{PagesFile: "secrets/pages", HeartbeatFile: "secrets/beats", Clients: []string{"north", "south"}, Faster: faster, Evaluation: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// In a rehearsal nobody of the inventory is reached, and nothing else is different but the clock.
func TestARehearsalReachesNobodyAndIsOtherwiseTheSame(t *testing.T) {
	config := string(rehearsed(t, 1)[ConfigFile])
	for _, name := range regexp.MustCompile(`_file: (\S+)`).FindAllStringSubmatch(config, -1) {
		if name[1] != "secrets/pages" && name[1] != "secrets/beats" {
			t.Errorf("the rehearsal uses %s", name[1])
		}
	}
	for _, word := range []string{"email_configs", "slack_configs", "smtp_", "sprouts"} {
		if strings.Contains(config, word) {
			t.Errorf("the rehearsal has %s", word)
		}
	}
	for _, want := range []string{"name: client-north", "name: client-south", "name: management", "group_wait: 5s", "repeat_interval: 1h"} {
		if !strings.Contains(config, want) {
			t.Errorf("the rehearsal lacks %s", want)
		}
	}
	shipped, err := os.ReadFile("../../" + EscalationFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(rehearsed(t, 1)[EscalationFile]) != string(shipped) {
		t.Error("at the same speed, the rules of escalation differ from those that are shipped")
	}
}

func TestAFasterClockShortensThePolicy(t *testing.T) {
	files := rehearsed(t, 60)
	for file, wants := range map[string][]string{
		EscalationFile: {`priority="P0"} >= 10`, `priority="P0"} >= 20`, `priority="P0"} >= 30`, `priority="P1"} >= 120`, `priority="P2"} >= 1440`},
		HoldFile:       {"_seconds:last[4s]"}, // not 2s: four evaluations
		ConfigFile:     {"group_wait: 83ms", "group_interval: 2s", "repeat_interval: 1h"},
	} {
		for _, want := range wants {
			if !strings.Contains(string(files[file]), want) {
				t.Errorf("%s lacks %s", file, want)
			}
		}
	}
	r, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.hasten(100, 5*time.Second); err == nil || !strings.Contains(err.Error(), "too fast") {
		t.Errorf("levels closer than resolve_grace: %v", err)
	}
	if err := r.hasten(0.5, time.Second); err == nil {
		t.Error("a slower clock is accepted")
	}
}
